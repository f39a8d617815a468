"""A filled-in form becomes one config."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from podium.cli.app import app
from podium.config.form import RunForm
from podium.config.schema import PodiumConfig
from podium.errors import InputError
from podium.stages.prepare import resolve_form

FILE = "hpo: {max_trials: 5, max_failed_trials: 1}\nseed: 7\n"


def config(form: RunForm, directory: Path) -> PodiumConfig:
    return resolve_form(form, directory).config


def test_a_config_file_lies_between_preset_and_overrides(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(FILE)
    form = RunForm(run_preset="smoke", run_config="mine.yaml", run_overrides=("seed=8",))
    resolved = resolve_form(form, tmp_path)
    assert (resolved.config.hpo.max_trials, resolved.config.seed) == (5, 8)
    assert resolved.origins["hpo.max_trials"] == "mine.yaml:1"
    assert resolved.origins["dataset.max_rows"] == "preset/smoke.yaml"


def test_a_config_file_chooses_the_preset_unless_the_form_does(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults:\n  - preset: smoke-ner\n")
    assert config(RunForm(run_config="mine.yaml"), tmp_path).dataset.task == "ner"
    assert config(RunForm(run_config="mine.yaml", run_preset="smoke"), tmp_path).dataset.task == "text-classification"


def test_the_default_preset_is_the_one_that_composition_chooses(tmp_path: Path) -> None:
    default = str(RunForm().run_preset)
    assert config(RunForm(), tmp_path) == config(RunForm(run_overrides=(f"preset={default}",)), tmp_path)


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml does not exist"):
        config(RunForm(run_config="nowhere.yaml"), tmp_path)


def test_the_command_takes_a_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["config", "show", "--preset", "smoke", "--config", "mine.yaml"])
    assert shown.exit_code == 0 and "mine.yaml:2" in shown.output
    planned = CliRunner().invoke(app, ["run", "--preset", "smoke", "--config", "mine.yaml", "--dry-run", "seed=x"])
    assert isinstance(planned.exception, InputError) and "seed" in str(planned.exception)
    planned = CliRunner().invoke(app, ["run", "--preset", "smoke", "--config", "nowhere.yaml", "--dry-run"])
    assert isinstance(planned.exception, InputError) and "nowhere.yaml" in str(planned.exception)

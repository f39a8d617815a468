"""From the run form to a config, and what a dry run says of studies; the whole plan is tested with a real run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from podium.cli.app import app
from podium.config.form import RunForm
from podium.config.schema import PodiumConfig
from podium.errors import ConfigError, InputError
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import LEDGERS
from podium.records import Record
from podium.stages import keys
from podium.stages.prepare import all_stored, check_shared, new_run, open_parent, plan_step, prepare, resolve_form
from podium.stages.step import Step
from podium.stages.steps import step_named
from podium.store.store import ArtifactStore
from tests.unit.report.samples import sample

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
    assert config(RunForm(), tmp_path) == config(RunForm(run_preset="quickstart"), tmp_path)


def test_data_of_ones_own_is_planned_unless_a_preset_is_chosen(tmp_path: Path) -> None:
    lines = [f"some text {number},{'ab'[number % 2]}" for number in range(20)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines]))
    found = config(RunForm(data_path="rows.csv"), tmp_path)
    assert found.plan.fit and found.plan.time_limit == 1800 and found.dataset.max_rows is None
    chosen = config(RunForm(data_path="rows.csv", run_preset="smoke", run_time_limit="5m"), tmp_path)
    assert not chosen.plan.fit and chosen.plan.time_limit == 300
    (tmp_path / "mine.yaml").write_text("defaults: [{preset: smoke}]")
    assert not config(RunForm(data_path="rows.csv", run_config="mine.yaml"), tmp_path).plan.fit


def test_the_search_space_of_data_of_ones_own_suits_its_task(tmp_path: Path) -> None:
    (tmp_path / "words.conll").write_text("".join(f"Word{n} B-PER\nsays O\n\n" for n in range(20)))
    found = config(RunForm(data_path="words.conll"), tmp_path)
    assert found.dataset.task == "ner" and 32 not in found.hpo.space["batch_size"].choices
    chosen = config(RunForm(data_path="words.conll", run_overrides=("hpo=classification",)), tmp_path)
    assert 32 in chosen.hpo.space["batch_size"].choices


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


INPUTS = sample()
ENTRANT, IDENTITY = INPUTS.studies[0].entrant, {"backbone": "digest"}


def planned_config(tmp_path: Path, **changes: Any) -> PodiumConfig:
    found = INPUTS.run.config
    return found.model_copy(update={"store": str(tmp_path), "hpo": found.hpo.model_copy(update=changes)})


@pytest.fixture(autouse=True)
def entrant_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "identity_of", lambda config, entrant: IDENTITY)


def reason(asked: PodiumConfig) -> str:
    run = INPUTS.run.model_copy(update={"config": asked})
    return plan_step(step_named("hpo"), ENTRANT, run, {"prepare": INPUTS.data})[1]


@pytest.fixture
def ledger(tmp_path: Path) -> TrialLedger:
    key = keys.study_key(planned_config(tmp_path), INPUTS.data, ENTRANT, IDENTITY)
    return TrialLedger(ArtifactStore(str(tmp_path)).documents(f"{LEDGERS}/{key.digest}/main"))


def fill(ledger: TrialLedger, ended: int, failed: int = 0, running: int = 0) -> None:
    for number in range(ended + running):
        claim = ledger.begin(number, {"learning_rate": 1e-4})
        if number < failed:
            ledger.fail(claim, "OutOfMemory", "full")
        elif number < ended:
            ledger.finish(claim, 0.5)


def test_a_study_without_trials_is_new(tmp_path: Path) -> None:
    assert reason(planned_config(tmp_path)) == "no study is stored"


def test_a_killed_study_goes_on(tmp_path: Path, ledger: TrialLedger) -> None:
    fill(ledger, 3, running=2)
    assert (
        reason(planned_config(tmp_path))
        == "its ledger has 3 of 8 trials and 2 that were cut off; it would go on from there"
    )
    assert reason(planned_config(tmp_path).model_copy(update={"run_mode": "force_new"})) == "run_mode=force_new"


def test_a_failed_study_says_what_lets_it_go_on(tmp_path: Path, ledger: TrialLedger) -> None:
    fill(ledger, 4, failed=4)
    assert reason(planned_config(tmp_path)) == (
        "its ledger has 4 of 8 trials, and 4 failed; they would be executed once more"
    )
    assert reason(planned_config(tmp_path, engine="katib")).endswith(
        "4 failed; it would fail again unless hpo.max_failed_trials is raised"
    )
    assert (
        reason(planned_config(tmp_path, max_failed_trials=4))
        == "its ledger has 4 of 8 trials; it would go on from there"
    )


def test_a_stored_study_is_extended_by_a_larger_budget_or_a_higher_goal(tmp_path: Path, ledger: TrialLedger) -> None:
    fill(ledger, 8)
    key = keys.study_key(planned_config(tmp_path), INPUTS.data, ENTRANT, IDENTITY)
    ArtifactStore(str(tmp_path)).put(
        key, INPUTS.studies[0].model_copy(update={"key": key.digest, "trials": ledger.trials(), "best": 0})
    )
    assert reason(planned_config(tmp_path)).startswith("stored ")
    assert reason(planned_config(tmp_path, max_trials=9)) == "its ledger has 8 of 9 trials; it would go on from there"
    assert reason(planned_config(tmp_path, max_trials=9, goal=0.5)).startswith("stored ")
    assert reason(planned_config(tmp_path, max_trials=9, goal=0.6)).endswith("it would go on from there")


@pytest.mark.parametrize(
    ("overrides", "refused"),
    [
        ([], "run_store must be a place that all pods share"),
        (["store=s3://bucket/podium"], "run_tracking_uri must be a place that all pods share"),
        (["store=s3://bucket/podium", "tracking.uri=http://mlflow:5000"], ""),
        (["store=file:///data/store", "tracking.mode=off"], "run_store"),
        (["store=/data/store", "tracking.mode=off"], "run_store"),
        (["store=gs://bucket/podium", "tracking.mode=off"], ""),
        (
            [
                "store=/data/x",
                "tracking.uri=sqlite:////data/m.db",
                "cluster.volume_claim=c",
                "cluster.volume_path=/data",
            ],
            "",
        ),
    ],
)
def test_in_a_pod_what_the_next_one_needs_lies_where_it_is_found(
    tmp_path: Path, overrides: list[str], refused: str
) -> None:
    config = resolve_form(RunForm(run_overrides=tuple(overrides)), tmp_path).config
    if not refused:
        check_shared(config)
        return
    with pytest.raises(ConfigError, match=refused):
        check_shared(config)


def test_a_pod_refuses_before_it_opens_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(ConfigError, match="run_store"):
        prepare(RunForm(run_preset="smoke"), "kfp-1")
    assert list(tmp_path.iterdir()) == []


def test_a_pod_without_the_device_of_the_benchmark_leaves_it_to_the_one_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = sample()

    def planned(step: Step, *_: object) -> tuple[str, str, object]:
        if step.name == "benchmark":
            raise InputError("benchmark.device=cuda needs a GPU that torch can use")
        return "", "stored", shown.data

    monkeypatch.setattr("podium.stages.prepare.plan_step", planned)
    found: dict[str, Record] = {}
    assert not all_stored(shown.run, found)
    assert {"prepare", "select"} <= found.keys() and "benchmark" not in found
    monkeypatch.setattr("podium.stages.prepare.plan_step", lambda *_: ("", "stored", shown.data))
    assert all_stored(shown.run, found)


def test_what_a_killed_pod_of_the_same_job_left_open_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_JOB", "uid-1")
    closed: dict[str, str] = {}
    found = [SimpleNamespace(run_id="left", status="RUNNING"), SimpleNamespace(run_id="done", status="FINISHED")]

    def runs(tags: dict[str, str]) -> list[SimpleNamespace]:
        return found if tags == {"podium.job": "uid-1"} else []

    def open_run(name: str, tags: dict[str, str], given: str | None) -> str:
        return f"new of {tags['podium.job']}"

    tracker = SimpleNamespace(runs=runs, close=closed.__setitem__, open_run=open_run)
    monkeypatch.setattr("podium.stages.prepare.tracker_for", lambda settings: tracker)
    monkeypatch.setattr("podium.stages.prepare.registry_state", lambda *_: SimpleNamespace(moves=(), incumbent=None))
    run = open_parent(new_run(config(RunForm(run_preset="smoke"), Path.cwd()), "now"))
    assert run.mlflow_run_id == "new of uid-1"
    assert closed == {"left": "KILLED"}

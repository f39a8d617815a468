"""The command line of `podium profile`: a model, a check or a difference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from podium.cli.app import app
from podium.errors import InputError
from podium.local import profile as local
from podium.local.profile import ProfileCommand
from tests.unit.profiling.samples import profile_record

RUNNER = CliRunner()


def test_anything_but_a_command_is_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[ProfileCommand] = []

    def planned(command: ProfileCommand, directory: Path) -> None:
        seen.append(command)
        raise InputError("far enough")

    monkeypatch.setattr(local, "plan_profile", planned)
    arguments = ["profile", "news@champion", "--tool", "nsys", "--set", "batch_size=8", "--variant", "onnx"]
    assert isinstance(RUNNER.invoke(app, arguments).exception, InputError)
    (command,) = seen
    assert (command.model, command.variant) == ("news@champion", "onnx")
    assert command.settings == ["device=auto", "tools=[nsys]", "batch_size=8"]


def test_data_and_dataset_exclude_each_other_and_a_model_is_needed() -> None:
    both = RUNNER.invoke(app, ["profile", "m", "--data", "a", "--dataset", "b"]).exception
    assert isinstance(both, InputError) and "exclude each other" in str(both)
    none = RUNNER.invoke(app, ["profile", "--dry-run"]).exception
    assert isinstance(none, InputError) and "a model must be named" in str(none)


def test_a_check_lists_what_the_tools_need(tmp_path: Path) -> None:
    found = RUNNER.invoke(app, ["profile", "--check", "-o", "json", "--set", f"nsys={tmp_path / 'none'}"])
    rows = {one["name"]: one for one in json.loads(found.stdout)}
    assert rows["nsys"]["status"] == "skipped" and rows["nsys"]["remedy"]


@pytest.mark.parametrize(("scale", "code", "verdict"), [(1.5, 3, "fail"), (0.5, 0, "pass"), (1.1, 4, "cannot judge")])
def test_a_difference_ends_as_compare_does(tmp_path: Path, scale: float, code: int, verdict: str) -> None:
    for name, record in (("a", profile_record()), ("b", profile_record(scale=scale))):
        record.save(tmp_path / name / "record.json")
    arguments = ["profile", "diff", str(tmp_path / "a"), str(tmp_path / "b"), "--fail-if", "forward > 1.1 * baseline"]
    found = RUNNER.invoke(app, arguments)
    assert found.exit_code == code and f"{verdict}: forward > 1.1 * baseline" in found.stdout
    assert json.loads(RUNNER.invoke(app, [*arguments, "-o", "json"]).stdout)["checks"][0]["verdict"] == verdict

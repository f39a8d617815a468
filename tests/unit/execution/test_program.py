from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from podium.errors import DataError, StoreError
from podium.execution import program


class Spec(BaseModel):
    number: int


def refuse(spec: Spec) -> int:
    raise DataError("no such row")


def run(folder: Path, spec: str, work: object) -> tuple[int, dict[str, object]]:
    """Exit code and content of the result file."""
    (folder / "spec.json").write_text(spec)
    command = ["--spec", str(folder / "spec.json"), "--result", str(folder / "result.json")]
    options = program.argument_parser("podium.toy", "Add one.").parse_args(command)
    code = program.run(options, Spec.model_validate_json, work)
    return code, json.loads((folder / "result.json").read_text())


def test_the_result_is_written(tmp_path: Path) -> None:
    assert run(tmp_path, '{"number": 4}', lambda spec: {"next": spec.number + 1}) == (0, {"result": {"next": 5}})


def test_a_result_that_is_not_finite_comes_back_as_it_was(tmp_path: Path) -> None:
    _, outcome = run(tmp_path, '{"number": 4}', lambda spec: float("inf"))
    assert outcome == {"result": float("inf")}


@pytest.mark.parametrize(("error", "code"), [(DataError("no such row"), 2), (StoreError("full"), 1), (OSError(), 1)])
def test_an_error_is_described_and_decides_on_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    def fail(spec: Spec) -> None:
        raise error

    found, outcome = run(tmp_path, '{"number": 4}', fail)
    assert (found, outcome) == (code, {"error": {"type": type(error).__name__, "message": str(error)}})
    assert "Traceback" in capsys.readouterr().err

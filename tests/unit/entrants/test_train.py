from __future__ import annotations

import json
from pathlib import Path

import pytest

from podium.entrants.train import main, read_spec
from podium.errors import InputError
from tests.unit.conftest import SpecMaker


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "names the kind"), ("{}", "names the kind"), ('{"kind": "forest"}', "must be one of transformer, linear")],
)
def test_a_spec_of_no_known_kind_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_spec(text)


def test_the_command_leaves_its_result_or_its_error(text_spec: SpecMaker, tmp_path: Path) -> None:
    spec = text_spec(epochs=0.1)
    file = tmp_path / "spec.json"
    file.write_text(spec.model_dump_json())
    command = ["--spec", str(file), "--result", str(tmp_path / "result.json")]
    assert main(command) == 0
    assert json.loads((tmp_path / "result.json").read_text())["result"]["steps"] == 1
    file.write_text(spec.model_copy(update={"labels": ("a", "b")}).model_dump_json())
    assert main(command) == 2
    assert json.loads((tmp_path / "result.json").read_text())["error"]["type"] == "DataError"

"""`podium evaluate` on what `podium run` and `podium infer` really leave behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Finished, podium_here
from tests.integration.small_models import LABELS, save_linear

pytestmark = pytest.mark.integration


def evaluated(folder: Path, *arguments: str) -> dict[str, Any]:
    done = podium_here(folder, "evaluate", *arguments, "-o", "json")
    assert done.code == 0, done.output
    return json.loads(done.output)


def test_a_run_of_podium_run_is_sliced_by_derived_columns(smoke_run: Finished, tmp_path: Path) -> None:
    record = json.loads(smoke_run.record("select").read_text())
    store = ("--store", str(smoke_run.folder / "podium-out" / "store"))
    run = str(smoke_run.directory)
    names = [entry["entrant"] for entry in record["leaderboard"]]
    found = evaluated(tmp_path, f"{run}:{names[0]}.eager", "--by", "length", "--by", "label", *store)
    values = {one["name"]: one["interval"]["value"] for one in found["metrics"]}
    assert values["macro_f1"] == pytest.approx(record["leaderboard"][0]["test"]["value"])
    length, label = found["slicings"]
    assert sum(one["rows"] for one in length["slices"]) == found["run"]["rows"]
    assert {one["value"] for one in label["slices"]} == set(found["run"]["labels"])
    assert found["calibration"]["count"] == found["run"]["rows"]
    (directory,) = (tmp_path / "podium-out" / "evaluations").iterdir()
    assert directory.name.startswith(smoke_run.directory.name)
    against = evaluated(tmp_path, f"{run}:{names[0]}.eager", "--against", f"{run}:{names[-1]}", *store)["against"]
    assert against["rows"] == found["run"]["rows"]


def test_what_infer_predicts_is_evaluated_by_the_columns_of_its_data(tmp_path: Path) -> None:
    save_linear(tmp_path / "model")
    texts = ("the match was won by a goal", "shares and prices fell", "the election of a minister")
    rows = [
        {"id": f"r{row}", "text": texts[row % 3], "label": LABELS[row % len(LABELS)], "source": "ab"[row % 2]}
        for row in range(90)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = podium_here(tmp_path, "infer", "./model", "--data", "rows.jsonl", "--all", "--run-id", "r1")
    assert done.code == 0, done.output
    found = evaluated(tmp_path, "r1", "--by", "source", "--by", "length")
    assert found["run"]["rows"] == 90
    assert [one["rows"] for one in found["slicings"][0]["slices"]] == [45, 45]
    again = podium_here(tmp_path, "evaluate", "podium-out/inference/r1", "--against", "r1", "--positive", LABELS[0])
    assert again.code == 0, again.output
    assert "0 rows became right and 0 became wrong" in again.output
    wrong = podium_here(tmp_path, "evaluate", "r1", "--by", "sauce")
    assert (wrong.code, wrong.output.count('did you mean "source"?')) == (2, 1)
    assert podium_here(tmp_path, "evaluate", "r2").code == 2

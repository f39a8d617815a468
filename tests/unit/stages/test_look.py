"""`podium data`: what a run would read, and why it would refuse it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from podium.cli.app import app
from podium.config.form import RunForm
from podium.errors import DataError
from podium.stages.look import as_json, as_lines, look_at


def write(path: Path, *extra: str, header: str = "text,label") -> Path:
    lines = [f"a text of {n} and more,{'ab'[n % 2]}" for n in range(40)]
    path.write_text("\n".join([header, *lines, *extra]) + "\n")
    return path


def look(path: Path, *overrides: str, **fields: Any) -> Any:
    return look_at(RunForm(data_path=str(path), run_overrides=overrides, **fields), path.parent)


def test_what_was_found_is_shown(tmp_path: Path) -> None:
    found = look(write(tmp_path / "x.csv", "a text of 1 and more,b"))
    lines = as_lines(found)
    assert "files: 1 as train (x.csv); validation and test are split off it" in lines
    assert "x.csv: parted by comma, the first line has the names" in lines
    assert "rows: 41 read, 0 bad, 1 dropped as duplicates or leaks" in lines
    assert "splits: train 28, validation 4, test 8; 3 folds" in lines
    assert "labels: 2: 'a' 20, 'b' 20" in lines
    assert "words in a row: 5% ≤ 6, 50% ≤ 6, 95% ≤ 6, 99% ≤ 6, longest 6" in lines
    assert as_json(found)["usable"] and as_json(found)["labels"] == {"a": 20, "b": 20}
    assert json.loads(json.dumps(as_json(found)))["files"] == {"train": ["x.csv"]}


def test_the_name_of_a_shipped_data_set_is_taken_for_it_unless_a_file_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podium.stages.look.look_through", lambda dataset, *_: dataset)
    assert look_at(RunForm(data_path="bbc-news"), tmp_path).path.startswith("pkg:")
    write(tmp_path / "bbc-news")
    assert look_at(RunForm(data_path="bbc-news"), tmp_path).path == str(tmp_path / "bbc-news")


def test_what_a_run_refuses_is_refused_and_counted(tmp_path: Path) -> None:
    found = look(write(tmp_path / "x.csv", ",a", "cut"))
    assert "2 of 42 do not" in found.problem and "x.csv line 42, field 'text'" in found.problem
    assert "rows: 42 read, 2 bad, 0 dropped as duplicates or leaks" in as_lines(found)
    assert not look(tmp_path / "x.csv", "dataset.on_bad_row=drop").problem


def test_the_command_ends_as_a_run_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "x.csv")
    assert CliRunner().invoke(app, ["data", "x.csv"]).exit_code == 0
    write(tmp_path / "x.csv", ",a")
    done = CliRunner().invoke(app, ["data", "x.csv", "--output", "json"])
    assert done.exit_code == 2 and "field 'text'" in json.loads(done.stdout)["problem"]
    done = CliRunner().invoke(app, ["data", "no.csv", "--output", "json"])
    assert done.exit_code == 2 and "does not exist" in json.loads(done.stdout)["problem"]
    done = CliRunner().invoke(app, ["run", "--data", "x.csv", "--entrant", "linear", "tracking.mode=off", "--dry-run"])
    assert isinstance(done.exception, DataError) and "field 'text'" in str(done.exception)


class TestLabels:
    @pytest.mark.parametrize(
        ("labels", "said"),
        [
            (["Pos", "pos", "neg"], "labels that differ only in case, blanks or marks: 'Pos' (10) and 'pos' (10)"),
            (["b", " a", "c"], "labels with blanks around them, which were removed: 10"),
            (["a", "b", '"a,b"'], "labels that look like several labels in one cell, as 'a,b': 10 of 30 rows"),
        ],
    )
    def test_what_looks_wrong(self, tmp_path: Path, labels: list[str], said: str) -> None:
        lines = "".join(f"number {n},{labels[n % len(labels)]}\n" for n in range(30))
        (tmp_path / "x.csv").write_text(f"text,label\n{lines}")
        assert any(said in line for line in as_lines(look(tmp_path / "x.csv")))

    def test_numbers_without_end_are_no_labels(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_text("text,label\n" + "".join(f"number {n},{n / 7}\n" for n in range(1, 60)))
        assert (
            "this looks like regression: dataset.label_column ('label') has 59 different"
            in look(tmp_path / "x.csv").problem
        )

    def test_one_label_in_all_formats(self, tmp_path: Path) -> None:
        rows = [{"text": f"number {n}", "label": n % 2, "truth": n % 2 == 0} for n in range(20)]
        (tmp_path / "x.csv").write_text(
            "text,label,truth\n" + "".join(f"{one['text']},{one['label']}.0,{one['truth']}\n" for one in rows)
        )
        (tmp_path / "y.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for name in ("x.csv", "y.jsonl"):
            found = look(tmp_path / name)
            assert found.data.labels == ("0", "1") and "labels seen: 0, 1" in found.inferred
            assert look(tmp_path / name, data_label_column="truth").data.labels == ("false", "true")

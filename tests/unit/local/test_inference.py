"""`podium infer` with trained models, from the command to the files it leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from conftest import podium_here
from podium.inference.stored import load_run
from tests.integration.small_models import LABELS, save_linear

ROWS = [
    {"no": f"n{number}", "headline": f"a text about {LABELS[number % 5]} again, number {number}"}
    for number in range(40)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_linear(tmp_path_factory.mktemp("model") / "linear")


@pytest.fixture
def folder(tmp_path: Path, model: Path) -> Path:
    """The model, rows without labels, and the same rows with labels and two gaps."""
    (tmp_path / "linear").symlink_to(model)
    (tmp_path / "news.csv").write_text("no,headline\n" + "".join(f'{r["no"]},"{r["headline"]}"\n' for r in ROWS))
    labelled = [row | {"label": LABELS[n % 5]} for n, row in enumerate(ROWS)]
    (tmp_path / "labelled.jsonl").write_text("\n".join(json.dumps(row) for row in labelled))
    return tmp_path


def told(folder: Path, *arguments: str, code: int = 0) -> str:
    done = podium_here(folder, "infer", *arguments)
    assert done.code == code, done.output
    return done.output


def directory(output: str, folder: Path) -> Path:
    first, last = output.splitlines()[0], output.splitlines()[-1]
    run = first.removeprefix("Run ").partition(":")[0]
    assert last.startswith(f"Run {run} finished: ")
    return folder / "podium-out" / "inference" / run


def test_a_first_try_predicts_five_rows_and_all_goes_on_after_them(folder: Path) -> None:
    output = told(folder, "linear", "--data", "news.csv")
    run = directory(output, folder)
    assert "rows: 5 of 40 (the first 5; this is a first try: --all predicts all, --rows N the first N)" in output
    assert "no label column: the answers are not scored" in output
    assert f"first row asked, news.csv:2:\n  {ROWS[0]['headline']}\n  → {LABELS[0]} (" in output
    assert {one.name for one in run.iterdir()} == {
        "environment.json",
        "events.jsonl",
        "journal.jsonl",
        "metrics.json",
        "predictions.jsonl",
        "report.html",
        "run.json",
    }
    output = told(folder, "linear", "--data", "news.csv", "--all", "--output", "out.csv")
    assert directory(output, folder) == run
    assert "goes on: 5 rows have an answer already" in output
    stored = load_run(run, run.parent)
    assert [line.answer for line in stored.lines] == [LABELS[number % 5] for number in range(40)]
    assert list(stored.columns) == ["no", "headline"]
    assert len((run / "journal.jsonl").read_text().splitlines()) == 40
    assert (folder / "out.csv").read_bytes() == (run / "predictions.csv").read_bytes()
    assert json.loads((run / "metrics.json").read_text())["outcomes"] == {"ok": 40}


def test_labels_are_scored_where_the_data_has_them(folder: Path) -> None:
    output = told(folder, "linear", "--data", "labelled.jsonl", "--rows", "0", "--id-column", "no")
    run = directory(output, folder)
    assert "rows: 40 of 40 (all)" in output
    assert "against column 'label' of 40 rows: macro_f1 1.00 [" in output
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["scored_rows"], metrics["scores"]["accuracy"]["value"]) == (40, 1.0)
    predictions = load_run(run, run.parent).predictions()
    assert predictions.ids[:2] == ("n0", "n1")
    assert predictions.probabilities is not None
    page = (run / "report.html").read_text()
    for said in ("macro F1", "n0", ROWS[0]["headline"], "40 rows"):
        assert said in page


def test_scores_of_rows_that_the_model_learned_from_are_warned_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podium.local.inference.seen_rows", lambda run, ids, store: [row == "n3" for row in ids])
    output = told(folder, "linear", "--data", "labelled.jsonl", "--all", "--id-column", "no")
    run = directory(output, folder)
    assert "the model learned from 1 of these 40 rows, so these are not the scores of new rows; podium" in output
    assert json.loads((run / "metrics.json").read_text())["learned_rows"] == 1
    assert "The model learned from 1 of these rows" in (run / "report.html").read_text()


def test_of_several_columns_the_one_with_labels_of_the_model_is_taken(folder: Path) -> None:
    rows = [row | {"kind": LABELS[n % 5], "part": "ab"[n % 2]} for n, row in enumerate(ROWS)]
    (folder / "odd.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert "label column: 'kind' (its values are labels of the model)" in told(folder, "linear", "--data", "odd.jsonl")


@pytest.mark.parametrize(
    ("column", "said"),
    [("lang", "no label column: 'label' is not used, since it has en, which the model cannot answer"), ("", "'label'")],
)
def test_a_column_called_label_that_holds_something_else_is_not_taken(folder: Path, column: str, said: str) -> None:
    rows = [row | {"label": "en" if column else LABELS[0]} for row in ROWS]
    (folder / "odd.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert said in told(folder, "linear", "--data", "odd.jsonl")


def test_a_dry_run_shows_three_inputs_with_tokens_and_time_and_writes_nothing(folder: Path) -> None:
    output = told(folder, "linear", "--data", "news.csv", "--all", "--dry-run")
    assert output.count("--- news.csv:") == 3
    assert "--- news.csv:2 (7 tokens)\n  a text about" in output
    assert "input: about 280 tokens (from 16 rows)" in output
    assert "(measured on 16 rows)" in output
    assert "price: none is declared" in output
    assert not (folder / "podium-out").exists()


def test_rows_by_id_from_the_command_line_and_from_a_file(folder: Path) -> None:
    (folder / "ids.txt").write_text("n3\n\nn1\n")
    arguments = ("linear", "--data", "news.csv", "--id-column", "no")
    output = told(folder, *arguments, "--ids", "n7, n2", "--ids-file", "ids.txt", "--format", "json")
    stored = load_run(directory(output, folder), folder)
    assert stored.ids == ("n1", "n2", "n3", "n7")
    assert "unknown are 1: n99" in told(folder, *arguments, "--ids", "n99", code=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["linear"], "--data must name the rows to predict"),
        (["absent", "--data", "news.csv"], "absent must name a model, but there is no directory"),
        (["bbc@champion", "--data", "news.csv"], "does not exist, so there is no bbc@champion; run `podium run` first"),
        (["linear", "--data", "absent.csv"], "shipped data sets: bbc-news, conll2003, movie-reviews"),
        (
            ["linear", "--data", "news.csv", "--text-column", "headlines"],
            "'headlines' is none of: no, headline; did you",
        ),
        (["linear", "--data", "news.csv", "--where", "nr > 3"], "no such column: nr"),
        (["linear", "--data", "news.csv", "--output", "x.doc"], "--output must end in one of .jsonl, .ndjson"),
        (["linear", "--data", "news.csv", "--output", "x/y.csv"], "--output must lie in a directory that exists"),
        (["linear", "--data", "news.csv", "--format", "cvs"], '--format must be one of .* did you mean "csv"'),
        (["linear", "--data", "news.csv", "--all", "--rows", "3"], "--all and --rows exclude each other"),
        (["linear", "--data", "news.csv", "--rows", "-1"], "--rows >= 0 must hold, but got -1"),
        (["linear", "--data", "news.csv", "--run-id", "../x"], "--run-id must be made of letters"),
        (["linear", "--data", "news.csv", "--set", "encodin=x"], '--set must be NAME=VALUE .* did you mean "encoding"'),
        (["linear", "--data", "news.csv", "--device", "tpu"], "device"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    folder: Path, arguments: list[str], said: str
) -> None:
    import re

    output = " ".join(told(folder, *arguments, code=2).split())
    assert re.search(said, output) or said in output, output
    assert not (folder / "podium-out").exists()


def test_a_run_of_other_settings_is_not_continued_and_its_file_not_replaced(folder: Path) -> None:
    told(folder, "linear", "--data", "news.csv", "--run-id", "mine", "--output", "out.csv")
    output = told(folder, "linear", "--data", "labelled.jsonl", "--run-id", "mine", code=2)
    assert 'data.files.[\\"' not in output
    assert "those of podium-out/inference/mine differ" in output
    output = told(folder, "linear", "--data", "labelled.jsonl", "--output", "out.csv", code=2)
    assert "out.csv is not what this run wrote" in output


def test_rows_that_have_no_text_stop_the_run_unless_they_are_allowed(folder: Path) -> None:
    (folder / "gaps.csv").write_text("no,headline\na,some text about sport\nb,\nc,more text about tech\n")
    output = told(folder, "linear", "--data", "gaps.csv", code=2)
    assert "1 of 3 do not:\n  gaps.csv:3: field 'headline' must hold text, but is empty" in output
    output = told(folder, "linear", "--data", "gaps.csv", "--max-errors", "50%")
    assert "3 rows: 2 ok, 1 permanent" in output
    stored = load_run(directory(output, folder), folder)
    assert [line.outcome for line in stored.lines] == ["ok", "permanent", "ok"]


def test_the_list_shows_what_there_is(folder: Path) -> None:
    told(folder, "linear", "--data", "news.csv", "--run-id", "mine")
    output = told(folder, "list")
    for said in ("models (MODEL):\n  none yet", "  classify  version", "  echo", "  bbc-news", "  parquet"):
        assert said in output
    assert f"mine  finished, 5 rows of {folder / 'news.csv'}" in output


def test_two_systems_are_compared_on_the_same_rows(folder: Path) -> None:
    arguments = ("linear", "--data", "labelled.jsonl", "--random", "20", "--text-column", "headline")
    output = told(folder, *arguments, "--agree", "echo:parrot")
    assert "equal answers: 20 of 20 rows, 100.0% [83.9%, 100.0%] (Wilson, 95%)" in output
    assert "largest difference of a probability: median " in output
    assert "macro_f1 of the second less that of the first: 0 [" in output
    output = told(folder, *arguments, "--agree", "echo", "--labels", "sport,tech")
    assert "equal answers: 20" not in output
    assert " / sport" in output
    output = told(folder, "p", "--backend", "echo", *arguments[1:], "--agree", "echo", code=2)
    assert "--agree compares two backends, but both are those of echo-p-labelled" in output


@pytest.mark.filterwarnings("ignore:Query string argument")
def test_credentials_are_not_recorded(folder: Path) -> None:
    arguments = ("--set", "format=sql", "--set", "query=SELECT * FROM t")
    (folder / "t.db").touch()
    import sqlite3

    with sqlite3.connect(folder / "t.db") as base:
        base.execute("CREATE TABLE t AS SELECT 'a text about sport' AS text")
    base.close()
    place = f"sqlite:///{folder}/t.db?password=s3c.r3t"
    run = directory(told(folder, "linear", "--data", place, *arguments), folder)
    assert run.name.startswith("linear-t-")
    for file in run.iterdir():
        assert "s3c" not in file.name + file.read_text()
    assert values(run / "run.json")["data"].endswith("t.db?password=***")


def values(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_key_is_that_of_the_files_however_they_are_named(folder: Path, model: Path) -> None:
    first = directory(told(folder, "linear", "--data", "news.csv"), folder)
    output = told(folder, str(model), "--data", str(folder / "news.csv"))
    assert "goes on: 5 rows" in output
    assert values(directory(output, folder) / "run.json")["key"] == values(first / "run.json")["key"]


def test_errors_about_the_data_name_the_options_of_this_command(folder: Path) -> None:
    (folder / "lines.doc").write_text("no format\n")
    assert "give --set format=NAME with one of: jsonl," in told(folder, "linear", "--data", "lines.doc", code=2)
    (folder / "latin.csv").write_bytes("text\na café\n".encode("latin-1") + "a café\n".encode())
    output = told(folder, "linear", "--data", "latin.csv", code=2)
    assert "is not utf-8; set --set encoding=…, or --set fallback_encoding=… for files" in output
    output = told(folder, "linear", "--data", "latin.csv", "--set", "encoding=latin-1")
    assert "rows: 2 of 2 (the first 5)\n" in output


@pytest.mark.parametrize(("given", "expected"), [(None, "passive"), ("active", "active")])
def test_threads_of_a_model_sleep_while_they_wait(
    given: str | None, expected: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries read the variable once, when the first of them is loaded: before the model."""
    from podium.local import inference_system

    found, opened = [], inference_system.open_system

    def watched(*given: Any) -> Any:
        found.append(os.environ.get("OMP_WAIT_POLICY"))
        return opened(*given)

    monkeypatch.setattr("podium.local.inference.open_system", watched)
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    else:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
        monkeypatch.setattr("conftest._environment", lambda: dict(os.environ))
    told(folder, "linear", "--data", "news.csv")
    assert found == [expected]

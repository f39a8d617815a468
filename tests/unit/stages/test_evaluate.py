"""What `podium evaluate` finds under a name, what it says of it, and what it leaves behind."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from podium.config.schema import DatasetConfig
from podium.data.artifact import DataArtifact
from podium.data.prepare import prepare
from podium.errors import InputError
from podium.evaluation.evaluated import Evaluation
from podium.evaluation.metrics import all_metrics
from podium.evaluation.predictions import Predictions
from podium.inference.stored import load_run
from podium.keys import Key
from podium.records import DataRecord, ModelRecord, Variant, VariantRecord
from podium.stages.evaluate import evaluate_run
from podium.stages.evaluated_models import Places, Reading
from podium.store.store import ArtifactStore
from tests.unit.inference.stored_run import LABELS, write_run
from tests.unit.report.samples import models_of, sample

ROWS = 120


class Out:
    """An output folder with runs of `podium infer` and, where it is asked for, a refit of `podium run`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = ArtifactStore(str(root / "store"))

    def write(self, name: str, right: float, *, seed: int = 0, silent: int = 0, **run: Any) -> Path:
        draw = np.random.default_rng(7)
        truth = draw.choice(LABELS, ROWS).tolist()
        columns = {
            "text": ["word " * (1 + row % 50) for row in range(ROWS)],
            "label": truth,
            "source": draw.choice(["web", "print"], ROWS).tolist(),
        }
        draw = np.random.default_rng(seed)
        answers: list[str | None] = [one if draw.random() < right else str(draw.choice(LABELS)) for one in truth]
        answers[:silent] = [None] * silent
        given = [None if one is None else [0.8 if one == label else 0.1 for label in LABELS] for one in answers]
        return write_run(self.root / "inference" / name, columns, answers, given, **run)

    def evaluate(self, name: str, against: str = "", **reading: Any) -> tuple[Evaluation, Path]:
        def no_tracker() -> Any:
            raise AssertionError("the registry is asked for registered versions only")

        places = Places(self.root / "inference", self.root / "runs", lambda: self.store, no_tracker)
        return evaluate_run(name, against, places, Reading(**reading), self.root / "evaluations")


@pytest.fixture
def out(tmp_path: Path) -> Out:
    return Out(tmp_path)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def test_a_run_of_infer_is_evaluated_and_everything_is_written_down(out: Out) -> None:
    out.write("r1", 0.8, silent=6)
    found, directory = out.evaluate("r1", by=("source", "length"))
    predictions = load_run("r1", out.root / "inference").predictions()
    values = {one.name: one.interval.value for one in found.metrics}
    assert all(values[name] == value for name, value in all_metrics(predictions).items())
    assert (found.run.rows, found.run.unanswered, found.run.outcomes) == (ROWS, 6, {"ok": ROWS - 6, "unparseable": 6})
    assert [one.column for one in found.slicings] == ["source", "length"]
    names = {file.name for file in directory.iterdir()}
    assert names == {
        *("evaluation.json", "report.html", "metrics.csv", "rows.csv", "slices.csv", "disparities.csv"),
        *("calibration.csv", "coverage.csv"),
    }
    assert Evaluation.model_validate_json((directory / "evaluation.json").read_bytes()) == found
    rows = table(directory / "rows.csv")
    assert [row["row"] for row in rows] == list(predictions.ids)
    assert sum(row["right"] == "True" for row in rows) == found.run.right
    assert rows[0] == {
        **{"row": "rows.jsonl:1", "truth": rows[0]["truth"], "answer": "", "right": "False", "probability": ""},
        **{"source": rows[0]["source"], "length": "5"},
    }
    metrics = {row["metric"]: float(row["value"]) for row in table(directory / "metrics.csv")}
    assert metrics == pytest.approx(values)
    sizes = {row["slice"]: int(row["rows"]) for row in table(directory / "slices.csv") if row["column"] == "source"}
    assert sum(sizes.values()) == ROWS


def test_equal_answers_and_options_have_one_directory(out: Out) -> None:
    path = out.write("r1", 0.8)
    first, second = out.evaluate("r1")[1], out.evaluate(str(path))[1]
    assert first == second
    assert first.name.startswith("r1-")
    others = {out.evaluate("r1", by=("source",))[1], out.evaluate("r1", positive="tech")[1]}
    shutil.rmtree(path)
    out.write("r1", 0.7)
    assert len({first, *others, out.evaluate("r1")[1]}) == 4


def test_a_run_against_another_one(out: Out) -> None:
    out.write("old", 0.5, seed=1)
    out.write("new", 0.9, seed=2)
    found, directory = out.evaluate("new", "old")
    assert found.against is not None
    assert found.against.other.name == "old"
    changes = table(directory / "changes.csv")
    assert len(changes) == found.against.gained + found.against.lost
    accuracy = next(row for row in table(directory / "differences.csv") if row["metric"] == "accuracy")
    assert (accuracy["real"], accuracy["better"]) == ("True", "True")


def test_rows_without_a_label_are_left_out_and_said(out: Out) -> None:
    directory = write_run(
        out.root / "inference" / "r1",
        {"text": ["a", "b", "c"], "label": ["sport", None, "tech"], "source": ["x", "y", "z"]},
        ["sport", "sport", "sport"],
    )
    found, written = out.evaluate(str(directory), by=("source",))
    assert found.run.notes == ("1 rows without a label are left out",)
    assert [row["source"] for row in table(written / "rows.csv")] == ["x", "z"]


def test_free_text(out: Out) -> None:
    columns = {"question": ["2+2", "3+3", "4+4"], "gold": [4, 6, 8], "kind": ["a", "a", "b"]}
    about: dict[str, Any] = {"task": None, "labels": None, "target": None, "content": None}
    write_run(out.root / "inference" / "r1", columns, ["4", "seven", None], **about, format="jsonl")
    found, directory = out.evaluate("r1", task="text", label_column="gold", by=("kind",))
    assert {one.name: round(one.interval.value, 3) for one in found.metrics}["exact_match"] == 0.333
    assert found.skipped == dict.fromkeys(("calibration", "thresholds"), "the answers have no probabilities")
    assert [row["answer"] for row in table(directory / "rows.csv")] == ["4", "seven", ""]


def test_other_tasks(out: Out) -> None:
    about: dict[str, Any] = {"task": "multi-label", "labels": ["a", "b"], "target": "labels"}
    several = {"text": ["x", "y", "z"], "labels": [["a"], ["a", "b"], ["b"]]}
    write_run(out.root / "inference" / "m", several, [["a"], ["a"], None], [[0.9, 0.2], [0.8, 0.4], None], **about)
    found, directory = out.evaluate("m", by=("label",))
    assert [one.value for one in found.slicings[0].slices] == ["a", "a, b", "b"]
    assert found.thresholds is not None
    assert found.thresholds.of == "all labels"
    assert [json.loads(row["truth"]) for row in table(directory / "rows.csv")] == several["labels"]
    about = {"task": "ner", "labels": ["O", "B-PER", "I-PER"], "target": "tags", "content": "tokens"}
    words = {"tokens": [["Ann", "ran"], ["Bo"]], "tags": [["B-PER", "O"], ["B-PER"]]}
    write_run(out.root / "inference" / "n", words, [["B-PER", "O"], None], **about)
    found, _ = out.evaluate("n", by=("length",))
    assert {one.name: one.interval.value for one in found.metrics}["recall"] == 0.5
    assert [one.value for one in found.slicings[0].slices] == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "reading", "said"),
    [
        ("r9", {}, "'r9' must be a run of `podium infer`"),
        ("r1", {"by": ("sauce",)}, "but got 'sauce'; did you mean \"source\"?; its columns: length, label, text"),
        ("r1", {"positive": "arts"}, "--positive must be one of the labels business, sport, tech, but got 'arts'"),
        ("r1", {"task": "texts"}, "task must be one of text-classification"),
        ("r1", {"data": "rows.csv"}, "--data is for models of `podium run`"),
        ("r1", {"label_column": "source"}, "must be among those that the model may answer"),
    ],
)
def test_what_cannot_be_evaluated_is_said(out: Out, name: str, reading: dict[str, Any], said: str) -> None:
    out.write("r1", 0.8)
    with pytest.raises(InputError) as refused:
        out.evaluate(name, **reading)
    assert said in str(refused.value)


def test_runs_of_other_rows_or_other_labels_are_not_compared(out: Out) -> None:
    out.write("r1", 0.8)
    columns = {"text": ["x"] * ROWS, "label": ["sport"] * ROWS}
    write_run(out.root / "inference" / "relabelled", columns, ["sport"] * ROWS)
    with pytest.raises(InputError, match="must have the same labels to be compared"):
        out.evaluate("r1", "relabelled")
    path = write_run(out.root / "inference" / "elsewhere", columns, ["sport"] * ROWS, format="jsonl")
    for file in path.glob("*.jsonl"):
        file.write_text(file.read_text().replace("rows.jsonl", "other.jsonl"))
    with pytest.raises(InputError, match="must have rows in common"):
        out.evaluate("r1", "elsewhere")


@pytest.fixture
def refit(out: Out) -> Callable[..., tuple[ModelRecord, Path]]:
    """Stores a refit with its predictions and the data set that it was made from, whose file has a column `source`."""

    def store() -> tuple[ModelRecord, Path]:
        file = out.root / "reviews.csv"
        lines = [f"a text of number {row},{LABELS[row % 3]},{'web' if row % 4 else 'print'}" for row in range(200)]
        file.write_text("text,label,source\n" + "\n".join(lines) + "\n")
        config = DatasetConfig(name="reviews", path=str(file), task="text-classification", test_fraction=0.5)
        made = prepare(config, 1, out.root / "data")
        rows = DataArtifact(out.root / "data").test
        key = Key.of("data", of="reviews")
        artifact = out.store.put_artifact("data", out.root / "data")
        out.store.put(key, DataRecord(key=key.digest, **made.model_dump(), artifacts={"data": artifact}))
        truth = np.array(rows["label"])
        given = Predictions("text-classification", LABELS, tuple(rows["id"]), truth, np.where(truth == 2, 1, truth))
        given.save(out.root / "predictions")
        artifact = out.store.put_artifact("predictions", out.root / "predictions")
        (out.root / "model").mkdir()
        (out.root / "model" / "linear.json").write_text("{}")
        artifacts = {"predictions": artifact, "model": out.store.put_artifact("model", out.root / "model")}
        of_model = Key.of("refit", of="reviews")
        fields = {"key": of_model.digest, "artifacts": artifacts, "parents": {"data": key.digest}}
        model = models_of(sample())[0].model_copy(update=fields)
        out.store.put(of_model, model)
        return model, file

    return store


def test_a_model_of_a_run_is_sliced_by_columns_of_its_data(out: Out, refit: Any) -> None:
    model, file = refit()
    found, directory = out.evaluate(model.key[:12], by=("length", "label", "source"), data=str(file))
    assert (found.run.model, found.run.source) == (model.entrant, f"refit {model.key[:12]}")
    assert [one.column for one in found.slicings] == ["length", "label", "source"]
    lines = file.read_text().splitlines()
    for row in table(directory / "rows.csv"):
        text, label, source = lines[int(row["row"].rpartition(":")[2]) - 1].split(",")
        assert (row["source"], row["truth"], row["length"]) == (source, label, str(len(text)))
    tech = next(one for one in found.slicings[1].slices if one.value == "tech")
    assert tech.scores["accuracy"].value == 0


def test_rows_that_the_model_learned_from_are_warned_of(out: Out, refit: Any) -> None:
    model, _ = refit()
    known = DataArtifact(out.root / "data").development["text"]
    texts = [f"  {text}\r\n" for text in known[:40]] + [f"something new {row}" for row in range(60)]
    columns = {"text": texts, "label": ["sport"] * 100}
    parts = {"system": {"model": model.artifacts["model"].digest}}
    write_run(out.root / "inference" / "r1", columns, ["sport"] * 100, parts=parts)
    found, written = out.evaluate("r1", by=("seen",))
    assert found.run.notes[0].startswith("the model learned from 40 of 100 rows")
    assert [row["seen"] for row in table(written / "rows.csv")] == ["yes"] * 40 + ["no"] * 60
    parts = {"system": {"model": "0" * 64}}
    write_run(out.root / "inference" / "r2", columns, ["sport"] * 100, parts=parts)
    assert out.evaluate("r2")[0].run.notes == ()
    built = Key.of("variant", of="reviews")
    (out.root / "variant").write_text("onnx")
    made = VariantRecord(
        key=built.digest,
        parents={"refit": model.key},
        artifacts={"model": out.store.put_artifact("model", out.root / "variant")},
        variant=Variant(entrant=model.entrant, variant="onnx", model_digest="0" * 64, status="ok"),
    )
    out.store.put(built, made)
    parts = {"system": {"model": made.artifacts["model"].digest}}
    write_run(out.root / "inference" / "r3", columns, ["sport"] * 100, parts=parts)
    assert len(out.evaluate("r3")[0].run.notes) == 1


def test_columns_of_a_model_of_a_run_need_the_data_that_it_read(out: Out, refit: Any) -> None:
    model, file = refit()
    for reading, said in (
        ({"by": ("source",)}, "can be sliced by length, label, but got 'source'; name the data"),
        ({"by": ("sauce",), "data": str(file)}, "its columns: length, label, text, source"),
        ({"task": "ner"}, "is of text-classification, not ner"),
        ({"label_column": "label"}, "--label-column is for runs of `podium infer`"),
    ):
        with pytest.raises(InputError) as refused:
            out.evaluate(model.key[:12], **reading)
        assert said in str(refused.value)
    file.write_text(file.read_text() + "one more,sport,web\n")
    with pytest.raises(InputError, match="has changed since, or is another"):
        out.evaluate(model.key[:12], by=("source",), data=str(file))

"""How runs are named, what is found under each name, and what is said of names that mean nothing or several things."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import pytest

from podium.benchmarking.calls import Repetition
from podium.errors import InputError
from podium.evaluation.predictions import Predictions
from podium.keys import Key
from podium.records import (
    ArtifactRef,
    BenchmarkRecord,
    MeasurementRecord,
    ModelRecord,
    Record,
    SelectionRecord,
)
from podium.selection.estimates import ComparedModel
from podium.stages.compared_models import find_models
from podium.store.store import ArtifactStore
from podium.tracking import Tracker
from podium.tracking.base import TrackedModel
from tests.unit.report.samples import models_of, sample
from tests.unit.selection.simulated import HARDWARE, measurement, predictions, repetitions

R = TypeVar("R", bound=Record)


class Stored:
    """A store with one made-up run in it: two champions, one of which was measured in two variants."""

    def __init__(self, root: Path) -> None:
        self.root, self.runs = root, root / "runs"
        self.store = ArtifactStore(str(root / "store"))
        given = sample()
        self.models = [self._model(model) for model in models_of(given)]
        refits = {f"refit.{model.entrant}": model.key for model in self.models}
        first, second = self.models
        self.selection = self._put(given.selection.model_copy(update={"parents": refits, "artifacts": {}}))
        measured = [(first, "eager", 1.0), (first, "onnx", 0.8), (second, "eager", 2.0)]
        found = {(model.entrant, variant): repetitions(3, slower) for model, variant, slower in measured}
        self.benchmark = self._put(
            BenchmarkRecord(
                key="",
                parents={**refits, "selection": self.selection.key},
                hardware=HARDWARE,
                measurements=tuple(
                    measurement(found[model.entrant, variant], entrant=model.entrant, variant=variant)
                    for model, variant, _ in measured
                ),
                artifacts={
                    f"samples.{name}.{variant}": self.samples(f"{name}-{variant}", {"repetitions": dumped(own)})
                    for (name, variant), own in found.items()
                },
            )
        )
        self.decision = self._put(
            given.decision.model_copy(
                update={
                    "parents": {"selection": self.selection.key, "benchmark": self.benchmark.key},
                    "winner": first.entrant,
                    "winner_variant": "onnx",
                }
            )
        )

    def samples(self, name: str, content: object) -> ArtifactRef:
        folder = self.root / "scratch" / name
        folder.mkdir(parents=True)
        (folder / "samples.json").write_text(json.dumps(content))
        return self.store.put_artifact("samples", folder)

    def _model(self, model: ModelRecord) -> ModelRecord:
        folder = self.root / "scratch" / model.entrant
        predictions(0.9).save(folder)
        artifact = self.store.put_artifact("predictions", folder)
        return self._put(model.model_copy(update={"artifacts": {"predictions": artifact}}))

    def _put(self, record: R) -> R:
        key = Key.of(record.kind, of=getattr(record, "entrant", record.kind))
        record = record.model_copy(update={"key": key.digest})
        self.store.put(key, record)
        return record

    def directory(self, run_id: str, **steps: Record) -> Path:
        for step, record in steps.items():
            record.save(self.runs / run_id / "steps" / step / "record.json")
        return self.runs / run_id

    def find(self, *texts: str, tracker: Tracker | None = None) -> list[ComparedModel]:
        def asked() -> Tracker:
            assert tracker is not None, "the registry is asked for registered versions only"
            return tracker

        return find_models(texts, self.store, self.runs, asked)


def dumped(found: list[Repetition]) -> list[dict[str, Any]]:
    return [one.model_dump() for one in found]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return Stored(tmp_path_factory.mktemp("out"))


def test_a_run_stands_for_its_winner(stored: Stored) -> None:
    directory = stored.directory(
        "20260304-1", select=stored.selection, benchmark=stored.benchmark, decide=stored.decision
    )
    (stored.runs / "latest").symlink_to("20260304-1")
    found = stored.find("latest", "20260304-1", str(directory))
    entrant = stored.models[0].entrant
    assert {one.title for one in found} == {f"{entrant} (onnx)"}
    assert [one.name for one in found] == ["latest", "20260304-1", str(directory)]
    one = found[0]
    assert one.measurement is not None
    assert one.measurement.variant == "onnx"
    assert len(one.repetitions) == 3
    assert one.hardware == HARDWARE
    assert one.predictions is None, "those of the eager model are not those of a variant"
    assert one.data == stored.models[0].parents["data"]


def test_a_model_of_a_run_can_be_named(stored: Stored) -> None:
    first, second = (model.entrant for model in stored.models)
    key = f"decision/{stored.decision.key[:12]}"
    found = stored.find(f"{key}:{first}.eager", f"{key}:{second}")
    assert [one.title for one in found] == [f"{first} (eager)", f"{second} (eager)"]
    assert found[0].predictions is not None


def test_keys_of_every_kind_that_can_be_compared(stored: Stored) -> None:
    model = stored.models[1]
    found = stored.find(
        f"benchmark/{stored.benchmark.key}:{model.entrant}",
        f"selection/{stored.selection.key[:8]}:{model.entrant}",
        model.key[:12],
    )
    assert [one.record for one in found] == [
        f"benchmark {stored.benchmark.key[:12]}",
        f"selection {stored.selection.key[:12]}",
        f"refit {model.key[:12]}",
    ]
    assert [one.measurement is not None for one in found] == [True, False, False]
    assert all(one.predictions is not None for one in found)


def test_a_model_measured_alone(stored: Stored) -> None:
    found = repetitions(4)
    record = MeasurementRecord(
        key=Key.of("measurement", of="alone").digest,
        hardware=HARDWARE,
        measurement=measurement(found),
        artifacts={"samples": stored.samples("alone", {"repetitions": dumped(found)})},
    )
    stored.store.put(Key.of("measurement", of="alone"), record)
    one = stored.find(record.key)[0]
    assert (one.title, len(one.repetitions), one.predictions) == ("tiny (eager)", 3, None)


def test_samples_that_cannot_be_read_are_a_note(stored: Stored) -> None:
    key = Key.of("measurement", of="odd")
    odd = stored.samples("odd", {"repetitions": [{"latency": 1}]})
    stored.store.put(
        key, MeasurementRecord(key=key.digest, measurement=measurement(repetitions(1)), artifacts={"samples": odd})
    )
    one = stored.find(key.digest)[0]
    assert one.repetitions == ()
    assert "its raw samples cannot be read" in one.notes[0]


def test_what_is_named_twice_gets_a_number(stored: Stored) -> None:
    key = stored.models[0].key
    assert [one.name for one in stored.find(key, key)] == [f"{key} (1)", f"{key} (2)"]


class Registry:
    uri = "sqlite:///here.db"

    def __init__(self, **tags: str) -> None:
        self._tags = {name.replace("_", "."): value for name, value in tags.items()}

    def registered(self, name: str, selector: str) -> TrackedModel | None:
        known = (name, selector) in (("news", "champion"), ("news", "4"))
        return TrackedModel(name, "4", "", (selector,), self._tags) if known else None


def test_a_registered_version_stands_for_its_decision_or_its_refit(stored: Stored) -> None:
    promoted = Registry(podium_decision=stored.decision.key)
    by_hand = Registry(podium_model_key=stored.models[1].key)
    found = [
        *stored.find("news@champion", tracker=promoted),  # type: ignore[arg-type]
        *stored.find("models:/news/4", tracker=by_hand),  # type: ignore[arg-type]
    ]
    assert [one.record.split()[0] for one in found] == ["decision", "refit"]
    with pytest.raises(InputError, match="no version or alias '5'"):
        stored.find("news/5", tracker=promoted)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="name the store with --store"):
        stored.find("news@champion", tracker=Registry())  # type: ignore[arg-type]


def test_what_means_nothing_or_several_things_is_told(stored: Stored) -> None:
    stored.directory("20260304-2")
    (stored.runs / "20260304-2" / "steps").mkdir(parents=True)
    first = stored.models[0].entrant
    for text, said in (
        ("nowhere", "a run is a run directory"),
        ("20260304-2", "no selection, benchmark or decision yet"),
        ("decision/0123456789", "no result"),
        (f"benchmark/{stored.benchmark.key}", f"{first}.eager, {first}.onnx"),
        (f"decision/{stored.decision.key}:nobody", "but 0 are"),
        (f"benchmark/{stored.benchmark.key}:{first}", "but 2 are"),
    ):
        with pytest.raises(InputError, match=said):
            stored.find(text)


def test_predictions_are_those_of_the_variant_where_it_has_its_own(stored: Stored) -> None:
    folder = stored.root / "scratch" / "own"
    predictions(0.7, seed=3).save(folder)
    own = stored.store.put_artifact("predictions", folder)
    first = stored.models[0].entrant
    artifacts = {**stored.benchmark.artifacts, f"predictions.{first}.onnx": own}
    key = Key.of("benchmark", of="with predictions")
    stored.store.put(key, stored.benchmark.model_copy(update={"key": key.digest, "artifacts": artifacts}))
    one = stored.find(f"{key.digest}:{first}.onnx")[0]
    assert isinstance(one.predictions, Predictions)
    assert (one.predictions.predicted == predictions(0.7, seed=3).predicted).all()


def test_decisions_without_their_parents_are_told(tmp_path: Path) -> None:
    key = Key.of("decision", of="lone")
    store = ArtifactStore(str(tmp_path))
    lone = sample().decision.model_copy(update={"key": key.digest, "parents": {}, "winner": None})
    store.put(key, lone)
    with pytest.raises(InputError, match=r"one model of .* must be meant, but 0 are"):
        find_models([key.digest], store, tmp_path, lambda: pytest.fail("not asked"))


def test_selections_hold_their_metric(stored: Stored) -> None:
    assert isinstance(stored.selection, SelectionRecord)
    one = stored.find(f"selection/{stored.selection.key}:{stored.models[0].entrant}")[0]
    assert one.scores is not None
    assert stored.selection.metric in one.scores

"""The selection of three champions and two baselines, from predictions in a real store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from podium.errors import InputError, StepFailed
from podium.evaluation.predictions import Predictions
from podium.keys import Key
from podium.records import Baseline, BaselineRecord, ModelRecord, Record
from podium.stages.decide import select
from podium.stages.step import StepRun
from podium.store.store import ArtifactStore
from podium.tracking import Tracker
from tests.unit.report.samples import failed_entrant, models_of, sample

ENTRANTS = ("minilm", "bert-tiny", "deberta-v3-small")
INPUTS = sample(entrants=ENTRANTS)
LABELS = INPUTS.data.labels


def predictions(accuracy: float, seed: int, rows: int = 300, labels: tuple[str, ...] = LABELS) -> Predictions:
    truth = np.arange(rows) % len(labels)
    wrong = np.random.default_rng(seed).random(rows) > accuracy
    ids = tuple(map(str, range(rows)))
    return Predictions("text-classification", labels, ids, truth, np.where(wrong, (truth + 1) % len(labels), truth))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


@pytest.fixture
def keep(store: ArtifactStore, tmp_path: Path):
    def put(given: Predictions) -> Any:
        given.save(tmp_path / "predictions")
        return store.put_artifact("predictions", tmp_path / "predictions")

    return put


def models(keep: Any) -> list[ModelRecord]:
    accuracy = dict(zip(ENTRANTS, (0.9, 0.6, 0.95), strict=True))
    return [
        model.model_copy(
            update={
                "artifacts": {**model.artifacts, "predictions": keep(predictions(accuracy[model.entrant], place))},
                "metrics": {
                    **model.metrics,
                    "macro_f1": model.metrics["macro_f1"].model_copy(update={"value": accuracy[model.entrant]}),
                },
            }
        )
        for place, model in enumerate(models_of(INPUTS))
    ]


def baseline(keep: Any, **given: Predictions) -> BaselineRecord:
    shown = tuple(Baseline(name=name, metrics={}, seconds=1.0) for name in given)
    return BaselineRecord(key="b" * 64, baselines=shown, artifacts={name: keep(one) for name, one in given.items()})


def step(store: ArtifactStore, records: tuple[Record, ...]) -> StepRun:
    return StepRun(INPUTS.run, records, store=store, tracker=Tracker(), key=Key.of("selection"))


def test_every_pair_and_every_baseline_is_compared(store: ArtifactStore, keep: Any) -> None:
    given = baseline(keep, majority=predictions(0.2, 8), frequent=predictions(0.9, 9))
    found = select(step(store, (given, *INPUTS.studies, *models(keep))))
    assert [entry.entrant for entry in found.leaderboard] == ["deberta-v3-small", "minilm", "bert-tiny"]
    assert found.rows == 300
    assert [(item.challenger, item.reference) for item in found.comparisons] == [
        ("minilm", "deberta-v3-small"),
        ("bert-tiny", "deberta-v3-small"),
    ]
    assert found.comparisons[1].measurably_worse
    assert [entry.name for entry in found.baselines] == ["frequent", "majority"]
    beaten = {(item.challenger, item.reference): item.measurably_better for item in found.baseline_comparisons}
    assert len(beaten) == 6 and beaten["minilm", "majority"] and not beaten["minilm", "frequent"]
    assert [warning.split(":")[0] for warning in found.warnings] == [
        "minilm does not measurably beat the frequent baseline",
        "bert-tiny does not measurably beat the frequent baseline",
    ]
    assert {test.reference for test in found.fold_tests} == {"deberta-v3-small"}
    assert all(entry.runner_up is not None for entry in found.leaderboard)


def test_without_baselines_nothing_is_said_of_them(store: ArtifactStore, keep: Any) -> None:
    found = select(step(store, (baseline(keep), *INPUTS.studies, *models(keep))))
    assert (found.baselines, found.baseline_comparisons, found.warnings) == ((), (), ())


def test_entrants_that_failed_are_no_candidates(store: ArtifactStore, keep: Any) -> None:
    """One without a study, and one whose refit failed; the one that is left is compared with the baseline alone."""
    searched, refitted = failed_entrant("minilm"), failed_entrant("bert-tiny", step="refit")
    given = (baseline(keep, majority=predictions(0.2, 8)), *INPUTS.studies[1:], *models(keep)[2:])
    found = select(step(store, (*given, searched, searched, refitted)))
    assert [entry.entrant for entry in found.leaderboard] == ["deberta-v3-small"]
    assert found.comparisons == () and len(found.baseline_comparisons) == 1


def test_where_all_failed_there_is_nothing_to_select(store: ArtifactStore, keep: Any) -> None:
    failed = tuple(failed_entrant(name) for name in ENTRANTS)
    with pytest.raises(StepFailed, match=r"(?s)hpo-minilm: .*hpo-bert-tiny: .*hpo-deberta-v3-small: a training must"):
        select(step(store, (baseline(keep), *failed)))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (predictions(0.9, 1, rows=200), "same rows"),
        (predictions(0.9, 1, labels=("a", "b", "c", "d", "e")), "same truth"),
    ],
)
def test_a_baseline_on_other_rows_or_labels_is_refused(
    store: ArtifactStore, keep: Any, other: Predictions, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        select(step(store, (baseline(keep, frequent=other), *INPUTS.studies, *models(keep))))

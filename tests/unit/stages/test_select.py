"""The selection of three champions and two baselines, from predictions in a real store."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from podium.errors import InputError, StepFailed
from podium.evaluation.predictions import Predictions
from podium.keys import Key
from podium.records import Baseline, BaselineRecord, ModelRecord, Record
from podium.selection.comparison import GUESSING
from podium.stages.select import compute as select
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


def out_of_fold(keep: Any, sharpness: float, seed: int) -> Any:
    """Predictions of 600 rows by a model that knows nine of ten; every twentieth label is wrong."""
    draw, rows, count = np.random.default_rng(seed), 600, len(LABELS)
    truth = np.arange(rows) % count
    given = np.where(np.arange(rows) % 20 == 7, (truth + 1) % count, truth)
    logits = draw.normal(0, 1, size=(rows, count))
    logits[np.arange(rows), truth] += np.where(draw.random(rows) < 0.9, sharpness, 0)
    likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = tuple(f"news.csv:{row}" for row in range(rows))
    return keep(Predictions("text-classification", LABELS, ids, given, likely.argmax(axis=1), likely))


def test_labels_that_the_champions_contradict_are_listed(store: ArtifactStore, keep: Any) -> None:
    kept = {"minilm": out_of_fold(keep, 5, 1), "bert-tiny": out_of_fold(keep, 2, 2)}
    studies = tuple(
        study.model_copy(update={"artifacts": {"out_of_fold": kept[study.entrant]} if study.entrant in kept else {}})
        for study in INPUTS.studies
    )
    found = select(step(store, (baseline(keep, majority=predictions(0.2, 8)), *studies, *models(keep))))
    review = found.labels
    assert (review.status, review.entrants, review.rows) == ("ok", ("bert-tiny", "minilm"), 600)
    file = store.fetch(found.artifacts["label_issues"]) / "label_issues.csv"
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    wrong = {f"news.csv:{row}" for row in range(600) if row % 20 == 7}
    listed = {row["row"] for row in rows}
    assert len(listed) == review.suspected == len(rows)
    assert len(listed & wrong) >= len(wrong) / 2 and len(listed & wrong) > len(listed) / 2
    assert (rows[0]["file"], rows[0]["line"]) == ("news.csv", rows[0]["row"].partition(":")[2])
    assert rows[0]["reason"].startswith("models that did not learn from this row find")
    assert [(one.row, one.given, one.suggested) for one in review.clearest[:3]] == [
        (row["row"], row["given"], row["suggested"]) for row in rows[:3]
    ]
    assert sum(pair.rows for pair in review.pairs) == len(rows)


def test_models_that_know_nothing_are_said_to_know_too_little(store: ArtifactStore, keep: Any) -> None:
    studies = tuple(
        study.model_copy(update={"artifacts": {"out_of_fold": out_of_fold(keep, 0.0, 3)}}) for study in INPUTS.studies
    )
    found = select(step(store, (baseline(keep, majority=predictions(0.2, 8)), *studies, *models(keep))))
    assert found.labels.status == "degraded" and "too unsure" in found.labels.reason


def test_without_predictions_of_folds_labels_are_not_searched(store: ArtifactStore, keep: Any) -> None:
    found = select(step(store, (baseline(keep, majority=predictions(0.2, 8)), *INPUTS.studies, *models(keep))))
    assert found.labels.status == "skipped" and "run_mode=force_new" in found.labels.reason
    assert found.artifacts == {}


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
    assert (
        len(beaten) == 9
        and all(beaten[name, GUESSING] for name in ENTRANTS)
        and beaten["minilm", "majority"]
        and not beaten["minilm", "frequent"]
    )
    assert [warning.split(":")[0] for warning in found.warnings] == [
        "minilm does not measurably beat the frequent baseline",
        "bert-tiny does not measurably beat the frequent baseline",
    ]
    assert {test.reference for test in found.fold_tests} == {"deberta-v3-small"}
    assert all(entry.runner_up is not None for entry in found.leaderboard)


def test_without_baselines_champions_are_compared_with_guessing(store: ArtifactStore, keep: Any) -> None:
    found = select(step(store, (baseline(keep), *INPUTS.studies, *models(keep))))
    assert {one.reference for one in found.baseline_comparisons} == {GUESSING}
    assert (found.baselines, found.warnings) == ((), ())


def test_entrants_that_failed_are_no_candidates(store: ArtifactStore, keep: Any) -> None:
    """One without a study, and one whose refit failed; the one that is left is compared with the baseline alone."""
    searched, refitted = failed_entrant("minilm"), failed_entrant("bert-tiny", step="refit")
    given = (baseline(keep, majority=predictions(0.2, 8)), *INPUTS.studies[1:], *models(keep)[2:])
    found = select(step(store, (*given, searched, searched, refitted)))
    assert [entry.entrant for entry in found.leaderboard] == ["deberta-v3-small"]
    assert found.comparisons == () and len(found.baseline_comparisons) == 2


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


def test_a_search_that_found_nothing_better_than_the_majority_class_says_so(store: ArtifactStore, keep: Any) -> None:
    made = models(keep)
    poor = INPUTS.studies[1]
    lowest = tuple(trial.model_copy(update={"score": 0.15 if trial.score else None}) for trial in poor.trials)
    studies = [poor.model_copy(update={"trials": lowest}) if one is poor else one for one in INPUTS.studies]
    made = [one.model_copy(update={"cv_score": 0.15}) if one.entrant == poor.entrant else one for one in made]
    majority = baseline(keep, majority=predictions(0.2, 9))
    found = select(step(store, (majority, *studies, *made)))
    said = [warning for warning in found.warnings if "nothing better than the majority baseline:" in warning]
    assert len(said) == 1 and poor.entrant in said[0] and "--time-limit" in said[0]

from __future__ import annotations

from collections.abc import Callable

import pytest

from podium.records import (
    ArtifactRef,
    Comparison,
    Interval,
    LeaderboardEntry,
    Measurement,
    ModelRecord,
    StudyRecord,
    TrialRecord,
)
from tests.unit.measurements import classifier_scenarios


def _interval(value: float, low: float | None = None, high: float | None = None) -> Interval:
    return Interval(
        value=value,
        low=value - 0.01 if low is None else low,
        high=value + 0.01 if high is None else high,
        confidence=0.95,
        method="percentile bootstrap",
    )


@pytest.fixture
def interval() -> Callable[..., Interval]:
    return _interval


@pytest.fixture
def study() -> Callable[..., StudyRecord]:
    def build(entrant: str = "tiny", scores=(0.7, 0.9, None), best: int = 1) -> StudyRecord:
        trials = tuple(
            TrialRecord(
                number=number,
                params={"learning_rate": 1e-4 * (number + 1)},
                status="failed" if score is None else "succeeded",
                fold_scores={} if score is None else {"0": score - 0.02, "1": score + 0.02},
                score=score,
            )
            for number, score in enumerate(scores)
        )
        return StudyRecord(
            key="s" * 64,
            family="f" * 64,
            entrant=entrant,
            metric="macro_f1",
            direction="maximize",
            budget=len(trials),
            trials=trials,
            best=best,
        )

    return build


@pytest.fixture
def model() -> Callable[..., ModelRecord]:
    def build(entrant: str = "tiny", test: float = 0.88, trial: int = 1, parameters: int = 4_400_000) -> ModelRecord:
        return ModelRecord(
            key=f"key-{entrant}",
            artifacts={"model": ArtifactRef(name="model", digest=f"digest-{entrant}", files=5, size_bytes=17_000_000)},
            entrant=entrant,
            task="text-classification",
            trial=trial,
            params={"learning_rate": 2e-4},
            labels=("x", "y"),
            parameters=parameters,
            cv_score=0.9,
            metric="macro_f1",
            metrics={"macro_f1": _interval(test), "accuracy": _interval(0.9)},
        )

    return build


@pytest.fixture
def entry() -> Callable[..., LeaderboardEntry]:
    def build(entrant: str, test: float = 0.9, parameters: int = 1000, size_mb: float = 17.0) -> LeaderboardEntry:
        return LeaderboardEntry(
            entrant=entrant,
            model_key=f"key-{entrant}",
            model_digest=f"digest-{entrant}",
            trial=0,
            cv_score=0.9,
            cv_std=0.01,
            trials=4,
            test=_interval(test),
            size_mb=size_mb,
            parameters=parameters,
        )

    return build


@pytest.fixture
def comparison() -> Callable[..., Comparison]:
    def build(challenger: str, reference: str, value: float, low: float, high: float) -> Comparison:
        return Comparison(
            reference=reference,
            challenger=challenger,
            metric="macro_f1",
            difference=_interval(value, low, high),
            p_value=0.2,
            measurably_worse=high < 0,
        )

    return build


@pytest.fixture
def measurement() -> Callable[..., Measurement]:
    def build(
        entrant: str,
        p50: float | None = 10.0,
        p90: float | None = 12.0,
        memory: float = 500.0,
        *,
        variant: str = "eager",
        digest: str | None = None,
        unstable: bool = False,
        energy_j: float | None = None,
    ) -> Measurement:
        found = {0.5: p50, 0.9: p90}
        quantiles = {q: _interval(value, value, value) for q, value in found.items() if value is not None}
        return Measurement(
            entrant=entrant,
            variant=variant,
            model_digest=digest or f"digest-{entrant}",
            scenarios=classifier_scenarios(quantiles, _interval(100.0), energy_j=energy_j),
            peak_rss_mb=memory,
            size_mb=17.0,
            load_seconds=0.5,
            unstable=unstable,
        )

    return build

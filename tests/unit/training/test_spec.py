from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from podium.config.schema import TrainingConfig
from podium.training.spec import TrainingResult, TrainingSpec


def make(**changes: Any) -> TrainingSpec:
    values = {
        "task": "ner",
        "labels": ("O", "B-X"),
        "data": Path("data"),
        "backbone": Path("model"),
        "config": TrainingConfig(),
        "metric": "f1",
        "seed": 1,
        "output": Path("out"),
        "cache": Path("cache"),
    }
    return TrainingSpec(**{**values, **changes})


def test_json_both_ways() -> None:
    spec = make(context={"trial": 3}, fold=1)
    assert TrainingSpec.model_validate_json(spec.model_dump_json()) == spec
    result = TrainingResult(
        metrics={"f1": 0.1 + 0.2}, epoch=1.5, steps=3, seconds=2.0, samples_per_second=4.0, threads=1
    )
    assert TrainingResult.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "accuracy"}, "metric must be one of f1, precision, recall for ner"),
        ({"labels": ("O", "O")}, "labels must be unique"),
        ({"labels": ()}, "labels"),
        ({"fold": -1}, "fold"),
        ({"data_fraction": 0.0}, "data_fraction"),
    ],
)
def test_contradictions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"config": TrainingConfig(learning_rate=1e-5)},
        {"config": TrainingConfig(dropout=0.2)},
        {"seed": 2},
        {"fold": 0},
        {"data_fraction": 0.5},
        {"labels": ("B-X", "O")},
        {"trust_remote_code": True},
        {"metric": "recall"},
    ],
)
def test_fingerprint_follows_what_shapes_the_weights(change: dict[str, Any]) -> None:
    assert make(**change).fingerprint("d", "b") != make().fingerprint("d", "b")


def test_fingerprint_ignores_places_and_batching_of_evaluation() -> None:
    other = make(
        data=Path("elsewhere"),
        output=Path("elsewhere"),
        cache=Path("elsewhere"),
        context={"trial": 1},
        config=TrainingConfig(eval_batch_size=3, checkpoints_per_epoch=5, timeout_seconds=9),
    )
    assert other.fingerprint("d", "b") == make().fingerprint("d", "b")
    assert make().fingerprint("d", "b") != make().fingerprint("e", "b")
    assert make().fingerprint("d", "b") != make().fingerprint("d", "c")

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from podium.config.schema import EntrantConfig, TrainingConfig
from podium.entrants.transformer import TRANSFORMER
from podium.training.launch import TrainingSpec
from tests.unit.entrants.conformance import EntrantConformance


class TestTransformer(EntrantConformance):
    kind = TRANSFORMER

    @pytest.fixture
    def spec(self, text_spec: Callable[..., TrainingSpec]) -> TrainingSpec:
        return text_spec(fold=None, epochs=0.1)

    @pytest.fixture
    def entry(self, toy: Path) -> EntrantConfig:
        return EntrantConfig(path=str(toy))


def test_a_refit_trains_for_the_median_of_the_best_epochs() -> None:
    stopped = TrainingConfig(epochs=9, early_stopping_patience=2)
    settled = TRANSFORMER.settled(stopped, [{"epoch": 1.0}, {"epoch": 4.0}, {"epoch": 2.0}])
    assert (settled.epochs, settled.early_stopping_patience) == (2.0, None)


def test_a_fold_reports_at_least_once_an_epoch() -> None:
    assert TRANSFORMER.reporting(TrainingConfig()).evaluations_per_epoch == 1
    assert TRANSFORMER.reporting(TrainingConfig(evaluations_per_epoch=3)).evaluations_per_epoch == 3

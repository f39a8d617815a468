"""What makes a variant fail, on logits and predictions made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from podium.errors import ModelError
from podium.evaluation.bootstrap import bootstrap_interval, paired_difference
from podium.evaluation.predictions import Predictions
from podium.export import worker
from podium.export.variants import BuildCall
from podium.export.worker import CONFIDENCE, LOGITS, QUALITY, RESAMPLES, compare_logits, verdict
from podium.inference.predictor import PredictorSpec
from podium.records import VariantCheck

LABELS = ("ham", "spam")


def predictions(right: int, rows: int = 200) -> Predictions:
    truth = np.arange(rows) % 2
    predicted = np.where(np.arange(rows) < right, truth, 1 - truth)
    return Predictions("text-classification", LABELS, tuple(map(str, range(rows))), truth, predicted)


def checked(right: int, difference: float = 0.0, margin: float = 0.01) -> VariantCheck:
    own, eager = predictions(right), predictions(200)
    return VariantCheck(
        rows=64,
        logit_difference=difference,
        logit_scale=2.0,
        tolerance=1e-4,
        agreement=right / 200,
        metric="accuracy",
        score=bootstrap_interval(own, "accuracy", CONFIDENCE, RESAMPLES, 3),
        difference=paired_difference(own, eager, "accuracy", CONFIDENCE, RESAMPLES, 3)[0],
        margin=margin,
    )


def test_an_equal_variant_passes() -> None:
    found = checked(200)
    assert (found.difference.value, found.score.value) == (0.0, 1.0)
    assert verdict(found) == ("", "")


def test_logits_beyond_the_tolerance_fail_whatever_the_quality() -> None:
    assert verdict(checked(200, difference=1.9e-4)) == ("", "")
    code, reason = verdict(checked(200, difference=2.1e-4))
    assert code == LOGITS
    assert "by up to 0.00021 on 64 held-out rows, more than 0.0001 of their scale of 2" in reason


def test_a_loss_fails_only_when_it_is_measurably_beyond_the_margin() -> None:
    assert verdict(checked(198)) == ("", ""), "two rows of 200 may be chance"
    code, reason = verdict(checked(180))
    assert code == QUALITY
    assert "accuracy on held-out rows is -0.1000 against the eager model" in reason
    assert "benchmark.max_quality_loss" in reason
    assert verdict(checked(180, margin=0.2)) == ("", "")


def test_the_difference_of_logits_leaves_out_words_that_are_cut_off() -> None:
    cut = [np.nan, np.nan]
    eager = [np.array([[1.0, -4.0], cut], dtype=np.float32)]
    own = [np.array([[1.5, -4.0], cut], dtype=np.float32)]
    assert compare_logits(eager, own) == (0.5, 4.0)


@pytest.mark.parametrize("bad", [[np.nan, 1.0], [np.inf, 1.0], [np.nan, np.nan]])
def test_logits_that_are_not_finite_are_an_error(bad: list[float]) -> None:
    with pytest.raises(FloatingPointError, match="must be finite"):
        compare_logits([np.ones(2, dtype=np.float32)], [np.array(bad, dtype=np.float32)])


def test_what_an_export_left_half_made_is_taken_for_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(eager: Any, target: Path, task: str) -> None:
        target.mkdir()
        (target / "model.onnx").write_text("half")
        raise RuntimeError("\x1b[31mno such operator\x1b[0m")

    monkeypatch.setattr(worker, "make_onnx", fails)
    builder: Any = object.__new__(worker._Builder)
    eager = PredictorSpec.model_construct(model_dir=tmp_path / "eager", task="ner")
    builder._call = BuildCall.model_construct(eager=eager, output=tmp_path / "variants")
    builder._failed, builder._eager = {}, None
    with pytest.raises(RuntimeError):
        builder._make("onnx")
    assert not [*(tmp_path / "variants").rglob("*")]
    with pytest.raises(ModelError, match=r"fp32 package it is made from could not be built: no such operator$"):
        builder._make("onnx-int8")

"""The program that makes the variants of one model and checks that they still are that model.

It compares their logits and their quality on held-out rows (see `podium.execution.program`).
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from podium.benchmarking.calls import sample_rows
from podium.config.benchmark import VariantName
from podium.data.artifact import DataArtifact
from podium.errors import ModelError, is_disk_full
from podium.evaluation.bootstrap import bootstrap_interval, paired_difference
from podium.evaluation.predictions import Predictions
from podium.execution import program
from podium.export.make import make_bf16, make_int8, make_onnx
from podium.export.variants import FORMS, BuildCall, Built
from podium.inference.predictor import Logits, Predictor, check_finite, logits_of, predict, predictor_class
from podium.inference.torch_predictor import Bf16Predictor, EagerPredictor
from podium.records import VariantCheck
from podium.tasks import TASKS

CONFIDENCE, RESAMPLES = 0.95, 2000
"""Of the intervals in a check. They are fixed, so that no setting of the selection builds variants again."""

BUILD, NOT_FINITE, LOGITS, QUALITY = "build-failed", "not-finite", "logits-differ", "quality-lost"

_COMPARED = 64
_log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Build every variant of the call and write the outcomes; returns the exit code."""
    options = program.argument_parser("podium.export.worker", "Build variants.").parse_args(arguments)
    return program.run(options, BuildCall.model_validate_json, build)


def build(call: BuildCall) -> dict[str, Any]:
    """Make and check the variants one after another; returns a `Built` as JSON for each.

    Raises OSError where the disk is full, and ModelError where the eager model cannot be loaded.
    """
    EagerPredictor.prepare(call.eager)
    builder = _Builder(call)
    results: dict[str, Any] = {}
    for variant in call.variants:
        started = time.monotonic()
        try:
            built = builder.build(variant)
        except FloatingPointError as error:
            built = Built(code=NOT_FINITE, reason=str(error))
        # Exporters raise errors of any class; their message is the reason why there is no such variant.
        except Exception as error:
            if is_disk_full(error) or isinstance(error, MemoryError):
                raise
            _log.exception("%s of %s could not be built", variant, call.eager.model_dir)
            first_line = (str(error).strip().splitlines() or [""])[0]
            built = Built(code=BUILD, reason=f"it could not be built: {type(error).__name__}: {first_line}")
        results[variant] = {**built.model_dump(mode="json"), "seconds": time.monotonic() - started}
    return results


class _Builder:
    """The eager model, and what its variants are made of and compared with."""

    def __init__(self, call: BuildCall):
        self._call = call
        self._eager = EagerPredictor(call.eager)
        self._data = DataArtifact(call.data)
        rows = self._data.test[TASKS.get(self._data.task).content]
        # A few rows of every length, in random order, so that batches are padded.
        self._compared = sample_rows(rows, min(_COMPARED, len(rows)), call.seed)
        self._logits = logits_of(self._eager, self._compared)
        self._reference = Predictions.load(call.reference)

    def build(self, variant: VariantName) -> Built:
        """Make the files of a variant, load it as the benchmark will, and check it."""
        call, reference = self._call, self._reference
        predictor = self._load(variant, self._make(variant))
        logit_difference, scale = compare_logits(self._logits, logits_of(predictor, self._compared))
        own = predict(predictor, self._data.task, self._data.labels, self._data.test)
        own.save(call.output / variant / "predictions")
        difference, _ = paired_difference(own, reference, call.metric, CONFIDENCE, RESAMPLES, call.seed)
        answers = reference.aligned_to(own.ids).named("predicted")
        found = VariantCheck(
            rows=len(self._compared),
            logit_difference=logit_difference,
            logit_scale=scale,
            tolerance=FORMS[variant].tolerance,
            agreement=TASKS.get(own.task).agreement(own.named("predicted"), answers),
            metric=call.metric,
            score=bootstrap_interval(own, call.metric, CONFIDENCE, RESAMPLES, call.seed),
            difference=difference,
            margin=call.margin,
        )
        code, reason = verdict(found)
        return Built(code=code, reason=reason, check=found)

    def _make(self, variant: VariantName) -> Path:
        """Directory of the variant's files, made if need be."""
        source, target = self._call.eager.model_dir, self._call.output / variant / "model"
        if variant == "compile" or target.exists():
            return source if variant == "compile" else target
        if variant == "bf16":
            make_bf16(Bf16Predictor(self._call.eager), source, target)
        elif variant == "onnx":
            make_onnx(self._eager, source, target, self._call.eager.task)
        else:
            make_int8(self._right_graph(), target)
        return target

    def _right_graph(self) -> Path:
        """The fp32 package that int8 starts from, held to its own tolerance: that of int8 would hide a wrong graph."""
        package = self._make("onnx")
        difference, scale = compare_logits(self._logits, logits_of(self._load("onnx", package), self._compared))
        if difference > FORMS["onnx"].tolerance * scale:
            raise ModelError(f"the fp32 graph it is made from differs from the eager model by {difference:.4g}")
        return package

    def _load(self, variant: VariantName, folder: Path) -> Predictor:
        spec = self._call.eager.model_copy(update={"variant": variant, "model_dir": folder})
        return predictor_class(variant)(spec)


def compare_logits(eager: Logits, own: Logits) -> tuple[float, float]:
    """Largest absolute difference of a logit, and largest absolute logit of `eager`.

    Raises FloatingPointError where a logit of the variant is NaN or infinite.
    """
    check_finite(own)
    first, second = (np.concatenate([item.ravel() for item in scores]) for scores in (eager, own))
    return float(np.nanmax(np.abs(first - second))), float(np.nanmax(np.abs(first)))


def verdict(found: VariantCheck) -> tuple[str, str]:
    """Code and reason why a variant must not be benchmarked; both are empty when it may be."""
    if found.logit_difference > found.tolerance * found.logit_scale:
        return LOGITS, (
            f"logits differ from the eager model's by up to {found.logit_difference:.4g} on {found.rows} held-out "
            f"rows, more than {found.tolerance:g} of their scale of {found.logit_scale:.4g}: it computes something else"
        )
    loss = found.difference
    if loss.high < -found.margin:
        return QUALITY, (
            f"{found.metric} on held-out rows is {loss.value:+.4f} against the eager model, between {loss.low:+.4f} "
            f"and {loss.high:+.4f} at {loss.confidence:.0%} confidence: wholly beyond the loss of "
            f"{found.margin:g} that benchmark.max_quality_loss allows"
        )
    return "", ""


if __name__ == "__main__":
    program.end(main())

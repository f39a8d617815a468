"""The program that makes and checks variants of one model (see `podium.execution.program`)."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from podium.config.benchmark import VariantName
from podium.data.artifact import DataArtifact
from podium.errors import ModelError, is_disk_full
from podium.evaluation.predictions import Predictions
from podium.execution import program
from podium.export.build import BuildCall, Built
from podium.export.check import NOT_FINITE, check, compare_logits, compared_rows, verdict
from podium.export.make import make_bf16, make_int8, make_onnx
from podium.export.variants import FORMS
from podium.inference.predict import logits_of, predict
from podium.inference.predictor import Predictor, predictor_class
from podium.inference.torch_predictor import Bf16Predictor, EagerPredictor
from podium.tasks import TASKS

BUILD = "build-failed"
_log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Build every variant of the call and write the outcomes; returns the exit code."""
    options = program.argument_parser("podium.export.worker", "Build variants.").parse_args(arguments)
    return program.run(options, BuildCall.model_validate_json, build)


def build(call: BuildCall) -> dict[str, Any]:
    """Make and check the variants one after another; returns a `Built` as JSON for each.

    Raises:
        OSError: the disk is full.
        ModelError: the eager model cannot be loaded.
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
            built = Built(code=BUILD, reason=f"it could not be built: {_first_line(error)}")
        results[variant] = {**built.model_dump(mode="json"), "seconds": time.monotonic() - started}
    return results


class _Builder:
    """The eager model, and what its variants are made of and compared with."""

    def __init__(self, call: BuildCall):
        self._call = call
        self._eager = EagerPredictor(call.eager)
        self._data = DataArtifact(call.data)
        self._compared = compared_rows(self._data.test[TASKS.get(self._data.task).content], call.seed)
        self._logits = logits_of(self._eager, self._compared)
        self._reference = Predictions.load(call.reference)

    def build(self, variant: VariantName) -> Built:
        """Make the files of a variant, load it as the benchmark will, and check it."""
        predictor = self._load(variant, self._make(variant))
        tolerance = FORMS[variant].tolerance
        difference = compare_logits(self._logits, logits_of(predictor, self._compared))
        own = predict(predictor, self._data.task, self._data.labels, self._data.test)
        own.save(self._call.output / variant / "predictions")
        found = check(
            difference,
            len(self._compared),
            tolerance,
            own,
            self._reference,
            self._call.metric,
            self._call.margin,
            self._call.seed,
        )
        code, reason = verdict(found)
        return Built(code=code, reason=reason, check=found)

    def _make(self, variant: VariantName) -> Path:
        """Directory of the variant's files, made if need be."""
        source, target = self._call.eager.model_dir, self._call.output / variant / "model"
        if variant == "compile" or target.exists():
            return source if variant == "compile" else target
        if variant == "bf16":
            bf16 = Bf16Predictor(self._call.eager)
            make_bf16(bf16, source, target)
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


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


if __name__ == "__main__":
    program.end(main())

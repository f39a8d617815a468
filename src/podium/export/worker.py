"""The program that makes the variants of one model and checks that they still are that model.

It compares their logits and their quality on held-out rows (see `podium.execution.program`).
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from tokenizers import Tokenizer

from podium.benchmarking.calls import sample_rows
from podium.config.benchmark import VariantName
from podium.data.artifact import DataArtifact
from podium.errors import ModelError, is_disk_full
from podium.evaluation.bootstrap import bootstrap_interval, paired_difference
from podium.evaluation.predictions import Predictions
from podium.execution import program
from podium.export.variants import FORMS, OPSET, BuildCall, Built, has_vnni
from podium.inference.predictor import (
    PROMPT_PACKAGE,
    Logits,
    Predictor,
    check_finite,
    logits_of,
    predict,
    predictor_class,
)
from podium.inference.torch_predictor import Bf16Predictor, EagerPredictor
from podium.models.onnx_package import ABOUT, GRAPH, TOKENIZER
from podium.records import VariantCheck
from podium.tasks import TASKS
from podium.text import foreign

CONFIDENCE, RESAMPLES = 0.95, 2000
"""Of the intervals in a check. They are fixed, so that no setting of the selection builds variants again."""

BUILD, NOT_FINITE, LOGITS, QUALITY = "build-failed", "not-finite", "logits-differ", "quality-lost"

EXTERNAL = f"{GRAPH}.data"
"""Weights of a graph that is too large for one file."""

_COMPARED = 64
_LARGE_BYTES = 1_800_000_000
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Build every variant of the call and write the outcomes; returns the exit code."""
    options = program.argument_parser("podium.export.worker", "Build variants.").parse_args(arguments)
    return program.run(options, BuildCall.model_validate_json, build)


def build(call: BuildCall) -> dict[str, Any]:
    """Make and check the variants one after another; returns a `Built` as JSON for each.

    Raises OSError where the disk is full, and ModelError where the eager model cannot be loaded.
    """
    predictor_class("eager", call.eager.model_dir).prepare(call.eager)
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
            built = Built(code=BUILD, reason=f"it could not be built: {type(error).__name__}: {foreign(error)}")
        results[variant] = {**built.model_dump(mode="json"), "seconds": time.monotonic() - started}
    return results


class _Builder:
    """The eager model, and what its variants are made of and compared with."""

    def __init__(self, call: BuildCall):
        self._call = call
        self._eager: Any = self._load("eager", call.eager.model_dir)
        self._data = DataArtifact(call.data)
        rows = self._data.test[TASKS.get(self._data.task).content]
        # A few rows of every length, in random order, so that batches are padded.
        self._compared = [] if self._eager.generates else sample_rows(rows, min(_COMPARED, len(rows)), call.seed)
        self._logits = logits_of(self._eager, self._compared)
        self._reference = Predictions.load(call.reference)
        self._failed: dict[VariantName, Exception] = {}

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
        # What fails half-way must not be taken for a model.
        self._call.output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{variant}-", dir=self._call.output) as partial:
            made = Path(partial) / "model"
            try:
                self._write(variant, source, made)
            except Exception as error:
                self._failed[variant] = error
                raise
            target.parent.mkdir(exist_ok=True)
            made.rename(target)
        return target

    def _write(self, variant: VariantName, source: Path, target: Path) -> None:
        if (source / PROMPT_PACKAGE).is_file():
            make_bf16_prompt(source, target)
        elif variant == "bf16":
            bf16 = Bf16Predictor(self._call.eager)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_WEIGHTS))
            for file in target.iterdir():
                file.chmod(0o644)
            bf16.model.save_pretrained(target, save_original_format=False)
        elif variant == "onnx":
            make_onnx(self._eager, target, self._call.eager.task)
        else:
            make_int8(self._right_graph(), target)

    def _right_graph(self) -> Path:
        """The fp32 package that int8 starts from, held to its own tolerance: that of int8 would hide a wrong graph."""
        if (failed := self._failed.get("onnx")) is not None:
            raise ModelError(f"the fp32 package it is made from could not be built: {foreign(failed)}")
        package = self._make("onnx")
        difference, scale = compare_logits(self._logits, logits_of(self._load("onnx", package), self._compared))
        if difference > FORMS["onnx"].tolerance * scale:
            raise ModelError(f"the fp32 graph it is made from differs from the eager model by {difference:.4g}")
        return package

    def _load(self, variant: VariantName, folder: Path) -> Predictor:
        spec = self._call.eager.model_copy(update={"variant": variant, "model_dir": folder})
        return predictor_class(variant, folder)(spec)


def compare_logits(eager: Logits, own: Logits) -> tuple[float, float]:
    """Largest absolute difference of a logit, and largest absolute logit of `eager`.

    Both are 0 where there are no logits. Raises FloatingPointError where a logit of the variant is NaN or infinite.
    """
    if not eager:
        return 0.0, 0.0
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


def make_bf16_prompt(source: Path, target: Path) -> None:
    """Write the package of a prompted model again, to be run in bf16; its weights stay as they are.

    Raises ModelError where it is run in bf16 already.
    """
    about = json.loads((source / PROMPT_PACKAGE).read_text(encoding="utf-8"))
    if about["precision"] == "bf16":
        raise ModelError("the model runs in bf16 already, which a probe found to be the faster precision")
    shutil.copytree(source, target)
    for file in target.iterdir():
        file.chmod(0o644)
    changed = {**about, "precision": "bf16"}
    (target / PROMPT_PACKAGE).write_text(json.dumps(changed, ensure_ascii=False, indent=1), encoding="utf-8")


def make_onnx(eager: EagerPredictor, target: Path, task: str) -> None:
    """Write the package of the eager model: see `podium.models.onnx_package`.

    The exporter is the one that is based on `torch.export`. The older one traces an example and writes the branches
    that it took into the graph. With transformers 5 that loses the attention mask, and padded rows get wrong logits.
    For an architecture that it cannot follow, it raises errors of any class.
    """
    if not eager.tokenizer.is_fast:
        raise ModelError(f"an exported package needs a fast tokenizer, but {type(eager.tokenizer).__name__} is none")
    target.mkdir(parents=True)
    kind = TASKS.get(task)
    inputs = dict(eager.encode([kind.example, kind.example * 2]))
    names = list(inputs)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    # A protobuf message has at most 2 GiB, so larger weights need a file of their own.
    large = sum(weight.nbytes for weight in eager.model.parameters()) > _LARGE_BYTES
    with warnings.catch_warnings(action="ignore"):  # they are for the developers of the exporter
        torch.onnx.export(
            _Logits(eager.model, names),
            tuple(inputs.values()),
            target / GRAPH,
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=(tuple(sizes for _ in names),),
            opset_version=OPSET,
            external_data=large,
            dynamo=True,
            verbose=False,
        )
    _strip(target / GRAPH, large)
    _write_tokenizer(eager, target / TOKENIZER)
    about = {"task": task, "decoding": kind.decoding, "labels": list(eager.labels), "max_length": eager.max_length}
    (target / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")


def make_int8(package: Path, target: Path) -> None:
    """Write `package` again with 8-bit weights, per channel; activations are quantised dynamically.

    Without VNNI, products of 8-bit numbers are summed in 16 bits and could overflow, so weights get 7 bits there.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    shutil.copytree(package, target, ignore=shutil.ignore_patterns(GRAPH, EXTERNAL))
    with warnings.catch_warnings(action="ignore"):
        quantize_dynamic(
            package / GRAPH,
            target / GRAPH,
            per_channel=True,
            reduce_range=not has_vnni(),
            weight_type=QuantType.QInt8,
            use_external_data_format=(package / EXTERNAL).exists(),
        )


class _Logits(torch.nn.Module):  # type: ignore[misc]
    """A model whose inputs are positional and whose output is the logits alone."""

    def __init__(self, model: Any, names: list[str]):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(**dict(zip(self.names, values, strict=True))).logits
        return logits


def _strip(path: Path, large: bool) -> None:
    """Remove the metadata of the exporter: paths of this machine, which make the files of equal models differ."""
    graph = onnx.load(path)
    parts = (graph, graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.initializer, *graph.functions)
    for item in parts:
        del item.metadata_props[:]
    (path.parent / EXTERNAL).unlink(missing_ok=True)
    onnx.save(graph, path, save_as_external_data=large, location=EXTERNAL)


def _write_tokenizer(eager: EagerPredictor, target: Path) -> None:
    """Write the tokenizer with the truncation and padding of the deployed model."""
    deployed = eager.tokenizer
    tokenizer = Tokenizer.from_str(deployed.backend_tokenizer.to_str())
    if eager.max_length is not None:
        tokenizer.enable_truncation(eager.max_length, direction=deployed.truncation_side)
    tokenizer.enable_padding(
        direction=deployed.padding_side,
        pad_id=deployed.pad_token_id,
        pad_type_id=deployed.pad_token_type_id,
        pad_token=deployed.pad_token,
    )
    tokenizer.save(str(target))


if __name__ == "__main__":
    program.end(main())

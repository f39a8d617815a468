"""Makes the files of each variant of a model directory."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from tokenizers import Tokenizer

from podium.errors import ModelError
from podium.export.variants import OPSET, has_vnni
from podium.inference.torch_predictor import Bf16Predictor, EagerPredictor
from podium.models.onnx_package import ABOUT, GRAPH, TOKENIZER
from podium.tasks import TASKS

EXTERNAL = f"{GRAPH}.data"
"""Weights of a graph that is too large for one file."""

_LARGE_BYTES = 1_800_000_000
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")


def make_bf16(predictor: Bf16Predictor, source: Path, target: Path) -> None:
    """Write a model directory like `source` whose weights are bfloat16."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_WEIGHTS))
    for file in target.iterdir():
        file.chmod(0o644)
    predictor.model.save_pretrained(target, save_original_format=False)


def make_onnx(eager: EagerPredictor, source: Path, target: Path, task: str) -> None:
    """Write the package of the eager model: see `podium.models.onnx_package`.

    The exporter is the one that is based on `torch.export`. The older one traces an example and writes the branches
    that it took into the graph. With transformers 5 that loses the attention mask, and padded rows get wrong logits.
    For an architecture that it cannot follow, it raises errors of any class.
    """
    if not (source / TOKENIZER).is_file():
        raise ModelError(f"an exported package needs a fast tokenizer, but {source} has no {TOKENIZER}")
    target.mkdir(parents=True)
    kind = TASKS.get(task)
    inputs = dict(eager.encode([kind.example, kind.example * 2]))
    names = list(inputs)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    # A protobuf message has at most 2 GiB, so larger weights need a file of their own.
    large = sum(weight.nbytes for weight in eager.model.parameters()) > _LARGE_BYTES
    with _quiet():
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
    _write_tokenizer(eager, source / TOKENIZER, target / TOKENIZER)
    about = {"task": task, "decoding": kind.decoding, "labels": list(eager.labels), "max_length": eager.max_length}
    (target / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")


def make_int8(package: Path, target: Path) -> None:
    """Write `package` again with 8-bit weights, per channel; activations are quantised dynamically.

    Without VNNI, products of 8-bit numbers are summed in 16 bits and could overflow, so weights get 7 bits there.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    shutil.copytree(package, target, ignore=shutil.ignore_patterns(GRAPH, EXTERNAL))
    with _quiet():
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


def _write_tokenizer(eager: EagerPredictor, source: Path, target: Path) -> None:
    """Write the tokenizer with the truncation and padding of the deployed model."""
    tokenizer, deployed = Tokenizer.from_file(str(source)), eager.tokenizer
    if eager.max_length is not None:
        tokenizer.enable_truncation(eager.max_length, direction=deployed.truncation_side)
    tokenizer.enable_padding(
        direction=deployed.padding_side,
        pad_id=deployed.pad_token_id,
        pad_type_id=deployed.pad_token_type_id,
        pad_token=deployed.pad_token,
    )
    tokenizer.save(str(target))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the warnings of the exporter out of the log: they are for its developers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

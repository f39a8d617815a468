"""The parts of a model, read without running it: parameters, bytes, and operations by torch's own counter."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from podium.records import Module

_DEPTH, _MOST = 3, 40


def modules_of(model: Any, flops: dict[str, float] | None = None) -> tuple[Module, ...]:
    """The modules of a torch model down to a depth, the whole first; weights that are shared count once in each."""
    found = []
    for name, module in model.named_modules():
        if name.count(".") >= _DEPTH:
            continue
        weights = {id(one): one for one in module.parameters()}.values()
        if not weights and name:
            continue
        found.append(
            Module(
                name=name or "(whole)",
                kind=type(module).__name__,
                parameters=sum(one.numel() for one in weights),
                parameter_bytes=sum(one.numel() * one.element_size() for one in weights),
                flops=(flops or {}).get(name),
            )
        )
    return tuple(found[:_MOST])


def count_flops(model: Any, run: Any, iterations: int) -> dict[str, float]:
    """Operations of an iteration, of which `run` does several, by name of the module; the whole has an empty name."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    root = type(model).__name__
    found: dict[str, float] = {"": counter.get_total_flops() / iterations}
    for name, own in counter.get_flop_counts().items():
        if name not in ("Global", root):
            found[name.removeprefix(f"{root}.")] = sum(own.values()) / iterations
    return found


def graph_parts(path: Path) -> tuple[Module, ...]:
    """The weights of an ONNX graph by the first parts of their names, the whole first."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    sizes: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for tensor in graph.initializer:
        count = math.prod(tensor.dims)
        width = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for name in ("(whole)", ".".join(tensor.name.split(".")[:_DEPTH])):
            sizes[name][0] += count
            sizes[name][1] += count * width
    ordered = sorted(sizes.items(), key=lambda one: -one[1][1])
    return tuple(
        Module(name=name, kind="initialiser" if name != "(whole)" else f"{len(graph.node)} nodes", parameters=count,
               parameter_bytes=size)
        for name, (count, size) in ordered[:_MOST]
    )  # fmt: skip

"""Traces of torch and ONNX Runtime, read into operators; costs and rooflines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podium.errors import InputError
from podium.profiling.groups import group_of
from podium.profiling.operators import check_size
from podium.profiling.roofline import bound_of, cost_of, data_sheet_peaks, with_points
from podium.profiling.trace import memory_line, operators_of, read_trace, trace_of, within
from podium.records import Roofline


def event(name: str, start: float, length: float, category: str = "cpu_op", **args: Any) -> dict[str, Any]:
    return {"ph": "X", "cat": category, "name": name, "ts": start, "dur": length, "tid": 1, "args": args}


TORCH = [
    event("forward", 0, 100, "user_annotation"),
    event("aten::linear", 10, 50, **{"Input Dims": [[2, 8, 16], [32, 16], [32]]}),
    event("aten::t", 11, 4),
    event(
        "aten::addmm", 20, 30, **{"Input Dims": [[32], [16, 16], [16, 32]], "Input type": ["float", "float", "float"]}
    ),
    event("aten::copy_", 70, 10),
    event("tokenise", 110, 5, "user_annotation"),
    event("aten::copy_", 111, 2),
    {"ph": "i", "name": "[memory]", "ts": 12, "args": {"Device Type": 0, "Total Allocated": 100}},
    {"ph": "i", "name": "[memory]", "ts": 14, "args": {"Device Type": 1, "Total Allocated": 9}},
    {"ph": "i", "name": "[memory]", "ts": 22, "args": {"Device Type": 0, "Total Allocated": 300}},
]
NODE = {
    "op_name": "MatMul",
    "input_type_shape": [{"float": [2, 16]}],
    "output_type_shape": [{"float": [2, 4]}],
}
ONNX = [
    event("model_run", 0, 100, "Session"),
    event("a/MatMul_kernel_time", 10, 20, "Node", **NODE),
    event("a/MatMul_fence_before", 9, 1, "Node", op_name="MatMul"),
]


def test_an_operator_has_its_own_time_without_what_it_hands_on() -> None:
    found = {one.name: one for one in operators_of(trace_of(TORCH), iterations=2)}
    assert list(found) == ["aten::addmm", "aten::linear", "aten::copy_", "aten::t"]
    linear, product = found["aten::linear"], found["aten::addmm"]
    assert linear.self_seconds == pytest.approx(8e-6) and linear.total_seconds == pytest.approx(25e-6)
    assert product.self_seconds == pytest.approx(15e-6) and product.share == pytest.approx(30 / 62)
    assert (product.calls, product.shapes, product.group) == (0.5, "32 16×16 16×32", "matrix product")
    assert product.flops == 2 * 16 * 16 * 32 / 2 and linear.flops is None, "its cost is that of the product"


def test_inputs_that_are_lists_of_tensors_have_shapes_as_well() -> None:
    (found,) = operators_of(trace_of([event("aten::cat", 0, 5, **{"Input Dims": [[[2, 3], [4, 3]], []]})]), 1)
    assert (found.shapes, found.group) == ("2×3 4×3", "copy")


def test_operators_of_a_range_are_those_that_no_other_holds() -> None:
    whole, inside = within(trace_of(TORCH), "forward")
    assert (whole, inside) == (pytest.approx(100e-6), pytest.approx(60e-6))


def test_memory_is_that_of_the_host_and_keeps_its_peaks() -> None:
    assert memory_line(trace_of(TORCH)) == ((0.0, 100.0), (1e-5, 300.0))
    assert memory_line(trace_of(TORCH), most=1) == ((1e-5, 300.0),)
    assert memory_line(trace_of(ONNX)) == ()


def test_nodes_of_a_graph_are_operators_with_costs(tmp_path: Path) -> None:
    (tmp_path / "trace.json").write_text(json.dumps(ONNX))
    read = read_trace(tmp_path / "trace.json")
    (found,) = operators_of(read, iterations=1)
    assert (found.name, found.calls, found.flops) == ("MatMul", 1, 2 * 2 * 16 * 4)
    assert [one.name for one in read.ranges] == ["model_run"]


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("aten::addmm", "matrix product"),
        ("FusedMatMul", "matrix product"),
        ("ampere_sgemm_128x64_tn", "matrix product"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("SkipLayerNormalization", "normalisation"),
        ("aten::native_layer_norm", "normalisation"),
        ("aten::copy_", "copy"),
        ("[CUDA memcpy HtoD]", "copy"),
        ("Transpose", "copy"),
        ("aten::transpose", "view"),
        ("aten::_softmax", "softmax"),
        ("aten::gelu", "activation"),
        ("aten::embedding", "embedding"),
        ("aten::add", "element by element"),
        ("mystery", "other"),
    ],
)
def test_names_tell_groups(name: str, group: str) -> None:
    assert group_of(name) == group


def test_costs_of_products_and_attention() -> None:
    assert cost_of("aten::addmm", [[32], [5, 16], [16, 32]]) == (2 * 5 * 16 * 32, 4 * (80 + 512 + 160))
    assert cost_of("aten::linear", [[2, 5, 16], [32, 16], [32]]) == (2 * 10 * 16 * 32, 4 * (160 + 512 + 320))
    assert cost_of("aten::bmm", [[3, 5, 16], [3, 16, 4]], 2) == (2 * 15 * 16 * 4, 2 * (240 + 192 + 60))
    heads = [[1, 2, 7, 8], [1, 2, 9, 8], [1, 2, 9, 8]]
    cost = cost_of("aten::_scaled_dot_product_flash_attention_for_cpu", heads)
    assert cost is not None and cost.flops == 4 * 2 * 7 * 9 * 8
    assert cost_of("aten::gelu", [[4, 4]]) == (8 * 16, 4 * 32)
    assert cost_of("aten::embedding", [[4, 4]]) is None and cost_of("aten::mm", []) is None


def test_a_roofline_says_what_bounds_an_operator() -> None:
    peaks = Roofline(flops_per_second=100.0, bytes_per_second=10.0, source="test")
    assert bound_of(100, 1, 1.5, peaks) == "compute"
    assert bound_of(1, 10, 1.5, peaks) == "memory"
    assert bound_of(1, 1, 60, peaks) == "latency"
    found = with_points(peaks, operators_of(trace_of(TORCH), 1))
    assert [one.name for one in found.points] == ["aten::addmm"]
    assert data_sheet_peaks("NVIDIA H200", "fp32").flops_per_second == 67e12  # type: ignore[union-attr]
    assert data_sheet_peaks("GeForce 256", "fp32") is None


def test_a_trace_that_would_be_too_large_is_refused_before_it_is_recorded() -> None:
    assert check_size(1e6, 5, 200, 1e9) == 5e6
    with pytest.raises(InputError, match=r"max_trace_mb=200 MB, but 5 iterations would take about 500 MB"):
        check_size(100e6, 5, 200, 1e12)
    with pytest.raises(InputError, match=r"about 60 MB of memory, but 10 MB are available"):
        check_size(1e6, 5, 200, 10e6)

"""The language of regression checks: what it means, what it refuses, and where it says so."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.errors import InputError
from podium.selection.expression import Operand, parse

KNOWN = ("p50", "p95", "throughput", "memory", "macro_f1")
VALUES = {Operand(side, name): float(place + 1) for side in ("run", "baseline") for place, name in enumerate(KNOWN)}
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def test_baseline_alone_is_the_quantity_that_is_named() -> None:
    check = parse("p95 > 1.1 * baseline", KNOWN)
    assert check.operands == {Operand("run", "p95"), Operand("baseline", "p95")}
    assert check.terms({Operand("run", "p95"): 12.0, Operand("baseline", "p95"): 10.0}) == (12.0, 11.0)
    assert check.holds_above()


def test_arrays_are_taken_element_by_element() -> None:
    check = parse("macro_f1 <= baseline - 0.01", KNOWN)
    left, right = check.terms(
        {Operand("run", "macro_f1"): np.array([0.8, 0.9]), Operand("baseline", "macro_f1"): np.array([0.7, 0.8])}
    )
    assert np.allclose(left, [0.8, 0.9])
    assert np.allclose(right, [0.69, 0.79])
    assert not check.holds_above()


def test_a_bound_needs_no_baseline() -> None:
    assert parse("memory >= 500", KNOWN).operands == {Operand("run", "memory")}


def test_a_division_by_zero_is_not_finite() -> None:
    left, right = parse("p95 / 0 > 0 / 0", KNOWN).terms({Operand("run", "p95"): 1.0})
    assert math.isinf(left)
    assert math.isnan(right)


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("p59 > 1", 1, "did you mean p95?"),
        ("p95 > 1.1 * basline", 13, "did you mean baseline?"),
        ("1 < baseline.macrof1", 5, "did you mean macro_f1?"),
        ("p95", 1, "compares two terms"),
        ("p95 > 1 > 2", 11, "one comparison"),
        ("p95 == 1", 8, "<, >, <= or >="),
        ("p95 in baseline", 8, "<, >, <= or >="),
        ("p95 > 2 ** 9", 7, "only numbers"),
        ("p95 > max(1, 2)", 7, "only numbers"),
        ("p95 > __import__('os').x", 7, "only numbers"),
        ("p95 > p95.real", 7, "only numbers"),
        ("p95 > 'é' + x", 7, "only numbers"),
        ("'é' > é", 1, "only numbers"),
        ("p95 > True", 7, "plain number"),
        ("p95 > 2j", 7, "plain number"),
        ("p95 > 1e999", 7, "1e300"),
        ("1 > 2", 1, "names a quantity"),
        ("baseline > 2", 1, "names a quantity"),
        ("p50 + p95 > baseline", 13, "baseline.p50, baseline.p95"),
        ("p95 >", 6, "invalid syntax"),
        ("", 1, ""),
        ("p95 > 1\nmemory > 2", 9, "invalid syntax"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, column: int, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, KNOWN)
    assert said in str(caught.value)
    assert f", column {column}: " in str(caught.value)


def test_a_long_text_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(InputError, match="at most 200 characters"):
        parse("(" * 100_000, KNOWN)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        check = parse(text, KNOWN)
    except InputError:
        return
    assert check.operands


def terms() -> st.SearchStrategy[tuple[str, Any]]:
    """Texts of terms, each with a function that computes it from the value of a name."""
    numbers = st.floats(0.01, 1000).map(lambda value: (repr(value), lambda _: value))
    names = st.sampled_from(KNOWN).flatmap(
        lambda name: st.sampled_from(
            [
                (name, lambda values: values[Operand("run", name)]),
                (f"baseline.{name}", lambda values: values[Operand("baseline", name)]),
            ]
        )
    )

    def grow(inner: st.SearchStrategy[tuple[str, Any]]) -> st.SearchStrategy[tuple[str, Any]]:
        pairs = st.tuples(inner, st.sampled_from(sorted(OPERATORS)), inner)
        joined = pairs.map(
            lambda it: (f"({it[0][0]} {it[1]} {it[2][0]})", lambda v: OPERATORS[it[1]](it[0][1](v), it[2][1](v)))
        )
        return joined | inner.map(lambda it: (f"-{it[0]}", lambda v: -it[1](v)))

    return st.recursive(numbers | names, grow, max_leaves=6)


@given(terms(), st.sampled_from(["<", ">", "<=", ">="]), st.sampled_from(KNOWN))
def test_a_check_means_what_arithmetic_says(term: tuple[str, Any], symbol: str, name: str) -> None:
    text, compute = term
    try:
        expected = compute(VALUES)
    except ZeroDivisionError:
        return
    if len(text) > 150:
        return
    check = parse(f"{text} {symbol} {name}", KNOWN)
    left, right = check.terms(VALUES)
    assert left == pytest.approx(expected, rel=1e-12)
    assert right == VALUES[Operand("run", name)]
    assert check.operands <= set(VALUES)

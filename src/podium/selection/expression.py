"""The language of regression checks: `p95 > 1.1 * baseline`.

One comparison (`<`, `>`, `<=`, `>=`) of two terms made of numbers, `+ - * /`, parentheses, quantities by name, the same
quantities of the baseline as `baseline.NAME`, and `baseline` alone for the quantity that the expression names.

Python's `ast` parses the text. Only a few types of node are allowed, and they are evaluated by walking them, so that no
part of the text is ever run as code.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from podium.errors import InputError
from podium.text import nearest

Value = float | NDArray[np.float64]
Side = Literal["run", "baseline"]

_BASELINE = "baseline"
_LONGEST = 200
_COMPARISONS: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.Gt: ">", ast.LtE: "<=", ast.GtE: ">="}
_ARITHMETIC: dict[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class Operand(NamedTuple):
    """A quantity of the run or of the baseline."""

    side: Side
    name: str


@dataclass(frozen=True)
class Check:
    """A parsed comparison.

    Attributes:
        text: as it was given.
        symbol: `<`, `>`, `<=` or `>=`.
        operands: what it needs to be evaluated.
    """

    text: str
    symbol: str
    operands: frozenset[Operand]
    _left: ast.expr
    _right: ast.expr
    _meant: str

    def terms(self, values: Mapping[Operand, Value]) -> tuple[Value, Value]:
        """Both terms, element by element where values are arrays; a division by zero gives no finite value."""
        with np.errstate(all="ignore"):
            return _value(self._left, values, self._meant), _value(self._right, values, self._meant)

    def holds_above(self) -> bool:
        """Whether it holds where the left term is the larger one."""
        return self.symbol in (">", ">=")


def parse(text: str, known: Sequence[str]) -> Check:
    """Read a check.

    Args:
        known: names of the quantities.

    Raises:
        InputError: it is no such comparison, or names something unknown; the message names the place.
    """
    text = " ".join(text.split())
    if len(text) > _LONGEST:
        raise InputError(f"a check must have at most {_LONGEST} characters, but got {len(text)}: {text[:40]!r}…")
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        place = error.offset or len(text) + 1  # none is given at the end of the text
        raise _error(text, place, f"{error.msg}; write it like p95 > 1.1 * baseline") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise _error(text, 1, str(error) or "too deeply nested") from error
    if not isinstance(tree, ast.Compare):
        raise _at(text, tree, "a check compares two terms with <, >, <= or >=, as in p95 > 1.1 * baseline")
    if len(tree.ops) != 1:
        raise _at(text, tree.comparators[1], "a check has one comparison; give --fail-if twice for two")
    symbol = _COMPARISONS.get(type(tree.ops[0]))
    if symbol is None:
        raise _at(text, tree.comparators[0], "terms are compared with <, >, <= or >=")
    left, right = tree.left, tree.comparators[0]
    for part in (left, right):
        _check(part, text, known)
    named = sorted({operand.name for operand in _operands(tree, "")} - {""})
    owners = [node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in owners)
    alone = next((node for node in names if node.id == _BASELINE), None)
    if not named:
        raise _at(text, tree, f"a check names a quantity, one of {', '.join(known)}")
    if alone is not None and len(named) > 1:
        raise _at(text, alone, f"baseline of what? Write one of {', '.join(f'baseline.{name}' for name in named)}")
    return Check(text, symbol, frozenset(_operands(tree, named[0])), left, right, named[0])


def _check(node: ast.expr, text: str, known: Sequence[str]) -> None:
    match node:
        case ast.Constant(value=bool()) | ast.Constant(value=complex()):
            raise _at(text, node, "a plain number is needed here")
        case ast.Constant(value=int() | float() as number):
            if not np.isfinite(float(number) if abs(number) < 1e300 else np.inf):
                raise _at(text, node, "numbers must be below 1e300")
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, text, known)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right):
            _check(left, text, known)
            _check(right, text, known)
        case ast.Name(id=name):
            if name != _BASELINE:
                _check_name(name, node, text, (*known, _BASELINE))
        case ast.Attribute(value=ast.Name(id="baseline"), attr=name):
            _check_name(name, node, text, known)
        case _:
            raise _at(text, node, "only numbers, names, baseline.NAME, + - * / and parentheses are understood")


def _check_name(name: str, node: ast.expr, text: str, known: Sequence[str]) -> None:
    if name in known:
        return
    close = nearest(name, known, cutoff=0.5)
    hint = f"did you mean {close}?" if close else f"known are {', '.join(known)}"
    raise _at(text, node, f"there is no quantity {name!r}; {hint}")


def _operands(node: ast.AST, meant: str) -> Iterator[Operand]:
    """Every quantity in a checked tree; `meant` is the quantity that `baseline` alone names."""
    match node:
        case ast.Attribute(attr=name):
            yield Operand("baseline", name)
        case ast.Name(id="baseline"):
            yield Operand("baseline", meant)
        case ast.Name(id=name):
            yield Operand("run", name)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _operands(child, meant)


def _value(node: ast.expr, values: Mapping[Operand, Value], meant: str) -> Value:
    match node:
        case ast.Constant(value=int() | float() as number):
            return np.float64(number)
        case ast.UnaryOp(op=op, operand=operand):
            value = _value(operand, values, meant)
            return -value if isinstance(op, ast.USub) else value
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](_value(left, values, meant), _value(right, values, meant))
    (found,) = _operands(node, meant)
    return np.asarray(values[found], dtype=np.float64)[()]


def _at(text: str, node: ast.expr, problem: str) -> InputError:
    """An error at a node, whose offset counts UTF-8 bytes."""
    return _error(text, len(text.encode()[: node.col_offset].decode(errors="ignore")) + 1, problem)


def _error(text: str, column: int, problem: str) -> InputError:
    return InputError(f"--fail-if {text!r}, column {column}: {problem}")

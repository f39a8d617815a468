"""The language of regression checks: `p95 > 1.1 * baseline`.

One comparison (`<`, `>`, `<=`, `>=`) of two terms made of numbers, `+ - * /`, parentheses, quantities by name, the same
quantities of the baseline as `baseline.NAME`, and `baseline` alone for the quantity that the expression names. Python's
`ast` parses the text; only a few types of node are allowed, and no part of the text is ever run as code.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from podium.errors import InputError
from podium.text import nearest

Value = float | NDArray[np.float64]
Verdict = Literal["pass", "fail", "cannot judge"]

_BASELINE = "baseline"
_LONGEST = 200
_COMPARISONS: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.Gt: ">", ast.LtE: "<=", ast.GtE: ">="}
_ARITHMETIC: dict[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_SIGNS: dict[type[ast.unaryop], float] = {ast.USub: -1.0, ast.UAdd: 1.0}


class Operand(NamedTuple):
    """A quantity of the run or of the baseline."""

    side: Literal["run", "baseline"]
    name: str


Term = Callable[[Mapping[Operand, Value]], Value]


@dataclass(frozen=True)
class Check:
    """A parsed comparison: `text` as it was given, its `symbol`, and the `operands` it needs to be evaluated."""

    text: str
    symbol: str
    operands: frozenset[Operand]
    _left: Term
    _right: Term

    def terms(self, values: Mapping[Operand, Value]) -> tuple[Value, Value]:
        """Both terms, element by element where values are arrays; a division by zero gives no finite value."""
        with np.errstate(all="ignore"):
            return self._left(values), self._right(values)

    def holds_above(self) -> bool:
        """Whether it holds where the left term is the larger one."""
        return self.symbol in (">", ">=")


def worst(verdicts: Collection[Verdict]) -> Verdict:
    """`fail` when any check does, else `cannot judge` when any cannot be judged."""
    return "fail" if "fail" in verdicts else "cannot judge" if "cannot judge" in verdicts else "pass"


def parse(text: str, known: Sequence[str]) -> Check:
    """Read a check on quantities, whose names are `known`.

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
    reader = _Reader(text, known)
    if not isinstance(tree, ast.Compare):
        reader.refuse(tree, "a check compares two terms with <, >, <= or >=, as in p95 > 1.1 * baseline")
    if len(tree.ops) != 1:
        reader.refuse(tree.comparators[1], "a check has one comparison; give --fail-if twice for two")
    symbol = _COMPARISONS.get(type(tree.ops[0]))
    if symbol is None:
        reader.refuse(tree.comparators[0], "terms are compared with <, >, <= or >=")
    left, right = reader.term(tree.left), reader.term(tree.comparators[0])
    named = sorted({operand.name for operand in reader.operands})
    if not named:
        reader.refuse(tree, f"a check names a quantity, one of {', '.join(known)}")
    if reader.alone is not None:
        if len(named) > 1:
            which = ", ".join(f"baseline.{name}" for name in named)
            reader.refuse(reader.alone, f"baseline of what? Write one of {which}")
        reader.operands.add(Operand("baseline", named[0]))
    return Check(text, symbol, frozenset(reader.operands), left, right)


class _Reader:
    """Makes functions of the terms of a check, and notes the quantities in them.

    `baseline` alone is the only operand on its side, since the check then names one quantity.
    """

    def __init__(self, text: str, known: Sequence[str]) -> None:
        self.text, self.known = text, known
        self.operands: set[Operand] = set()
        self.alone: ast.expr | None = None

    def term(self, node: ast.expr) -> Term:
        match node:
            case ast.Constant(value=bool()) | ast.Constant(value=complex()):
                self.refuse(node, "a plain number is needed here")
            case ast.Constant(value=int() | float() as number):
                if not abs(number) < 1e300:
                    self.refuse(node, "numbers must be below 1e300")
                constant = np.float64(number)
                return lambda values: constant
            case ast.UnaryOp(op=op, operand=inner) if sign := _SIGNS.get(type(op)):
                term = self.term(inner)
                return lambda values: sign * term(values)
            case ast.BinOp(left=first, op=op, right=second) if joined := _ARITHMETIC.get(type(op)):
                left, right = self.term(first), self.term(second)
                return lambda values: joined(left(values), right(values))
            case ast.Name(id="baseline"):
                self.alone = self.alone or node
                return lambda values: next(_array(one) for held, one in values.items() if held.side == _BASELINE)
            case ast.Name(id=name):
                return self.quantity(Operand("run", name), node, (*self.known, _BASELINE))
            case ast.Attribute(value=ast.Name(id="baseline"), attr=name):
                return self.quantity(Operand("baseline", name), node, self.known)
        self.refuse(node, "only numbers, names, baseline.NAME, + - * / and parentheses are understood")

    def quantity(self, operand: Operand, node: ast.expr, known: Sequence[str]) -> Term:
        if operand.name not in known:
            close = nearest(operand.name, known, cutoff=0.5)
            hint = f"did you mean {close}?" if close else f"known are {', '.join(known)}"
            self.refuse(node, f"there is no quantity {operand.name!r}; {hint}")
        self.operands.add(operand)
        return lambda values: _array(values[operand])

    def refuse(self, node: ast.expr, problem: str) -> NoReturn:
        """Raise an error at a node, whose offset counts UTF-8 bytes."""
        raise _error(self.text, len(self.text.encode()[: node.col_offset].decode(errors="ignore")) + 1, problem)


def _array(value: Value) -> Value:
    found: Value = np.asarray(value, dtype=np.float64)[()]
    return found


def _error(text: str, column: int, problem: str) -> InputError:
    return InputError(f"--fail-if {text!r}, column {column}: {problem}")

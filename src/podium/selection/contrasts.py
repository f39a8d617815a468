"""How a run differs from the baseline, and which of the differences are real.

Two terms are contrasted by their ratio (on a logarithmic scale) where both are positive, and otherwise by their
difference. Its variance is the sum over what was resampled independently: the repetitions of the run, those of the
baseline, and the held-out rows, which are the same for both and are resampled together (a paired bootstrap).
Repetitions that were taken in turns are resampled together, too: each is a pair, in which common drift cancels. The
interval is Student's with the degrees of freedom of Welch (The Generalization of "Student's" Problem, Biometrika 34,
1947) and Satterthwaite, since three repetitions on each side say little about their own spread.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from podium.benchmarking.statistics import CONFIDENCE
from podium.errors import InputError
from podium.selection.estimates import QUANTITIES, ComparedModel, Estimate, Missing, Quantity
from podium.selection.expression import Check, Operand, Value

Verdict = Literal["pass", "fail", "cannot judge"]
Known = Mapping[str, Estimate | Missing]

_MOST = {"repetitions": 100, "rows": 1_000_000}
"""Largest sample that is worth naming."""


@dataclass(frozen=True)
class Part:
    """What one independent source adds to the variance of a contrast.

    Attributes:
        count: how many repetitions or rows of it there are.
        paired: whether each of them belongs to both sides.
    """

    kind: Literal["rows", "repetitions", "exact"]
    count: int
    variance: float
    paired: bool = False


@dataclass(frozen=True)
class Contrast:
    """Left term against right term.

    Attributes:
        ratio: whether value and bounds are left / right; otherwise left - right.
        parts: on the scale of logarithms for a ratio; empty when both terms are exact.
    """

    left: float
    right: float
    ratio: bool
    value: float
    low: float
    high: float
    parts: tuple[Part, ...]

    @property
    def same(self) -> float:
        """The value of no difference."""
        return 1.0 if self.ratio else 0.0

    @property
    def real(self) -> bool:
        """Whether the interval excludes that there is no difference."""
        return not self.low <= self.same <= self.high

    def needed(self) -> tuple[str, int] | None:
        """Kind and number of repetitions or rows that would probably make the difference real; None if none would.

        It assumes that the value stays the same and that variances shrink in proportion. The kind is the one that adds
        most of the variance now.
        """
        distance = abs(math.log(self.value)) if self.ratio else abs(self.value)
        if not self.parts or distance == 0:
            return None
        main = max(self.parts, key=lambda part: part.variance)
        count = main.count
        while count < _MOST[main.kind]:
            count = max(count + 1, math.ceil(count * 1.02))
            factor = count / main.count
            grown = [
                replace(part, count=math.ceil(part.count * factor), variance=part.variance / factor)
                if part.kind == main.kind
                else part
                for part in self.parts
            ]
            if _margin(grown) < distance:
                return main.kind, count
        return None


def contrast(check: Check, values: Mapping[Operand, Estimate]) -> Contrast:
    """The terms of a check against each other.

    Raises:
        InputError: a term is not finite, or not on every resample: the check divides by zero.
    """
    points: dict[Operand, Value] = {operand: estimate.value for operand, estimate in values.items()}
    left, right = (float(term) for term in check.terms(points))
    if not (math.isfinite(left) and math.isfinite(right)):
        raise InputError(f"--fail-if {check.text!r}: both terms must be finite, but they are {left:g} and {right:g}")
    sources: dict[str, dict[Operand, Value]] = defaultdict(dict)
    sizes: dict[str, Estimate] = {}
    for operand, estimate in values.items():
        if estimate.draws is not None:
            source = estimate.source or operand.side
            sources[source][operand] = estimate.draws
            sizes[source] = estimate
    drawn = {source: check.terms(points | held) for source, held in sources.items()}
    ratio = all(np.all(term > 0) for term in (left, right, *(term for pair in drawn.values() for term in pair)))
    both = {source for source, held in sources.items() if len({operand.side for operand in held}) > 1}
    parts = tuple(_part(sizes[source], *pair, ratio, source in both) for source, pair in drawn.items())
    margin = _margin(parts)
    if not math.isfinite(margin):
        raise InputError(f"--fail-if {check.text!r}: both terms must be finite, but within their noise they are not")
    if ratio:
        value = left / right
        return Contrast(left, right, ratio, value, value * math.exp(-margin), value * math.exp(margin), parts)
    return Contrast(left, right, ratio, left - right, left - right - margin, left - right + margin, parts)


def obstacles(check: Check, run: tuple[ComparedModel, Known], baseline: tuple[ComparedModel, Known]) -> list[str]:
    """The reasons why the terms of a check cannot be contrasted; empty when they can."""
    found = []
    sides = {"run": run, "baseline": baseline}
    for operand in sorted(check.operands):
        model, known = sides[operand.side]
        held = known[operand.name]
        title = QUANTITIES[operand.name].title
        if isinstance(held, Missing):
            found.append(f"{model.name} has no {title}: {held.reason}")
        elif held.problem:
            found.append(f"the {title} of {model.name} has no interval: {held.problem}")
    if not found and {operand.side for operand in check.operands} == {"run", "baseline"}:
        for name in sorted({operand.name for operand in check.operands}):
            found += _apart(QUANTITIES[name], run, baseline)
    return list(dict.fromkeys(found))


def other_hardware(run: ComparedModel, baseline: ComparedModel) -> str:
    """The facts in which the hardware of two models differs; empty when they agree."""
    own, other = run.hardware or {}, baseline.hardware or {}
    names = [name for name in dict.fromkeys([*other, *own]) if own.get(name) != other.get(name)]
    return ", ".join(f"{name} {own.get(name, 'unknown')} against {other.get(name, 'unknown')}" for name in names)


def judge(check: Check, contrasted: Contrast) -> Verdict:
    """`fail` when the check holds, `pass` when it does not, `cannot judge` when the interval contains both answers."""
    if not contrasted.parts:
        above, level = contrasted.left > contrasted.right, contrasted.left == contrasted.right
        holds = "=" in check.symbol if level else above == check.holds_above()
        return "fail" if holds else "pass"
    if not contrasted.real:
        return "cannot judge"
    return "fail" if (contrasted.low > contrasted.same) == check.holds_above() else "pass"


def _apart(quantity: Quantity, run: tuple[ComparedModel, Known], baseline: tuple[ComparedModel, Known]) -> list[str]:
    """The reasons why a quantity of the run and one of the baseline cannot be compared."""
    if quantity.on_hardware:
        found = []
        if differing := other_hardware(run[0], baseline[0]):
            found.append(f"{run[0].name} was measured on other hardware than {baseline[0].name}: {differing}")
        sizes = [model.measurement.batch_size for model, _ in (run, baseline) if model.measurement]
        if quantity.name in ("throughput", "energy") and len(set(sizes)) > 1:
            found.append(f"{run[0].name} was measured with batches of {sizes[0]}, {baseline[0].name} of {sizes[1]}")
        return found
    sources = {held.source for _, known in (run, baseline) if isinstance(held := known[quantity.name], Estimate)}
    return [f"{run[0].name} was scored on other held-out rows than {baseline[0].name}"] if len(sources) > 1 else []


def _part(sized: Estimate, left: Value, right: Value, ratio: bool, paired: bool) -> Part:
    moved = np.log(left) - np.log(right) if ratio else np.subtract(left, right)
    return Part(sized.kind, sized.count, float(np.var(moved)), paired)


def _margin(parts: Sequence[Part]) -> float:
    from scipy.stats import t

    total = sum(part.variance for part in parts)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(part.variance**2 / max(1, part.count - 1) for part in parts)
    return float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(total)

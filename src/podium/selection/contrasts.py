"""How a run differs from the baseline, and which of the differences are real.

Two terms are contrasted by their ratio (on the scale of logarithms) where both are positive, and otherwise by their
difference. Its variance is the sum over what was resampled independently: the repetitions of the run, those of the
baseline, and the held-out rows, which are the same for both and so resampled at once (a paired bootstrap). Repetitions
that were taken in turns are resampled at once, too: each is a pair, in which drift common to both cancels. The interval
is Student's with the degrees of freedom of Welch (The Generalization of "Student's" Problem, Biometrika 34, 1947) and
Satterthwaite, since three repetitions a side tell little about their own spread.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from podium.errors import InputError
from podium.selection.estimates import QUANTITIES, Entrant, Estimate, Missing, Quantity
from podium.selection.expression import Check, Operand, Value

Verdict = Literal["pass", "fail", "cannot judge"]
Known = Mapping[str, Estimate | Missing]

_CONFIDENCE = 0.95
_MOST = {"repetitions": 100, "rows": 1_000_000}
"""Largest sample that is worth naming."""


@dataclass(frozen=True)
class Part:
    """What one independent source adds to the variance of a contrast; `count` repetitions or rows of it were seen.

    `paired`: each of them is one of both sides.
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
        """Whether the interval leaves out no difference."""
        return not self.low <= self.same <= self.high

    def needed(self) -> tuple[str, int] | None:
        """What would probably make the difference real: kind and number of repetitions or rows; None if nothing would.

        Supposes that the value stays as it is and that variances shrink in proportion. The kind is the one that adds
        most of the variance now.
        """
        distance = abs(math.log(self.value)) if self.ratio else abs(self.value)
        if not self.parts or distance == 0:
            return None
        main = max(self.parts, key=lambda part: part.variance)
        count = main.count
        while count < _MOST[main.kind]:
            count = max(count + 1, math.ceil(count * 1.02))
            grown = [_grown(part, count / main.count) if part.kind == main.kind else part for part in self.parts]
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


def obstacles(check: Check, run: tuple[Entrant, Known], baseline: tuple[Entrant, Known]) -> list[str]:
    """Why the terms of a check cannot be contrasted; empty when they can."""
    found = []
    sides = {"run": run, "baseline": baseline}
    for operand in sorted(check.operands):
        entrant, known = sides[operand.side]
        held = known[operand.name]
        title = QUANTITIES[operand.name].title
        if isinstance(held, Missing):
            found.append(f"{entrant.name} has no {title}: {held.reason}")
        elif held.problem:
            found.append(f"it is not known how sure the {title} of {entrant.name} is: {held.problem}")
    if not found and {operand.side for operand in check.operands} == {"run", "baseline"}:
        for name in sorted({operand.name for operand in check.operands}):
            found += _apart(QUANTITIES[name], run, baseline)
    return list(dict.fromkeys(found))


def other_hardware(run: Entrant, baseline: Entrant) -> str:
    """In what the hardware of two entrants differs; empty when it does not."""
    own, other = run.hardware or {}, baseline.hardware or {}
    names = [name for name in dict.fromkeys([*other, *own]) if own.get(name) != other.get(name)]
    return ", ".join(f"{name} {own.get(name, 'unknown')} against {other.get(name, 'unknown')}" for name in names)


def judge(check: Check, contrasted: Contrast) -> Verdict:
    """Whether the check holds: `fail` when it does, `cannot judge` when the interval has both answers in it."""
    if not contrasted.parts:
        above, level = contrasted.left > contrasted.right, contrasted.left == contrasted.right
        holds = "=" in check.symbol if level else above == check.holds_above()
        return "fail" if holds else "pass"
    if not contrasted.real:
        return "cannot judge"
    return "fail" if (contrasted.low > contrasted.same) == check.holds_above() else "pass"


def _apart(quantity: Quantity, run: tuple[Entrant, Known], baseline: tuple[Entrant, Known]) -> list[str]:
    """Why a quantity does not mean the same for the two."""
    if quantity.on_hardware:
        found = []
        if differing := other_hardware(run[0], baseline[0]):
            found.append(f"{run[0].name} was measured on other hardware than {baseline[0].name}: {differing}")
        sizes = [entrant.measurement.batch_size for entrant, _ in (run, baseline) if entrant.measurement]
        if quantity.name in ("throughput", "energy") and len(set(sizes)) > 1:
            found.append(f"{run[0].name} was measured with batches of {sizes[0]}, {baseline[0].name} of {sizes[1]}")
        return found
    sources = {held.source for _, known in (run, baseline) if isinstance(held := known[quantity.name], Estimate)}
    return [f"{run[0].name} was scored on other held-out rows than {baseline[0].name}"] if len(sources) > 1 else []


def _part(sized: Estimate, left: Value, right: Value, ratio: bool, paired: bool) -> Part:
    moved = np.log(left) - np.log(right) if ratio else np.subtract(left, right)
    return Part(sized.kind, sized.count, float(np.var(moved)), paired)


def _grown(part: Part, factor: float) -> Part:
    return Part(part.kind, math.ceil(part.count * factor), part.variance / factor)


def _margin(parts: tuple[Part, ...] | list[Part]) -> float:
    from scipy.stats import t

    total = sum(part.variance for part in parts)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(part.variance**2 / max(1, part.count - 1) for part in parts)
    return float(t.ppf((1 + _CONFIDENCE) / 2, freedom)) * math.sqrt(total)

"""Several runs side by side: quantities with intervals, which differences to the first run are real, and checks.

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
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from podium.benchmarking.statistics import CONFIDENCE, welch_margin
from podium.errors import InputError
from podium.evaluation.bootstrap import PAIRED_METHOD, paired_difference
from podium.records import Interval
from podium.records.base import Frozen
from podium.selection.estimates import QUANTITIES, SCORES, SEED, ComparedModel, Estimate, Quantity, estimates
from podium.selection.expression import Check, Operand, Value, Verdict, parse, worst

EXACT = "exact"
"""Method of an interval without width: neither side has noise, such as the size on disk."""

_RESAMPLES = 5000
_METHODS = {"rows": PAIRED_METHOD, "repetitions": "bootstrap of repetitions, Welch's t"}
_PAIRED = "bootstrap of repetitions in pairs, Student's t"
_MOST = {"repetitions": 100, "rows": 1_000_000}
"""Largest sample that is worth naming."""


class ComparedRun(Frozen):
    """One of the runs; `record` is what it was read from, `notes` say what limits its figures."""

    name: str
    model: str
    record: str
    hardware: dict[str, str]
    notes: tuple[str, ...]


class Figure(Frozen):
    """One quantity of one run; `missing` says why there is none, and `value` is null then."""

    value: float | None = None
    interval: Interval | None = None
    missing: str = ""


class Difference(Frozen):
    """One quantity of one run against the first.

    Attributes:
        change: relative to the first run for what is measured (0.1: a tenth more), absolute for quality.
        real: whether the interval leaves out zero; null where `reasons` say why that is not known.
        better: which way it goes, where it is real.
    """

    change: Interval | None = None
    real: bool | None = None
    better: bool | None = None
    reasons: tuple[str, ...] = ()


class Row(Frozen):
    """One quantity: a figure for every run, and a difference for every run but the first."""

    name: str
    title: str
    unit: str
    better: str
    figures: tuple[Figure, ...]
    differences: tuple[Difference, ...]


class CheckResult(Frozen):
    """One check of one run; `ratio` is the left term by the right one, or `difference` the one minus the other."""

    check: str
    run: str
    verdict: Verdict
    left: float | None = None
    right: float | None = None
    ratio: Interval | None = None
    difference: Interval | None = None
    reasons: tuple[str, ...] = ()


class RunsComparison(Frozen):
    """Runs, the first of which is the baseline."""

    runs: tuple[ComparedRun, ...]
    rows: tuple[Row, ...]
    checks: tuple[CheckResult, ...]

    @property
    def verdict(self) -> Verdict:
        return worst([result.verdict for result in self.checks])


class _Side(NamedTuple):
    model: ComparedModel
    known: Mapping[str, Estimate]


def compare_runs(models: Sequence[ComparedModel], checks: Sequence[str]) -> RunsComparison:
    """Compare every model with the first, and check it.

    Args:
        checks: see `podium.selection.expression`; each is for every model but the first.

    Raises:
        InputError: fewer than two models, or a check that cannot be read or divides by zero.
    """
    if len(models) < 2:
        raise InputError(f"at least two runs are needed to be compared, but got {len(models)}")
    parsed = [parse(text, tuple(QUANTITIES)) for text in checks]
    baseline, *others = sides = [_Side(model, estimates(model)) for model in models]
    return RunsComparison(
        runs=tuple(_run(model, models[0]) for model in models),
        rows=tuple(
            Row(
                name=name,
                title=quantity.title,
                unit=quantity.unit,
                better=quantity.better,
                figures=tuple(_figure(known[name]) for _, known in sides),
                differences=tuple(_difference(quantity, run, baseline) for run in others),
            )
            for name, quantity in QUANTITIES.items()
            if any(known[name].value is not None for _, known in sides)
        ),
        checks=tuple(_checked(check, run, baseline) for check in parsed for run in others),
    )


def _run(model: ComparedModel, first: ComparedModel) -> ComparedRun:
    notes = list(model.notes)
    if model.session == first.session != "" and model.repetitions != first.repetitions:
        notes.append(
            f"its repetitions were taken in turns with those of {first.name} and are compared in pairs: what slowed "
            "the machine for a while slowed both"
        )
    if model.measurement and first.measurement and model.data != first.data:
        notes.append(
            f"its data are not those of {first.name}: a difference in cost may come from the lengths of their rows"
        )
    hardware = dict(model.hardware or {})
    return ComparedRun(name=model.name, model=model.title, record=model.record, hardware=hardware, notes=tuple(notes))


def _figure(held: Estimate) -> Figure:
    return Figure(value=held.value, interval=held.interval, missing=held.problem if held.value is None else "")


def _difference(quantity: Quantity, run: _Side, baseline: _Side) -> Difference:
    check = parse(f"{quantity.name} > baseline", (quantity.name,))
    if found := _obstacles(check, run, baseline):
        return Difference(reasons=tuple(found))
    own, other = run.model.predictions, baseline.model.predictions
    if quantity in SCORES and own and other:
        change, _ = paired_difference(own, other, quantity.name, CONFIDENCE, _RESAMPLES, SEED)
    else:
        contrast = _contrast(check, run, baseline)
        change = contrast.interval(1.0 if contrast.ratio else contrast.right, contrast.same)
    real = not change.low <= 0 <= change.high
    better = (change.value > 0) == (quantity.better == "higher") if real else None
    return Difference(change=change, real=real, better=better)


def _checked(check: Check, run: _Side, baseline: _Side) -> CheckResult:
    name = run.model.name
    if found := _obstacles(check, run, baseline):
        return CheckResult(check=check.text, run=name, verdict="cannot judge", reasons=tuple(found))
    contrast = _contrast(check, run, baseline)
    verdict = contrast.verdict(check)
    return CheckResult(
        check=check.text,
        run=name,
        verdict=verdict,
        left=contrast.left,
        right=contrast.right,
        ratio=contrast.interval() if contrast.ratio else None,
        difference=None if contrast.ratio else contrast.interval(),
        reasons=(contrast.needed(),) if verdict == "cannot judge" else (),
    )


def _obstacles(check: Check, run: _Side, baseline: _Side) -> list[str]:
    """The reasons why the terms of a check cannot be contrasted; empty when they can."""
    found = []
    for side, name in sorted(check.operands):
        model, known = run if side == "run" else baseline
        title, held = QUANTITIES[name].title, known[name]
        if held.value is None:
            found.append(f"{model.name} has no {title}: {held.problem}")
        elif held.problem:
            found.append(f"the {title} of {model.name} has no interval: {held.problem}")
    if not found and len({operand.side for operand in check.operands}) > 1:
        for name in sorted({operand.name for operand in check.operands}):
            found += _apart(QUANTITIES[name], run, baseline)
    return list(dict.fromkeys(found))


def _apart(quantity: Quantity, run: _Side, baseline: _Side) -> list[str]:
    """The reasons why a quantity of the run and one of the baseline cannot be compared."""
    own, other = run.model, baseline.model
    if not quantity.on_hardware:
        sources = {side.known[quantity.name].source for side in (run, baseline)}
        return [f"{own.name} was scored on other held-out rows than {other.name}"] if len(sources) > 1 else []
    found = []
    ours, theirs = own.hardware or {}, other.hardware or {}
    if differing := [name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)]:
        facts = (f"{name} {ours.get(name, 'unknown')} against {theirs.get(name, 'unknown')}" for name in differing)
        found.append(f"{own.name} was measured on other hardware than {other.name}: {', '.join(facts)}")
    sizes = [model.measurement.batch_size for model in (own, other) if model.measurement]
    if quantity.name in ("throughput", "energy") and len(set(sizes)) > 1:
        found.append(f"{own.name} was measured with batches of {sizes[0]}, {other.name} of {sizes[1]}")
    return found


@dataclass(frozen=True)
class _Part:
    """What one independent source adds to the variance of a contrast.

    `count` is its number of repetitions or rows; it is `paired` where each of them belongs to both sides.
    """

    kind: str
    count: float
    variance: float
    paired: bool


@dataclass(frozen=True)
class _Contrast:
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
    parts: tuple[_Part, ...]

    @property
    def same(self) -> float:
        """The value of no difference."""
        return 1.0 if self.ratio else 0.0

    def interval(self, scale: float = 1.0, shift: float = 0.0) -> Interval:
        """Value and bounds, divided by `scale` and then moved down by `shift`."""
        value, low, high = (bound / scale - shift for bound in (self.value, self.low, self.high))
        methods = {
            _PAIRED if part.paired and part.kind == "repetitions" else _METHODS[part.kind] for part in self.parts
        }
        method = " and ".join(sorted(methods, reverse=True)) or EXACT
        return Interval(value=value, low=low, high=high, confidence=CONFIDENCE, method=method)

    def verdict(self, check: Check) -> Verdict:
        """`fail` when the check holds, `pass` when not, `cannot judge` when the interval contains both answers."""
        if not self.parts and self.left == self.right:
            return "fail" if "=" in check.symbol else "pass"
        if self.low <= self.same <= self.high:
            return "cannot judge"
        return "fail" if (self.low > self.same) == check.holds_above() else "pass"

    def needed(self) -> str:
        """How many repetitions or rows would probably tell, if value and spread stay as they are."""
        distance = abs(math.log(self.value)) if self.ratio else abs(self.value)
        main = max(self.parts, key=lambda part: part.variance)
        for factor in np.geomspace(1, max(1, _MOST[main.kind] / main.count), 200):
            if welch_margin([(one.variance / factor, one.count * factor) for one in self.parts]) >= distance:
                continue
            count = math.ceil(main.count * factor)
            if main.kind == "rows":
                return f"about {count:,} held-out rows, or documents where there are any, would probably suffice"
            return (
                f"about {count} repetitions of each (benchmark.repetitions={count}) would probably suffice; so may "
                "more samples in each, or a quieter machine"
            )
        return "the two terms are so close that no reasonable number of repetitions or rows would probably suffice"


def _contrast(check: Check, run: _Side, baseline: _Side) -> _Contrast:
    """The terms of a check against each other.

    Raises:
        InputError: a term is not finite, or not on every resample: the check divides by zero.
    """
    points: dict[Operand, Value] = {}
    drawn: dict[str, dict[Operand, Value]] = defaultdict(dict)
    sampled: dict[str, Estimate] = {}
    for operand in check.operands:
        held = (run if operand.side == "run" else baseline).known[operand.name]
        points[operand] = held.value if held.value is not None else math.nan
        if held.draws is not None:
            source = held.source or operand.side
            drawn[source][operand], sampled[source] = held.draws, held
    left, right = (float(term) for term in check.terms(points))
    if not (math.isfinite(left) and math.isfinite(right)):
        raise InputError(f"--fail-if {check.text!r}: both terms must be finite, but they are {left:g} and {right:g}")
    moved = {source: check.terms(points | operands) for source, operands in drawn.items()}
    ratio = all(np.all(term > 0) for term in (left, right, *(term for pair in moved.values() for term in pair)))
    parts = tuple(
        _Part(
            sampled[source].kind,
            sampled[source].count,
            float(np.var(np.log(one) - np.log(other) if ratio else np.subtract(one, other))),
            len({operand.side for operand in drawn[source]}) > 1,
        )
        for source, (one, other) in moved.items()
    )
    margin = welch_margin([(one.variance, one.count) for one in parts])
    if not math.isfinite(margin):
        raise InputError(f"--fail-if {check.text!r}: both terms must be finite, but within their noise they are not")
    if ratio:
        value = left / right
        return _Contrast(left, right, ratio, value, value * math.exp(-margin), value * math.exp(margin), parts)
    return _Contrast(left, right, ratio, left - right, left - right - margin, left - right + margin, parts)

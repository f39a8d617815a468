"""Several runs side by side: quantities with intervals, which differences to the first run are real, and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from podium.errors import InputError
from podium.evaluation.bootstrap import PAIRED_METHOD, paired_difference
from podium.records import Interval
from podium.records.base import Frozen
from podium.selection.contrasts import Contrast, Known, Verdict, contrast, judge, obstacles
from podium.selection.estimates import (
    QUANTITIES,
    SCORES,
    SEED,
    Entrant,
    Estimate,
    Missing,
    Quantity,
    estimates,
    in_pairs,
    took_turns,
)
from podium.selection.expression import Check, Operand, parse

EXACT = "exact"
"""Method of an interval without width: neither side was measured more than once, nor had to be."""

_Side = tuple[Entrant, Known]
_CONFIDENCE = 0.95
_RESAMPLES = 5000
_METHODS = {"rows": PAIRED_METHOD, "repetitions": "hierarchical bootstrap, Welch's t"}
_PAIRED = "bootstrap of repetitions in pairs, Student's t"


class ComparedRun(Frozen):
    """One of the runs; `record` is what it was read from, `notes` what is to be known of its figures."""

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
        real: whether the interval leaves out zero; null where `reasons` say why that cannot be told.
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
        """`fail` when any check does, else `cannot judge` when any cannot be judged."""
        found = {result.verdict for result in self.checks}
        return "fail" if "fail" in found else "cannot judge" if "cannot judge" in found else "pass"


def compare_runs(entrants: Sequence[Entrant], checks: Sequence[str]) -> RunsComparison:
    """Hold every entrant against the first, and check it.

    Args:
        checks: see `podium.selection.expression`; each is for every entrant but the first.

    Raises:
        InputError: fewer than two entrants, or a check that cannot be read or divides by zero.
    """
    if len(entrants) < 2:
        raise InputError(f"at least two runs are needed to be compared, but got {len(entrants)}")
    parsed = [parse(text, tuple(QUANTITIES)) for text in checks]
    known = [(entrant, estimates(entrant)) for entrant in entrants]
    pairs = [_pair(one, known[0]) for one in known[1:]]
    return RunsComparison(
        runs=tuple(_run(entrant, entrants[0]) for entrant in entrants),
        rows=tuple(
            _row(quantity, known, pairs)
            for quantity in QUANTITIES.values()
            if any(isinstance(held[quantity.name], Estimate) for _, held in known)
        ),
        checks=tuple(_checked(check, pair) for check in parsed for pair in pairs),
    )


@dataclass(frozen=True)
class _Pair:
    """A run and the baseline: as each is on its own, and for what holds one against the other."""

    alone: tuple[_Side, _Side]
    contrasted: tuple[_Side, _Side]

    def sides(self, check: Check) -> tuple[_Side, _Side]:
        """Run and baseline as the check needs them."""
        return self.contrasted if len({operand.side for operand in check.operands}) > 1 else self.alone


def _pair(run: _Side, baseline: _Side) -> _Pair:
    alone = (run, baseline)
    if not took_turns(run[0], baseline[0]):
        return _Pair(alone, alone)
    return _Pair(alone, ((run[0], in_pairs(*run)), (baseline[0], in_pairs(*baseline))))


def _run(entrant: Entrant, first: Entrant) -> ComparedRun:
    notes = list(entrant.notes)
    if took_turns(entrant, first) and entrant.repetitions != first.repetitions:
        notes.append(
            f"its repetitions were taken in turns with those of {first.name} and are compared in pairs: what slowed "
            "the machine for a while slowed both"
        )
    if entrant.measurement and first.measurement and entrant.data != first.data:
        notes.append(
            f"its data are not those of {first.name}: a difference in cost may come from the lengths of their rows"
        )
    return ComparedRun(
        name=entrant.name,
        model=entrant.model,
        record=entrant.record,
        hardware=dict(entrant.hardware or {}),
        notes=tuple(notes),
    )


def _row(quantity: Quantity, known: Sequence[_Side], pairs: Sequence[_Pair]) -> Row:
    return Row(
        name=quantity.name,
        title=quantity.title,
        unit=quantity.unit,
        better=quantity.better,
        figures=tuple(_figure(held[quantity.name]) for _, held in known),
        differences=tuple(_difference(quantity, pair) for pair in pairs),
    )


def _figure(held: Estimate | Missing) -> Figure:
    if isinstance(held, Missing):
        return Figure(missing=held.reason)
    return Figure(value=held.value, interval=held.interval)


def _difference(quantity: Quantity, pair: _Pair) -> Difference:
    check = parse(f"{quantity.name} > baseline", (quantity.name,))
    run, baseline = pair.sides(check)
    found = obstacles(check, run, baseline)
    if found:
        return Difference(reasons=tuple(found))
    if quantity in SCORES:
        change = _paired(quantity.name, run[0], baseline[0])
    else:
        contrasted = contrast(check, _values(check, run, baseline))
        change = _relative(contrasted)
    real = not change.low <= 0 <= change.high
    better = (change.value > 0) == (quantity.better == "higher") if real else None
    return Difference(change=change, real=real, better=better)


def _paired(metric: str, run: Entrant, baseline: Entrant) -> Interval:
    if run.predictions is None or baseline.predictions is None:
        raise InputError(f"both runs must have predictions for a paired comparison of {metric}")
    return paired_difference(run.predictions, baseline.predictions, metric, _CONFIDENCE, _RESAMPLES, SEED)[0]


def _checked(check: Check, pair: _Pair) -> CheckResult:
    run, baseline = pair.sides(check)
    name = run[0].name
    found = obstacles(check, run, baseline)
    if found:
        return CheckResult(check=check.text, run=name, verdict="cannot judge", reasons=tuple(found))
    contrasted = contrast(check, _values(check, run, baseline))
    verdict = judge(check, contrasted)
    interval = _interval(contrasted.value, contrasted.low, contrasted.high, _method(contrasted))
    return CheckResult(
        check=check.text,
        run=name,
        verdict=verdict,
        left=contrasted.left,
        right=contrasted.right,
        ratio=interval if contrasted.ratio else None,
        difference=None if contrasted.ratio else interval,
        reasons=(_needed(contrasted),) if verdict == "cannot judge" else (),
    )


def _values(check: Check, run: _Side, baseline: _Side) -> Mapping[Operand, Estimate]:
    sides = {"run": run[1], "baseline": baseline[1]}
    found = {operand: sides[operand.side][operand.name] for operand in check.operands}
    return {operand: held for operand, held in found.items() if isinstance(held, Estimate)}


def _needed(contrasted: Contrast) -> str:
    needed = contrasted.needed()
    if needed is None:
        return "the two terms are so close that no reasonable number of repetitions or rows would probably tell"
    kind, count = needed
    if kind == "rows":
        return f"about {count:,} held-out rows, or documents where there are any, would probably tell"
    return (
        f"about {count} repetitions of each (benchmark.repetitions={count}) would probably tell; so may more samples "
        "in each, or a quieter machine"
    )


def _method(contrasted: Contrast) -> str:
    names = {
        _PAIRED if part.paired and part.kind == "repetitions" else _METHODS[part.kind] for part in contrasted.parts
    }
    return " and ".join(sorted(names, reverse=True)) or EXACT


def _relative(contrasted: Contrast) -> Interval:
    """Left minus right as a share of right."""
    bounds = (contrasted.value, contrasted.low, contrasted.high)
    value, low, high = (bound - 1 if contrasted.ratio else bound / contrasted.right for bound in bounds)
    return _interval(value, low, high, _method(contrasted))


def _interval(value: float, low: float, high: float, method: str) -> Interval:
    return Interval(value=value, low=low, high=high, confidence=_CONFIDENCE, method=method)

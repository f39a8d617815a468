"""Several runs side by side: quantities with intervals, which differences to the first run are real, and checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from podium.benchmarking.statistics import CONFIDENCE
from podium.errors import InputError
from podium.evaluation.bootstrap import PAIRED_METHOD, paired_difference
from podium.records import Interval
from podium.records.base import Frozen
from podium.selection.contrasts import Contrast, Known, Verdict, contrast, judge, obstacles
from podium.selection.estimates import (
    QUANTITIES,
    SCORES,
    SEED,
    ComparedModel,
    Estimate,
    Missing,
    Quantity,
    estimates,
    in_pairs,
    took_turns,
)
from podium.selection.expression import Check, Operand, parse

EXACT = "exact"
"""Method of an interval without width: neither side has noise, such as the size on disk."""

_Side = tuple[ComparedModel, Known]
_RESAMPLES = 5000
_METHODS = {"rows": PAIRED_METHOD, "repetitions": "hierarchical bootstrap, Welch's t"}
_PAIRED = "bootstrap of repetitions in pairs, Student's t"


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
        """`fail` when any check does, else `cannot judge` when any cannot be judged."""
        found = {result.verdict for result in self.checks}
        return "fail" if "fail" in found else "cannot judge" if "cannot judge" in found else "pass"


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
    known = [(model, estimates(model)) for model in models]
    pairs = [_Pair.of(one, known[0]) for one in known[1:]]
    return RunsComparison(
        runs=tuple(_run(model, models[0]) for model in models),
        rows=tuple(
            Row(
                name=quantity.name,
                title=quantity.title,
                unit=quantity.unit,
                better=quantity.better,
                figures=tuple(_figure(held[quantity.name]) for _, held in known),
                differences=tuple(_difference(quantity, pair) for pair in pairs),
            )
            for quantity in QUANTITIES.values()
            if any(isinstance(held[quantity.name], Estimate) for _, held in known)
        ),
        checks=tuple(_checked(check, pair) for check in parsed for pair in pairs),
    )


@dataclass(frozen=True)
class _Pair:
    """A run and the baseline: each by itself, and as they are contrasted with each other."""

    alone: tuple[_Side, _Side]
    contrasted: tuple[_Side, _Side]

    @classmethod
    def of(cls, run: _Side, baseline: _Side) -> _Pair:
        if not took_turns(run[0], baseline[0]):
            return cls((run, baseline), (run, baseline))
        return cls((run, baseline), ((run[0], in_pairs(*run)), (baseline[0], in_pairs(*baseline))))

    def sides(self, check: Check) -> tuple[_Side, _Side]:
        """Run and baseline as the check needs them."""
        return self.contrasted if len({operand.side for operand in check.operands}) > 1 else self.alone


def _run(model: ComparedModel, first: ComparedModel) -> ComparedRun:
    notes = list(model.notes)
    if took_turns(model, first) and model.repetitions != first.repetitions:
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


def _figure(held: Estimate | Missing) -> Figure:
    if isinstance(held, Missing):
        return Figure(missing=held.reason)
    return Figure(value=held.value, interval=held.interval)


def _difference(quantity: Quantity, pair: _Pair) -> Difference:
    check = parse(f"{quantity.name} > baseline", (quantity.name,))
    run, baseline = pair.sides(check)
    if found := obstacles(check, run, baseline):
        return Difference(reasons=tuple(found))
    own, other = run[0].predictions, baseline[0].predictions
    if quantity in SCORES and own and other:
        change, _ = paired_difference(own, other, quantity.name, CONFIDENCE, _RESAMPLES, SEED)
    else:
        contrasted = contrast(check, _values(check, run, baseline))
        scale = 1.0 if contrasted.ratio else contrasted.right
        change = _interval(contrasted, lambda bound: bound / scale - contrasted.same)
    real = not change.low <= 0 <= change.high
    better = (change.value > 0) == (quantity.better == "higher") if real else None
    return Difference(change=change, real=real, better=better)


def _checked(check: Check, pair: _Pair) -> CheckResult:
    run, baseline = pair.sides(check)
    name = run[0].name
    if found := obstacles(check, run, baseline):
        return CheckResult(check=check.text, run=name, verdict="cannot judge", reasons=tuple(found))
    contrasted = contrast(check, _values(check, run, baseline))
    verdict, interval = judge(check, contrasted), _interval(contrasted)
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
        return "the two terms are so close that no reasonable number of repetitions or rows would probably suffice"
    kind, count = needed
    if kind == "rows":
        return f"about {count:,} held-out rows, or documents where there are any, would probably suffice"
    return (
        f"about {count} repetitions of each (benchmark.repetitions={count}) would probably suffice; so may more "
        "samples in each, or a quieter machine"
    )


def _interval(contrasted: Contrast, scaled: Callable[[float], float] = lambda bound: bound) -> Interval:
    methods = {
        _PAIRED if part.paired and part.kind == "repetitions" else _METHODS[part.kind] for part in contrasted.parts
    }
    value, low, high = (scaled(bound) for bound in (contrasted.value, contrasted.low, contrasted.high))
    method = " and ".join(sorted(methods, reverse=True)) or EXACT
    return Interval(value=value, low=low, high=high, confidence=CONFIDENCE, method=method)

"""What got slower or faster between two profiles, and whether that is more than noise.

Processes are what was repeated, so they are what is resampled: a figure of a profile is the median over its processes,
and differences are judged on a logarithmic scale by Welch's t. Groups of operators have one trace: the spread of its
iterations misses what varies between processes, so they are shown with it, and never judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from podium.benchmarking.statistics import CONFIDENCE, welch_margin
from podium.errors import InputError
from podium.records import Interval, ProfileRecord
from podium.records.base import Frozen
from podium.selection.expression import Check, Operand, Verdict, parse, worst

ITERATION = "iteration"
_SEED, _RESAMPLES = 0, 2000


class Change(Frozen):
    """One figure of two profiles, in seconds of an iteration.

    Attributes:
        ratio: after over before, with its interval where it is `judged`.
        real: whether the interval leaves out 1; null where it is not judged.
    """

    name: str
    kind: Literal["range", "group"]
    before: float
    after: float
    ratio: Interval | None = None
    real: bool | None = None


class CheckResult(Frozen):
    """One `--fail-if`."""

    check: str
    verdict: Verdict
    left: float
    right: float
    reason: str = ""


class ProfilesDiff(Frozen):
    """Two profiles, the first of which is the baseline; `notes` say what else differs."""

    before: str
    after: str
    changes: tuple[Change, ...]
    checks: tuple[CheckResult, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        return worst([one.verdict for one in self.checks])


def diff_profiles(before: ProfileRecord, after: ProfileRecord, checks: Sequence[str] = ()) -> ProfilesDiff:
    """Compare a profile with an earlier one.

    Raises:
        InputError: a check cannot be read, or names a figure that a profile lacks.
    """
    sides = _figures(before), _figures(after)
    shared = [name for name in sides[0] if name in sides[1]]
    changes = [_judged(name, sides[0][name], sides[1][name]) for name in shared]
    groups = {one.name: one.median for one in before.groups}, {one.name: one.median for one in after.groups}
    named = sorted({*groups[0], *groups[1]}, key=lambda name: -max(one.get(name, 0.0) for one in groups))
    changes += [
        Change(name=name, kind="group", before=groups[0].get(name, 0.0), after=groups[1].get(name, 0.0))
        for name in named
    ]
    names = [_identifier(name) for name in shared]
    known = [{_identifier(name): side[name] for name in shared} for side in sides]
    return ProfilesDiff(
        before=before.model,
        after=after.model,
        changes=tuple(changes),
        checks=tuple(_checked(parse(text, names), known[0], known[1]) for text in checks),
        notes=_notes(before, after),
    )


def _identifier(name: str) -> str:
    return name.replace("-", "_").replace(" ", "_")


def _figures(record: ProfileRecord) -> dict[str, np.ndarray]:
    """Seconds of the iteration and of each range, one value per process."""
    if len(record.samples) < 2:
        raise InputError(
            f"a profile to compare has times of two processes or more, but {record.model or record.key[:12]} has "
            f"{len(record.samples)}; profile it with profile.repetitions=3"
        )
    found = {ITERATION: record.samples, **{one.name: one.samples for one in record.phases}}
    return {name: np.asarray(values) for name, values in found.items()}


def _judged(name: str, before: np.ndarray, after: np.ndarray) -> Change:
    value = float(np.median(after) / np.median(before))
    margin = welch_margin([(float(np.log(one).var(ddof=1)) / len(one), len(one)) for one in (before, after)])
    low, high = value * math.exp(-margin), value * math.exp(margin)
    method = f"Welch t over the logarithms of {len(before)} and {len(after)} processes"
    ratio = Interval(value=value, low=low, high=high, confidence=CONFIDENCE, method=method)
    sides = float(np.median(before)), float(np.median(after))
    return Change(name=name, kind="range", before=sides[0], after=sides[1], ratio=ratio, real=not low <= 1 <= high)


def _checked(check: Check, before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> CheckResult:
    """Judge a check, which `fail`s where it holds beyond noise."""
    sides = {"run": after, "baseline": before}
    points = {one: float(np.median(sides[one.side][one.name])) for one in check.operands}
    left, right = (float(one) for one in check.terms(points))
    if not (math.isfinite(left) and math.isfinite(right) and left > 0 and right > 0):
        raise InputError(
            f"--fail-if {check.text!r}: both terms must be above zero, but they are {left:g} and {right:g}"
        )
    margin = welch_margin([_part(check, points, side, samples) for side, samples in sides.items()])
    distance = math.log(left / right)
    if abs(distance) <= margin:
        reason = f"{left:.4g} against {right:.4g} is within the noise of {margin:.1%}; more repetitions may tell"
        return CheckResult(check=check.text, verdict="cannot judge", left=left, right=right, reason=reason)
    holds = (distance > 0) == check.holds_above()
    return CheckResult(check=check.text, verdict="fail" if holds else "pass", left=left, right=right)


def _part(
    check: Check, points: Mapping[Operand, float], side: str, samples: Mapping[str, np.ndarray]
) -> tuple[float, int]:
    """What the processes of one side add to the variance of the logarithm of the ratio of the terms, and their number.

    They are drawn with replacement, all figures of a process together; the factor makes up for the spread that a
    resample of so few lacks.
    """
    count = len(samples[ITERATION])
    own = [one for one in check.operands if one.side == side]
    if not own:
        return 0.0, count
    places = np.random.default_rng(_SEED).integers(count, size=(_RESAMPLES, count))
    drawn = {one: samples[one.name][places].mean(axis=1) for one in own}
    left, right = check.terms({**points, **drawn})
    variance = float(np.var(np.log(np.abs(left)) - np.log(np.abs(right))))
    return variance * count / (count - 1), count


def _notes(before: ProfileRecord, after: ProfileRecord) -> tuple[str, ...]:
    """What else differs between the two, in sentences."""
    found = []
    for what, one, other in (
        ("hardware", before.hardware, after.hardware),
        ("workload", dict(before.workload), dict(after.workload)),
    ):
        differing = [name for name in {**one, **other} if one.get(name) != other.get(name) and name != "variant"]
        if differing:
            listed = ", ".join(f"{name} {one.get(name, 'none')} and {other.get(name, 'none')}" for name in differing)
            found.append(f"the {what} differs: {listed}")
    return tuple(found)

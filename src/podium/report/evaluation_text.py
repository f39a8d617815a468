"""An evaluation for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from podium.display import numbers
from podium.display.terminal import Part, joined
from podium.evaluation.evaluated import Evaluation
from podium.evaluation.slices import Disparity
from podium.report.evaluation import best, calibrated, finding, outcomes, said, shared
from podium.report.slices import of_slices

_SHOWN_SCORES = 4
"""Metrics that a table of slices has."""


def as_text(found: Evaluation, *, terminal: bool) -> str:
    """Tables of metrics, differences and slices, and sentences on the rest."""
    return joined(_parts(found), terminal=terminal)


def _parts(found: Evaluation) -> Iterator[Part]:
    run = found.run
    yield f"{run.name}: {run.model}, {run.source}, {run.rows:,} rows, {run.task}"
    if run.outcomes:
        yield f"outcomes: {outcomes(run.outcomes)}"
    if run.unanswered:
        yield f"{run.unanswered:,} rows have no valid answer and count as wrong"
    yield from run.notes
    rows = ((one.title, numbers.score(one.interval.value), numbers.bounds(one.interval)) for one in found.metrics)
    yield ("metric", "value", f"{found.confidence:.0%} interval"), rows
    if against := found.against:
        yield f"\nagainst {against.other.name} ({against.other.model}). {shared(against)}"
        yield (
            ("metric", "this", "other", "difference", "p", "finding"),
            [
                (
                    *(one.title, numbers.score(one.value), numbers.score(one.against)),
                    *(numbers.difference(one.difference), numbers.p_value(one.p_value), finding(one)),
                )
                for one in against.metrics
            ],
        )
        yield f"{against.gained:,} rows became right and {against.lost:,} became wrong; they are in changes.csv"
    for one in found.slicings:
        shown = of_slices(found)[:_SHOWN_SCORES]
        yield f"\nby {one.column}:"
        yield (
            (one.column, "rows", *(metric.title for metric in shown)),
            [
                (
                    f"{said(part.value)}{' (small)' if part.small else ''}",
                    f"{part.rows:,}",
                    *(
                        f"{numbers.score(score.value)} ({numbers.bounds(score)})"
                        for score in (part.scores[metric.name] for metric in shown)
                    ),
                )
                for part in one.slices
            ],
        )
        apart = {part.metric: part for part in one.disparities}
        yield from (_apart(metric.title, apart[metric.name]) for metric in shown if metric.name in apart)
        if one.parity:
            worst = max(one.parity, key=lambda part: part.demographic_parity)
            yield (
                f"largest difference in demographic parity: {numbers.score(worst.demographic_parity)} ({worst.label}); "
                f"equalised odds of it: {numbers.score(worst.equalised_odds)}"
            )
        yield from one.notes
    if any(one.disparities for one in found.slicings):
        yield "p-values are not corrected for the number of metrics and columns"
    if found.calibration:
        yield f"\n{calibrated(found, found.calibration)}"
    if found.thresholds and found.thresholds.points:
        yield best(found.thresholds)
    yield from (f"{what} not known: {why}" for what, why in found.skipped.items())


def _apart(title: str, one: Disparity) -> str:
    if one.difference == 0:
        return f"{title}: no difference between slices"
    p_value = f", p {numbers.p_equals(one.p_value)}" if one.p_value is not None else ""
    ends = f"{said(one.lowest)} (lowest) and {said(one.highest)} (highest)"
    return f"{title}: {numbers.score(one.difference)} between {ends}{p_value}"

"""The section `Is more data worth it?`: the winner's score by number of rows, and what twice the rows would bring."""

from __future__ import annotations

from statistics import fmean, stdev

from podium.display import numbers
from podium.display.blocks import Block, Cell, Section, Table, Text
from podium.display.charts import Axis, Line, Mark, Plot, PlotChart, Tick
from podium.records import CurvePoint, CurveRecord
from podium.report.inputs import ReportInputs

_TICKS_APART = 0.14
"""Share of the axis below which the labels of two numbers of rows would run into each other on a phone."""


def learning_curve_section(given: ReportInputs) -> Section:
    """The answer in a sentence, the curve, and its points in figures."""
    record, title = given.curve, "Is more data worth it?"
    if record.status == "skipped":
        how = "; with learning_curve.fractions=[0.1,0.2,0.4,0.7] it has one" if record.code == "OFF" else ""
        return Section(title, [Text(f"This run has no learning curve: {record.reason}{how}.")])
    lead = (
        f"The best trial of {record.winner}, cross-validated on shares of the rows. The rows of a smaller share are "
        "among those of a larger one."
    )
    blocks: list[Block] = [Text(lead, "muted"), Text(answer(record), "" if record.doubled else "warning")]
    scored = [point for point in record.points if point.scores]
    if len(scored) > 1:
        blocks.append(_chart(record, scored))
    return Section(title, [*blocks, _table(record)])


def answer(record: CurveRecord) -> str:
    """What twice the rows would bring, or why that is not known, in one sentence."""
    now, doubled, gain = record.now, record.doubled, record.gain
    if now is None or doubled is None or gain is None:
        return f"What twice the rows would bring is not known: {record.reason}."
    return (
        f"Twice the rows ({2 * record.rows:,}) would probably raise {numbers.metric_name(record.metric)} from "
        f"{numbers.score(now.value)} to {numbers.score(doubled.value)} ({numbers.bounds(doubled)}), a gain of "
        f"{numbers.score(gain.value)} ({numbers.bounds(gain)}; {gain.confidence:.0%} intervals)."
    )


def _chart(record: CurveRecord, scored: list[CurvePoint]) -> PlotChart:
    marks = [
        Mark(point.rows, fmean(point.scores), "first", _title(point), min(point.scores), max(point.scores))
        for point in scored
    ]
    legend = [("first", "cross-validation, with the spread of its folds")]
    said = ", ".join(mark.title for mark in marks)
    if record.doubled:
        ends = record.doubled.low, record.doubled.high
        title = f"{2 * record.rows:,} rows: {numbers.score(record.doubled.value)} expected"
        marks.append(Mark(2 * record.rows, record.doubled.value, "second", title, *ends))
        legend += [("steps", "fitted curve"), ("second", "expected with twice the rows, with its interval")]
        said += f"; {title} ({numbers.bounds(record.doubled)})"
    line = Line("steps", tuple((value.rows, value.score.value) for value in record.line))
    across = Axis(marks[0].x, marks[-1].x, log=True)
    kept = [marks[-1].x]
    for mark in reversed(marks[:-1]):
        if across.share(kept[-1]) - across.share(mark.x) >= _TICKS_APART:
            kept.append(mark.x)
    across = Axis(across.low, across.high, tuple(Tick(rows, f"{rows:,.0f}") for rows in reversed(kept)), log=True)
    up = Axis.over([end for mark in marks for end in (mark.low, mark.high) if end is not None])
    name = f"{numbers.metric_name(record.metric)}, by rows that a training has (log)"
    alt = f"{numbers.metric_name(record.metric)} by number of rows: {said}"
    return PlotChart(alt, (Plot(name, across, up, (line,), tuple(marks)),), tuple(legend))


def _title(point: CurvePoint) -> str:
    return f"{point.rows:,.0f} rows: {numbers.score(fmean(point.scores))}"


def _table(record: CurveRecord) -> Table:
    rows: list[tuple[Cell | str, ...]] = []
    for point in record.points:
        origin = Cell("failed", point.error[:200]) if point.error else "the study" if point.of_study else "this step"
        figures = (fmean(point.scores), stdev(point.scores)) if point.scores else (None, None)
        score = (*map(numbers.score, figures), numbers.duration(point.seconds))
        rows.append((f"{point.fraction:.0%}", f"{point.rows:,.0f}", *score, origin))
    columns = ("Share", "Rows", "Score", "Spread", "Time", "Trained by")
    return Table("Points of the learning curve", columns, "rrrrrl", rows, style="tight")

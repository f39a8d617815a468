"""An evaluation as one self-contained HTML page with charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from podium.display import numbers
from podium.display.blocks import Block, Cell, Columns, Facts, Section, Table, Text
from podium.display.charts import Axis, IntervalChart, IntervalRow, Line, Mark, Plot, PlotChart
from podium.evaluation.bootstrap import METHOD
from podium.evaluation.calibration import Calibration
from podium.evaluation.evaluated import Against, Evaluation, MetricDifference
from podium.evaluation.thresholds import CoveragePoint, Thresholds
from podium.report.leaderboard import error_blocks
from podium.report.page import Answer, Page
from podium.report.render import as_html as render_html
from podium.report.slices import slices_section

_TICKS = 4
_HEADLINE = 3
"""Metrics that the page begins with."""
_SHOWN_CHANGES = 50
_LONGEST = 160
_NO_ANSWER = "no valid answer"
_BEYOND = "the probabilities are off by more than chance"
_WITHIN = "the error is no larger than chance makes it"


def as_html(found: Evaluation) -> str:
    """The page, complete in itself."""
    return render_html(page_of(found))


def page_of(found: Evaluation) -> Page:
    """The evaluation as a page: the answer, then the evidence."""
    sections = [
        ("metrics", "Metrics", _metrics(found)),
        *([("against", "Comparison", _comparison(found, found.against))] if found.against else []),
        *([("slices", "Slices", slices_section(found))] if found.slicings else []),
        ("calibration", "Calibration", _calibration(found)),
        ("thresholds", "Thresholds", _thresholds(found)),
        ("errors", "Errors", _errors(found)),
        ("about", "About", _about(found)),
    ]
    lead = f"{found.run.model}, {found.run.task}: stored answers to {found.run.rows:,} rows."
    return Page(f"Evaluation of {found.run.name}", lead, sections, _answer(found))


def _answer(found: Evaluation) -> Answer:
    run, first = found.run, found.metrics[0]
    text = (
        f"**{run.model}** reaches {first.title} **{numbers.score(first.interval.value)}** "
        f"({found.confidence:.0%} interval {numbers.bounds(first.interval)}) on {run.rows:,} rows."
    )
    if run.unanswered:
        text += f" {run.unanswered:,} of them have no valid answer and count as wrong."
    if against := found.against:
        one = against.metrics[0]
        text += (
            f" On the {against.rows:,} rows that it shares with **{against.other.name}**, that is "
            f"**{numbers.signed(one.difference.value)}** ({numbers.signed_bounds(one.difference)}): {finding(one)}."
        )
    figures = [
        (one.title, numbers.score(one.interval.value), numbers.bounds(one.interval))
        for one in found.metrics[:_HEADLINE]
    ]
    figures.append(("Right", f"{run.right:,}", f"of {run.rows:,} rows"))
    figures.append(("No valid answer", f"{run.unanswered:,}", "rows, counted as wrong"))
    if found.against:
        figures.append(("Became right", f"{found.against.gained:,}", "rows"))
        figures.append(("Became wrong", f"{found.against.lost:,}", "rows"))
    return Answer("", "", text, figures)


def finding(one: MetricDifference) -> str:
    """Whether the difference is real, and which way."""
    return "no real difference" if not one.real else "really better" if one.better else "really worse"


def _metrics(found: Evaluation) -> Section:
    rows = [(one.title, numbers.score(one.interval.value), numbers.bounds(one.interval)) for one in found.metrics]
    shown = [one for one in found.metrics if one.better == "higher"]
    chart = IntervalChart(
        "; ".join(f"{one.title} {numbers.score(one.interval.value)}" for one in shown),
        "",
        tuple(IntervalRow.of(one.title, numbers.score(one.interval.value), one.interval) for one in shown),
    )
    table = Table("Metrics", ("Metric", "Value", "Interval"), "lrr", rows, style="tight")
    lead = f"{found.confidence:.0%} intervals: {found.metrics[0].interval.method}, {found.resamples:,} resamples."
    if found.run.positive:
        lead += f" Precision, recall and F1 are those of {found.run.positive}."
        if found.run.unanswered:
            lead += " In these a row without a valid answer counts as the wrong one of the two answers."
    return Section("Metrics", [Columns([Section("", [table]), Section("", [chart])]), Text(lead, "small")])


def _comparison(found: Evaluation, against: Against) -> Section:
    rows = [
        (
            *(one.title, numbers.score(one.value), numbers.score(one.against), numbers.signed(one.difference.value)),
            *(numbers.signed_bounds(one.difference), numbers.p_value(one.p_value)),
            finding(one),
        )
        for one in against.metrics
    ]
    columns = ("Metric", "This", "Other", "Difference", "Interval", "p-value", "Finding")
    scores = {one.name for one in found.metrics if one.better == "higher"}
    shown = [one for one in against.metrics if one.name in scores]
    chart = IntervalChart(
        "; ".join(f"{one.title} {numbers.difference(one.difference)}" for one in shown),
        "difference",
        tuple(IntervalRow.of(one.title, numbers.signed(one.difference.value), one.difference) for one in shown),
        zero_line=True,
    )
    lead = f"This: {found.run.name}. Other: {against.other.name} ({against.other.model}). {shared(against)}"
    method = (
        f"Intervals: {against.metrics[0].difference.method}, {found.resamples:,} resamples. A difference is called "
        "real where its interval leaves out zero."
    )
    blocks: list[Block] = [
        Text(lead, "muted"),
        Table("Both models on the same rows", columns, "lrrrrrl", rows),
        chart,
        Text(method, "small"),
        _crossed(against),
    ]
    if against.changes:
        ways = {True: Cell("", tag="became right"), False: Cell("", tag="became wrong")}
        changed = [
            (one.row, said(one.truth), said(one.before), said(one.after), ways[one.now_right])
            for one in against.changes[:_SHOWN_CHANGES]
        ]
        table = Table("Rows that changed", ("Row", "Truth", "Other", "This", ""), "lllll", changed)
        more = len(against.changes) - len(changed)
        note = [Text(f"and {more:,} more; all are in changes.csv.", "small")] if more > 0 else []
        title = f"The {len(against.changes):,} rows that one of the two got right"
        blocks.append(Section(title, [table, *note], "open" if len(changed) <= _TICKS else "closed"))
    return Section(f"Against {against.other.name}", blocks)


def shared(against: Against) -> str:
    """How many rows two runs share, and how many are left out."""
    alone = [
        f"{count:,} rows of {whose} alone are left out"
        for count, whose in ((against.only_one, "this run"), (against.only_other, "the other"))
        if count
    ]
    return f"Both answered {against.rows:,} rows{'; ' + ', '.join(alone) if alone else ''}."


def _crossed(against: Against) -> Table:
    rows = [
        ("This right", f"{against.both_right:,}", f"{against.gained:,}"),
        ("This wrong", f"{against.lost:,}", f"{against.both_wrong:,}"),
    ]
    return Table("Rows by who got them right", ("Rows", "Other right", "Other wrong"), "lrr", rows, style="tight")


def _calibration(found: Evaluation) -> Section:
    title, one = "Calibration", found.calibration
    if one is None:
        return Section(title, [Text(f"Not known: {found.skipped['calibration']}.")])
    rows = [
        (
            *(f"{part.low:.3f} to {part.high:.3f}", f"{part.count:,}", numbers.score(part.confidence)),
            *(numbers.score(part.accuracy.value), numbers.bounds(part.accuracy)),
        )
        for part in one.curve
    ]
    columns = ("Bin", "Count", "Mean probability", "True", "Interval")
    table = Table("Reliability", columns, "lrrrr", rows, style="tight")
    blocks: list[Block] = [Text(calibrated(found, one)), _reliability(one), Section("The bins", [table], "closed")]
    if one.left_out:
        blocks.append(Text(f"{one.left_out:,} rows without a valid answer are left out.", "small"))
    return Section(title, blocks)


def calibrated(found: Evaluation, one: Calibration) -> str:
    """The error beside that of a model that is calibrated perfectly."""
    error = next(metric.interval for metric in found.metrics if metric.name == "calibration_error")
    beyond = error.value > one.expected.high
    return (
        f"The expected calibration error is {numbers.score(error.value)} ({numbers.bounds(error)}), in {one.bins} bins "
        f"of equal width, over {one.count:,} probabilities of {one.of}. Calibrated perfectly, it would be "
        f"{numbers.score(one.expected.value)} ({numbers.bounds(one.expected)}) on as many: "
        f"{_BEYOND if beyond else _WITHIN}."
    )


def _reliability(one: Calibration) -> PlotChart:
    marks = tuple(
        Mark(
            *(part.confidence, part.accuracy.value, "first"),
            f"probability {part.confidence:.2f}: true in {part.accuracy.value:.2f} of {part.count:,}",
            *(part.accuracy.low, part.accuracy.high),
        )
        for part in one.curve
    )
    unit = Axis.over((0.0, 1.0), _TICKS)
    plot = Plot("share that is true, by probability", unit, unit, (Line("front", ((0, 0), (1, 1))),), marks)
    legend = (("first", "bin, with its interval"), ("curve run-5", "calibrated perfectly"))
    return PlotChart(f"Reliability: {'; '.join(mark.title for mark in marks)}", (plot,), legend)


def _thresholds(found: Evaluation) -> Section:
    title, one = "Thresholds", found.thresholds
    if one is None:
        return Section(title, [Text(f"Not known: {found.skipped['thresholds']}.")])
    parts = []
    if one.points and one.best:
        parts.append(Section(f"Precision and recall of {one.of}", [_levels(one), Text(best(one), "small")]))
    if one.coverage:
        rows = [
            (
                *(f"{point.coverage:.1%}", numbers.score(point.threshold), numbers.score(point.accuracy.value)),
                numbers.bounds(point.accuracy),
            )
            for point in one.at
        ]
        columns = ("Rows answered", "Least probability", "Accuracy", "Interval")
        table = Table("Accuracy by coverage", columns, "rrrr", rows, style="tight")
        parts.append(Section("Answering only what is sure", [_covered(one.coverage), table]))
    if not one.points and found.run.labels:
        hint = "Precision and recall by threshold are shown of one label: give --positive LABEL."
        return Section(title, [Columns(parts), Text(hint, "small")])
    return Section(title, [Columns(parts)])


def best(one: Thresholds) -> str:
    """Average precision, and the threshold of the highest F1."""
    if one.best is None or one.average_precision is None:
        return ""
    return (
        f"Average precision of {one.of}: {numbers.score(one.average_precision)}. The highest F1 on these rows is "
        f"{numbers.score(one.best.f1)}, from probability {numbers.score(one.best.threshold)} on (precision "
        f"{numbers.score(one.best.precision)}, recall {numbers.score(one.best.recall)}); as the threshold was chosen "
        "on these rows, others will give less."
    )


def _levels(one: Thresholds) -> PlotChart:
    lines = tuple(
        Line(f"curve run-{number}", tuple((point.threshold, getattr(point, name)) for point in one.points))
        for number, name in enumerate(("precision", "recall", "f1"))
    )
    unit = Axis.over((0.0, 1.0), _TICKS)
    marks = (Mark(one.best.threshold, one.best.f1, "run-2", best(one)),) if one.best else ()
    plot = Plot("by least probability", unit, unit, lines, marks)
    legend = (("curve run-0", "precision"), ("curve run-1", "recall"), ("curve run-2", "F1"))
    return PlotChart(best(one), (plot,), legend)


def _covered(points: Sequence[CoveragePoint]) -> PlotChart:
    across, values = Axis.over((0.0, 1.0), _TICKS), [point.accuracy.value for point in points]
    up = Axis.over([*values, points[-1].accuracy.low, 1.0], _TICKS)
    line = Line("curve run-0", tuple((point.coverage, point.accuracy.value) for point in points))
    last = points[-1]
    said = f"accuracy {last.accuracy.value:.3f} of the {last.coverage:.0%} of rows that have a valid answer"
    marks = (Mark(last.coverage, last.accuracy.value, "run-0", said, last.accuracy.low, last.accuracy.high),)
    plot = Plot("accuracy, by share of rows that are answered", across, up, (line,), marks)
    return PlotChart(f"Accuracy by coverage; {said}", (plot,))


def _errors(found: Evaluation) -> Section:
    blocks = error_blocks(found.details, found.run.name)
    if found.examples:
        sure = any(one.probability is not None for one in found.examples)
        rows = [(one.row, said(one.truth), said(one.answer), numbers.score(one.probability)) for one in found.examples]
        wrong = found.run.rows - found.run.right
        caption = (
            f"{len(rows)} of {wrong:,} rows that are wrong{', the surest first' if sure else ''}; all are in rows.csv."
        )
        blocks.append(Table("Wrong rows", ("Row", "Truth", "Answer", "Probability"), "lllr", rows, caption))
    return Section("What it gets wrong", blocks or [Text("Every row is right.")])


def _about(found: Evaluation) -> Section:
    run = found.run
    facts = [
        ("Answers", run.source),
        ("Model", run.model),
        ("Task", run.task),
        ("Labels", ", ".join(run.labels) or numbers.MISSING),
        ("Rows", f"{run.rows:,}"),
        *([("Outcomes", outcomes(run.outcomes))] if run.outcomes else []),
        ("Intervals", f"{found.confidence:.0%}, {METHOD}, {found.resamples:,} resamples, seed {found.seed}"),
        ("Key", found.key),
    ]
    notes = (
        (*run.notes, *(f"{found.against.other.name}: {one}" for one in found.against.other.notes))
        if (found.against)
        else run.notes
    )
    return Section(
        "What was evaluated", [Facts(facts), *(Text(f"{note[:1].upper()}{note[1:]}.", "warning") for note in notes)]
    )


def outcomes(found: dict[str, int]) -> str:
    """How many rows ended in which way."""
    return ", ".join(f"{name} {count:,}" for name, count in found.items())


def said(value: Any) -> str:
    """A truth or an answer in a table."""
    text = (
        _NO_ANSWER if value is None else ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    )
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"

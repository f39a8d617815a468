"""The section `Slices` of an evaluation: scores by the values of columns, and how far apart they are."""

from __future__ import annotations

from podium.display import numbers
from podium.display.blocks import Block, Cell, Row, Section, Table, Text
from podium.display.charts import IntervalChart, IntervalRow
from podium.evaluation.evaluated import Evaluation, MetricResult
from podium.evaluation.slices import LEAST_ROWS, Slicing

_SHOWN_PARITY = 10
_LONGEST_NAME = 40


def of_slices(found: Evaluation) -> list[MetricResult]:
    """The metrics in the order in which slices are compared: macro means come last.

    They are means over the labels that occur in a slice, so that one rare label moves them far.
    """
    return sorted(found.metrics, key=lambda one: one.name.startswith("macro"))


def slices_section(found: Evaluation) -> Section:
    """Each column with its slices, disparities and parity."""
    lead = (
        f"Slices of fewer than {LEAST_ROWS} rows are marked as small and take no part in disparities. The p-value is "
        "the share of random assignments of the rows to slices of these sizes that differ as much; it is not corrected "
        "for the number of metrics and columns. Parity is the largest difference between slices in how often a label "
        "is answered, and equalised odds that in how often it is found where it is true, or where it is not. Macro "
        "means are over the labels that occur in a slice, so that slices may differ in them by their labels alone."
    )
    return Section("Slices", [Text(lead, "muted"), *(_slicing(found, one) for one in found.slicings)])


def _slicing(found: Evaluation, one: Slicing) -> Section:
    metrics = of_slices(found)
    first = metrics[0]
    ranges = [(part, part.scores[first.name]) for part in one.slices]
    compared = [
        IntervalRow.of(_short(part.value), numbers.score(score.value), score, "hollow" if part.small else "first")
        for part, score in ranges
    ]
    whole = IntervalRow.of("all rows", numbers.score(first.interval.value), first.interval, "second")
    chart = IntervalChart(
        f"{first.title} by {one.column}: " + "; ".join(f"{part.value} {numbers.score(s.value)}" for part, s in ranges),
        first.title,
        (*compared, whole),
        (("first", "slice"), ("hollow", "small slice"), ("second", "all rows")),
    )
    rows = [
        Row(
            [
                Cell(_short(part.value), tag="small" if part.small else "", title=part.value),
                f"{part.rows:,}",
                *(
                    Cell(numbers.score(part.scores[metric.name].value), numbers.bounds(part.scores[metric.name]))
                    for metric in metrics
                ),
            ],
            muted=part.small,
        )
        for part in one.slices
    ]
    columns = (one.column, "Rows", *(metric.title for metric in metrics))
    blocks: list[Block] = [chart, Table(f"Scores by {one.column}", columns, "l" + "r" * (len(columns) - 1), rows)]
    if one.disparities:
        blocks.append(_disparities(found, one))
    if one.parity:
        parity = sorted(one.parity, key=lambda part: -part.demographic_parity)
        shown = [
            (part.label, numbers.score(part.demographic_parity), numbers.score(part.equalised_odds))
            for part in parity[:_SHOWN_PARITY]
        ]
        caption = "Differences between slices, by label" + (
            f"; the {len(shown)} largest of {len(parity)}." if len(parity) > len(shown) else "."
        )
        headings = ("Label", "Parity", "Equalised odds")
        blocks.append(Table(f"Parity by {one.column}", headings, "lrr", shown, caption, style="tight"))
    return Section(
        f"By {one.column}", [*blocks, *(Text(f"{note[:1].upper()}{note[1:]}.", "small") for note in one.notes)]
    )


def _disparities(found: Evaluation, one: Slicing) -> Table:
    titles = {metric.name: metric.title for metric in of_slices(found)}
    ordered = sorted(one.disparities, key=lambda part: [*titles].index(part.metric))
    rows = [
        (
            *(titles[part.metric], _short(part.lowest), _short(part.highest), numbers.score(part.difference)),
            *(numbers.score(part.ratio), numbers.p_value(part.p_value)),
        )
        for part in ordered
    ]
    columns = ("Metric", "Lowest", "Highest", "Difference", "Ratio", "p-value")
    return Table(f"Disparities by {one.column}", columns, "lllrrr", rows, "Between the extreme slices.")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"

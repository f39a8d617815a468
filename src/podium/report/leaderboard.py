"""The section `Leaderboard`: champions and baselines, and which differences between them are real."""

from __future__ import annotations

from collections.abc import Sequence

from podium.display import numbers
from podium.display.blocks import Block, Cell, Row, Section, Table, Text
from podium.display.charts import IntervalChart, IntervalRow, Range
from podium.records import BaselineEntry, Comparison, FoldTest, Interval, LeaderboardEntry, SelectionRecord
from podium.report.inputs import ReportInputs
from podium.selection.comparison import shown_better, shown_worse

WINNER = "★ winner"
_COLUMNS = (
    *("Rank", "Candidate", "Test {}", "Baselines", "Cross-validation", "Trials", "Ahead of runner-up", "Parameters"),
    "Size",
)


def leaderboard_section(given: ReportInputs) -> Section:
    """The leaderboard with its chart, the comparisons behind it, and the tests on folds."""
    selection = given.selection
    blocks: list[Block] = [Text("No backbone has a champion.")]
    if entries := selection.leaderboard:
        lead = (
            "One champion per backbone: the best trial of its search, trained again on all development rows and scored "
            "once on rows that no search has seen."
        )
        if selection.baselines:
            lead += " Baselines are scored on the same rows and cannot win."
        chart = leaderboard_chart(entries, selection.baselines, selection.metric)
        blocks = [Text(lead, "muted"), chart, _table(given)]
    blocks += [Text(warning, "warning") for warning in selection.warnings]
    if selection.comparisons:
        blocks.append(_differences(selection.comparisons))
    if selection.baseline_comparisons:
        blocks.append(_against_baselines(given))
    if found := _fold_tests(selection):
        blocks.append(_folds(found))
    return Section("Leaderboard", blocks)


def unbeaten(comparisons: Sequence[Comparison], challenger: str) -> list[Comparison]:
    """A model against the baselines that it is not shown to beat, by the interval, as the decision judges."""
    return [one for one in comparisons if one.challenger == challenger and not shown_better(one)]


def comparison_table(
    comparisons: Sequence[Comparison], label: str, names: tuple[str, str], findings: Sequence[str], caption: str = ""
) -> Table:
    """Comparisons with their intervals, p-values and findings; `names` are the headings of challenger and reference."""
    adjusted = any(one.p_adjusted is not None for one in comparisons)
    rows = [
        (
            *(one.challenger, one.reference, numbers.signed(one.difference.value)),
            *(numbers.signed_bounds(one.difference), numbers.p_value(one.p_value)),
            *([numbers.p_value(one.p_adjusted)] if adjusted else []),
            found,
        )
        for one, found in zip(comparisons, findings, strict=True)
    ]
    columns = (*names, "Difference", "Interval", "p-value", *(["Adjusted"] if adjusted else []), "Finding")
    return Table(label, columns, f"ll{'r' * (len(columns) - 3)}l", rows, caption)


def _table(given: ReportInputs) -> Table:
    """Champions and baselines by test score; a champion comes before a baseline that is as good."""
    selection, test = given.selection, given.selection.leaderboard[0].test
    rows = [
        (-one.test.value, _champion(one, rank, given)) for rank, one in enumerate(selection.leaderboard, start=1)
    ] + [(-one.test.value, _baseline(one)) for one in selection.baselines]
    metric = numbers.metric_name(selection.metric)
    return Table(
        "Leaderboard",
        [name.format(metric) for name in _COLUMNS],
        "rlrlrrrrr",
        [row for _, row in sorted(rows, key=lambda pair: pair[0])],
        f"By {metric} on the test split; intervals at {test.confidence:.0%} by {test.method}.",
        heading=1,
    )


def _champion(entry: LeaderboardEntry, rank: int, given: ReportInputs) -> Row:
    selection, ahead = given.selection, entry.runner_up
    lost = unbeaten(selection.baseline_comparisons, entry.backbone)
    beats = "–"
    if selection.baselines:
        beats = f"beats {'all' if len(selection.baselines) > 1 else selection.baselines[0].name}"
    worse = [f"{'worse than' if shown_worse(one) else 'does not beat'} {one.reference}" for one in lost]
    cells = (
        *(str(rank), entry.backbone, scored(entry.test)),
        Cell(", ".join(worse), style="lost") if worse else beats,
        *(f"{numbers.score(entry.cv_score)} ± {numbers.score(entry.cv_std)}", str(entry.trials)),
        Cell(numbers.signed(ahead.difference.value), f"{ahead.reference}, p {numbers.p_equals(ahead.p_value)}")
        if ahead
        else "–",
        *(f"{numbers.figure(entry.parameters / 1e6)} M", f"{numbers.figure(entry.size_mb)} MB"),
    )
    return Row(cells, WINNER if entry is given.winner else "")


def _baseline(entry: BaselineEntry) -> Row:
    return Row(("–", Cell(entry.name, tag="baseline"), scored(entry.test), *["–"] * 6), muted=True)


def scored(test: Interval) -> Cell:
    """A score with its interval below it."""
    return Cell(numbers.score(test.value), numbers.bounds(test))


def _differences(comparisons: Sequence[Comparison]) -> Section:
    difference = comparisons[0].difference
    lead = (
        "Each champion against the best on the same held-out rows. As several are compared at once, the p-value "
        f"adjusted after Holm decides what is called measurably worse, at {1 - difference.confidence:.2g}; an interval "
        "is of its own comparison alone."
    )
    findings = [
        "measurably better"
        if one.measurably_better
        else "measurably worse"
        if one.measurably_worse
        else "not measurably worse"
        for one in comparisons
    ]
    caption = f"Difference in {numbers.metric_name(comparisons[0].metric)}, {difference.method}."
    table = comparison_table(comparisons, "Comparisons with the best", ("Champion", "Against"), findings, caption)
    last = Text("Which one ships is another question, answered above for every deployable variant.", "small")
    return Section("Are the differences real?", [Text(lead, "muted"), comparison_chart(comparisons), table, last])


def _against_baselines(given: ReportInputs) -> Section:
    comparisons = given.selection.baseline_comparisons
    findings = [
        "beats it" if shown_better(one) else "worse than it" if shown_worse(one) else "does not beat it"
        for one in comparisons
    ]
    lead = (
        "A champion beats a baseline when the interval lies wholly above zero; the claim is to beat every one of them, "
        "so there is no adjustment."
    )
    table = comparison_table(comparisons, "Comparisons with baselines", ("Champion", "Baseline"), findings)
    return Section("Champions against baselines", [Text(lead, "small"), table], "open" if given.unbeaten else "closed")


def _fold_tests(selection: SelectionRecord) -> list[tuple[str, FoldTest]]:
    """Tests on fold scores: champions against the best one, and each champion's trial against its runner-up."""
    found = [(f"{one.challenger} − {one.reference}", one) for one in selection.fold_tests]
    return found + [
        (f"{entry.backbone}: {test.challenger} − {test.reference}", test)
        for entry in selection.leaderboard
        if (test := entry.runner_up)
    ]


def _folds(found: Sequence[tuple[str, FoldTest]]) -> Section:
    rows = [
        (
            *(pair, str(test.folds), numbers.signed(test.difference.value)),
            *(numbers.signed_bounds(test.difference), numbers.p_value(test.p_value)),
            "differ" if test.p_value <= 1 - test.difference.confidence else "no difference shown",
        )
        for pair, test in found
    ]
    columns = ("Pair", "Folds", "Difference", "Interval", "p-value", "Finding")
    lead = "Corrected resampled t-test on the scores of the same folds; it decides nothing. Few folds say little."
    title = "What the folds said before the test rows were looked at"
    return Section(title, [Text(lead, "small"), Table("Tests on fold scores", columns, "lrrrrl", rows)], "closed")


def leaderboard_chart(
    entries: Sequence[LeaderboardEntry], baselines: Sequence[BaselineEntry], metric: str
) -> IntervalChart:
    """Test score with its interval per champion and baseline, and the mean of cross-validation per champion.

    A baseline so far below all champions that showing it would squeeze them is only in the text.
    """
    values = [v for one in entries for v in (one.test.low, one.test.high, one.cv_score)]
    least = min(values) - (max(values) - min(values))
    drawn = [one for one in baselines if one.test.low >= least]
    ranges = [
        (one.backbone, one.test, (_value("hollow", one.cv_score), _range("first", one.test))) for one in entries
    ] + [(f"{one.name} baseline", one.test, (_range("second", one.test),)) for one in drawn]
    ranges.sort(key=lambda row: -row[1].value)
    every = [(one.backbone, one.test) for one in entries] + [(f"{one.name} baseline", one.test) for one in baselines]
    said = "; ".join(f"{name} {numbers.score(test.value)} ({numbers.bounds(test)})" for name, test in every)
    legend = [("first", "held-out test, with interval"), ("hollow", "mean of cross-validation")]
    if drawn:
        legend.insert(1, ("second", "baseline on the same rows"))
    name = numbers.metric_name(metric)
    rows = tuple(IntervalRow(label, numbers.score(test.value), shown) for label, test, shown in ranges)
    return IntervalChart(f"{name} on held-out rows: {said}", name, rows, tuple(legend))


def comparison_chart(comparisons: Sequence[Comparison]) -> IntervalChart:
    """Difference to the best, with its interval, per challenger."""
    rows = tuple(
        IntervalRow(
            f"{one.challenger} − {one.reference}",
            numbers.signed(one.difference.value),
            (_range("first", one.difference),),
        )
        for one in comparisons
    )
    said = "; ".join(
        f"{one.challenger} minus {one.reference} {numbers.signed(one.difference.value)} "
        f"({numbers.signed_bounds(one.difference)})"
        for one in comparisons
    )
    name = numbers.metric_name(comparisons[0].metric)
    return IntervalChart(f"Differences in {name} on the same rows: {said}", name, rows, zero_line=True)


def _range(style: str, interval: Interval) -> Range:
    return Range(style, interval.value, interval.low, interval.high)


def _value(style: str, value: float) -> Range:
    return Range(style, value, value, value)

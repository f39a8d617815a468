"""The sections on champions: the leaderboard, which differences in it are real, and what each champion gets wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from podium.display import numbers
from podium.display.blocks import Block, Cell, Columns, Row, Section, Table, Text
from podium.display.charts import IntervalChart, IntervalRow, Range
from podium.records import BaselineEntry, Comparison, Interval, LeaderboardEntry, ModelRecord, SelectionRecord
from podium.report.inputs import ReportInputs
from podium.selection.comparison import shown_better, shown_worse

WINNER = "★ winner"
MATRIX_LIMIT = 30
"""A confusion matrix of more labels is replaced by the most frequent confusions."""
SHOWN_CONFUSIONS = 10
LONG_TABLE = 40
"""A table with a row for each of more labels is folded, and shows the worst before."""
SHOWN_WORST = 15
_WIDE_MATRIX = 10
"""Matrices of more labels are set one below the other."""


def leaderboard_section(given: ReportInputs) -> Section:
    """The leaderboard with its chart, the comparisons behind it, and the tests on folds."""
    selection = given.selection
    blocks: list[Block] = [Text("No entrant has a champion.")]
    if entries := selection.leaderboard:
        lead = (
            "One champion per entrant: the best trial of its search, trained again on all development rows and scored "
            "once on rows that no search has seen."
        )
        if selection.baselines:
            lead += " Baselines are scored on the same rows and cannot win."
        chart = leaderboard_chart(entries, selection.baselines, selection.metric)
        blocks = [Text(lead, "muted"), chart, _table(given), *_prompted(given)]
    blocks += [
        Text(f"{one.entrant} failed in step {one.step}: {one.brief} (log: {one.log})", "warning")
        for one in given.failed
    ]
    blocks += [Text(f"{name} was left out by the plan: {why}", "warning") for name, why in given.left_out.items()]
    cautions = [given.plan["Caution"]] if "Caution" in given.plan else []
    blocks += [Text(warning, "warning") for warning in (*cautions, *selection.warnings)]
    for entry in selection.leaderboard:
        if (model := given.model_of(entry)) and (only := model.details.get("only_answer")):
            blocks.append(Text(f"{entry.entrant} {only}.", "warning"))
    if selection.comparisons:
        blocks.append(_differences(selection.comparisons))
    if selection.baseline_comparisons:
        blocks.append(_against_baselines(given))
    return Section("Leaderboard", [*blocks, *_fold_tests(selection)])


def comparison_table(
    comparisons: Sequence[Comparison], label: str, names: tuple[str, str], findings: Sequence[str], caption: str = ""
) -> Table:
    """Comparisons with their intervals, p-values and findings; `names` are the headings of challenger and reference."""
    adjusted = any(one.p_adjusted is not None for one in comparisons)
    rows = [
        (
            *(one.challenger, one.reference, found, numbers.signed(one.difference.value)),
            *(numbers.signed_bounds(one.difference), numbers.p_value(one.p_value)),
            *([numbers.p_value(one.p_adjusted)] if adjusted else []),
        )
        for one, found in zip(comparisons, findings, strict=True)
    ]
    # The finding comes before the figures behind it: a narrow screen shows the first columns.
    columns = (*names, "Finding", "Difference", "Interval", "p-value", *(["Adjusted"] if adjusted else []))
    return Table(label, columns, f"lll{'r' * (len(columns) - 3)}", rows, caption)


def _table(given: ReportInputs) -> Table:
    """Champions and baselines by test score; a champion comes before a baseline that is as good."""
    selection, test = given.selection, given.selection.leaderboard[0].test
    rows = [(-one.test.value, _champion(one, given)) for one in selection.leaderboard] + [
        (-one.test.value, Row((Cell(one.name, tag="baseline"), scored(one.test), *["–"] * 6), muted=True))
        for one in selection.baselines
    ]
    gone = [*((one.entrant, "failed") for one in given.failed), *((name, "left out") for name in given.left_out)]
    rows += [(math.inf, Row((Cell(name, tag=tag), *["–"] * 7), muted=True)) for name, tag in gone]
    metric = numbers.metric_name(selection.metric)
    columns = (
        *("Candidate", f"Test {metric}", "Baselines", "Cross-validation", "Trials", "Ahead of runner-up"),
        *("Parameters", "Size"),
    )
    caption = f"By {metric} on the test split; intervals at {test.confidence:.0%} by {test.method}."
    ordered = [row for _, row in sorted(rows, key=lambda pair: pair[0])]
    return Table("Leaderboard", columns, "lrlrrrrr", ordered, caption)


def _prompted(given: ReportInputs) -> list[Block]:
    """What asking a prompted model costs, and how it was asked; nothing where none competes."""
    facts = {entry.entrant: _facts(given.model_of(entry)) for entry in given.selection.leaderboard}
    facts = {name: found for name, found in facts.items() if "tokens_per_1000_rows" in found}
    if not facts:
        return []
    priced = any("price_per_1000_rows" in found for found in facts.values())
    rows = [
        (
            *(name, numbers.count(found["tokens_per_1000_rows"])),
            *([numbers.figure(found.get("price_per_1000_rows"))] if priced else []),
            *_measured(given, name),
            *(str(found["precision"]), numbers.count(found["refused_examples"])),
            f"{found['flip_rate']:.0%}" if "flip_rate" in found else "–",
            "yes" if found["at_chance"] else "no",
        )
        for name, found in facts.items()
    ]
    columns = (
        *("Candidate", "Tokens per 1,000 rows", *(["Price per 1,000 rows"] if priced else [])),
        *("Seconds per 1,000 rows", "Energy per 1,000 rows"),
        *("Precision", "Copies refused", "Order flips", "At chance"),
    )
    caption = (
        "Tokens of whole prompts and of the labels that were scored, as an endpoint counts them. Seconds and energy "
        "are those of the benchmark in batches. Order flips: rows that get another label when the prompt lists the "
        "labels in reversed order."
    )
    align = "l" + "r" * (len(columns) - 5) + "lrrl"
    return [Table("Prompted models", columns, align, rows, caption)]


def _measured(given: ReportInputs, entrant: str) -> tuple[str, str]:
    """Seconds and energy of 1,000 rows, as the eager model was measured."""
    wanted = (entrant, "eager")
    found = next((one for one in given.benchmark.measurements if (one.entrant, one.variant) == wanted), None)
    if found is None:
        return "not measured", "–"
    joules = found.energy_j
    seconds = 1000 / found.throughput_per_second.value
    return numbers.figure(seconds, "s"), numbers.figure(None if joules is None else 1000 * joules, "J")


def _facts(model: ModelRecord | None) -> dict[str, Any]:
    """What a training counted beside its score."""
    found: dict[str, Any] = model.details.get("training", {}).get("facts", {}) if model else {}
    return found


def _champion(entry: LeaderboardEntry, given: ReportInputs) -> Row:
    selection, ahead = given.selection, entry.runner_up
    own = [one for one in selection.baseline_comparisons if one.challenger == entry.entrant]
    worse = [
        f"{'worse than' if shown_worse(one) else 'does not beat'} {one.reference}"
        for one in own
        if not shown_better(one)
    ]
    beaten = "all" if len(own) > 1 else "".join(one.reference for one in own)
    cells = (
        *(entry.entrant, scored(entry.test)),
        Cell(", ".join(worse), style="lost") if worse else f"beats {beaten}" if beaten else "–",
        *(f"{numbers.score(entry.cv_score)} ± {numbers.score(entry.cv_std)}", str(entry.trials)),
        Cell(numbers.signed(ahead.difference.value), f"{ahead.reference}, p {numbers.p_equals(ahead.p_value)}")
        if ahead
        else "–",
        *(numbers.count(entry.parameters), f"{numbers.figure(entry.size_mb)} MB"),
    )
    return Row(cells, WINNER if entry is given.winner else "")


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
        f"measurably {'better' if one.measurably_better else 'worse'}"
        if one.measurably_better or one.measurably_worse
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
        "so there is no adjustment. Guessing gives a champion's own answers to the rows in random order."
    )
    table = comparison_table(comparisons, "Comparisons with baselines", ("Champion", "Baseline"), findings)
    return Section("Champions against baselines", [Text(lead, "small"), table], "open" if given.unbeaten else "closed")


def _fold_tests(selection: SelectionRecord) -> list[Section]:
    """Tests on fold scores: champions against the best one, and each champion's trial against its runner-up."""
    found = [(f"{one.challenger} − {one.reference}", one) for one in selection.fold_tests] + [
        (f"{entry.entrant}: {test.challenger} − {test.reference}", test)
        for entry in selection.leaderboard
        if (test := entry.runner_up)
    ]
    rows = [
        (
            *(pair, str(test.folds), numbers.signed(test.difference.value)),
            *(numbers.signed_bounds(test.difference), numbers.p_value(test.p_value)),
            "differ" if test.p_value <= 1 - test.difference.confidence else "no difference shown",
        )
        for pair, test in found
    ]
    if not rows:
        return []
    columns = ("Pair", "Folds", "Difference", "Interval", "p-value", "Finding")
    lead = "Corrected resampled t-test on the scores of the same folds; it decides nothing. Few folds say little."
    title = "What the folds said before the test rows were looked at"
    return [Section(title, [Text(lead, "small"), Table("Tests on fold scores", columns, "lrrrrl", rows)], "closed")]


def leaderboard_chart(
    entries: Sequence[LeaderboardEntry], baselines: Sequence[BaselineEntry], metric: str
) -> IntervalChart:
    """Test score with its interval per champion and baseline, and the mean of cross-validation per champion.

    A baseline so far below all champions that showing it would squeeze them is only in the text.
    """
    values = [v for one in entries for v in (one.test.low, one.test.high, one.cv_score)]
    least = min(values) - (max(values) - min(values))
    found = [
        (one.entrant, one.test, (Range("hollow", *[one.cv_score] * 3), Range.of("first", one.test))) for one in entries
    ] + [(f"{one.name} baseline", one.test, (Range.of("second", one.test),)) for one in baselines]
    drawn = found[: len(entries)] + [row for row in found[len(entries) :] if row[1].low >= least]
    said = "; ".join(f"{name} {numbers.score(test.value)} ({numbers.bounds(test)})" for name, test, _ in found)
    legend = [("first", "held-out test, with interval"), ("hollow", "mean of cross-validation")]
    if len(drawn) > len(entries):
        legend.insert(1, ("second", "baseline on the same rows"))
    name = numbers.metric_name(metric)
    rows = tuple(
        IntervalRow(label, numbers.score(test.value), shown)
        for label, test, shown in sorted(drawn, key=lambda row: -row[1].value)
    )
    return IntervalChart(f"{name} on held-out rows: {said}", name, rows, tuple(legend))


def comparison_chart(comparisons: Sequence[Comparison]) -> IntervalChart:
    """Difference to the best, with its interval, per challenger."""
    rows = tuple(
        IntervalRow.of(f"{one.challenger} − {one.reference}", numbers.signed(one.difference.value), one.difference)
        for one in comparisons
    )
    said = "; ".join(
        f"{one.challenger} minus {one.reference} {numbers.difference(one.difference)}" for one in comparisons
    )
    name = numbers.metric_name(comparisons[0].metric)
    return IntervalChart(f"Differences in {name} on the same rows: {said}", name, rows, zero_line=True)


def errors_section(given: ReportInputs) -> Section:
    """The errors and all metrics of every champion."""
    champions = []
    for entry in given.selection.leaderboard:
        blocks: list[Block] = []
        if model := given.model_of(entry):
            metrics = [
                (numbers.metric_name(name), numbers.score(value.value), numbers.bounds(value))
                for name, value in model.metrics.items()
            ]
            columns, caption = ("Metric", "Value", "Interval"), "All metrics on held-out rows."
            table = Table(f"Metrics of {entry.entrant}", columns, "lrr", metrics, caption, style="tight")
            blocks = [*error_blocks(model.details, entry.entrant), table]
        champions.append(Section(entry.entrant, blocks, mark=WINNER if entry is given.winner else ""))
    if not champions:
        return Section("What each champion gets wrong", [Text("There is no champion.")])
    wide = _WIDE_MATRIX < len(given.data.labels) <= MATRIX_LIMIT
    return Section("What each champion gets wrong", champions if wide else [Columns(champions)])


def error_blocks(details: Mapping[str, Any], name: str) -> list[Block]:
    """Rows without an answer, the confusion matrix or, of many labels, the most frequent confusions, and the scores.

    Args:
        details: see `podium.evaluation.metrics.details`.
        name: of the model.
    """
    labels, confusion = details.get("labels", []), details.get("confusion", [])
    blocks: list[Block] = []
    if missing := details.get("no_answer"):
        blocks.append(Text(f"No valid answer in {missing:,} rows, which count as wrong."))
    if found := _confusions(labels, confusion):
        true, predicted, rows = found[0]
        blocks.append(Text(f"Most frequent error: {true} taken for {predicted}, {rows} rows."))
    if labels and len(labels) <= MATRIX_LIMIT:
        blocks.append(_matrix(labels, confusion, name))
    elif found:
        columns, label = ("True", "Predicted", "Rows"), f"Most frequent confusions of {name}"
        blocks.append(Table(label, columns, "llr", found, "Most frequent confusions.", style="tight"))
    if only := details.get("only_answer"):
        blocks.insert(0, Text(f"{name} {only}: it has learned nothing that tells the rows apart.", "warning"))
    if scores := details.get("scores"):
        blocks += _scores(scores, details["scores_of"], name)
    return blocks


def _confusions(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[tuple[str, str, str]]:
    """True label, label that was predicted instead, and how many rows of how many; the most frequent first."""
    found = [
        (count, true, predicted, sum(row))
        for true, row in zip(labels, confusion, strict=True)
        for predicted, count in zip(labels, row, strict=True)
        if count and true != predicted
    ]
    found.sort(key=lambda one: (-one[0], one[1], one[2]))
    return [(true, predicted, f"{count:,} of {rows:,}") for count, true, predicted, rows in found[:SHOWN_CONFUSIONS]]


def _matrix(labels: Sequence[str], confusion: Sequence[Sequence[int]], name: str) -> Table:
    rows: list[list[Cell | str]] = []
    for label, counts in zip(labels, confusion, strict=True):
        shares = [Cell(f"{count:,}", share=count / (sum(counts) or 1)) for count in counts]
        shares[len(rows)] = replace(shares[len(rows)], style="right")
        rows.append([label, *shares])
    caption = "Confusion matrix: rows are true labels, columns predicted ones."
    align = "l" + "r" * len(labels)
    return Table(f"Confusion matrix of {name}", ("", *labels), align, rows, caption, style="matrix")


def _scores(scores: Mapping[str, Mapping[str, float]], what: str, name: str) -> list[Block]:
    """The scores of each label; of many labels the worst, and all in a part that the reader opens."""
    if len(scores) <= LONG_TABLE:
        return [_score_table(scores, f"Scores per {what} on held-out rows.", what, name)]
    worst = sorted(scores, key=lambda label: (scores[label]["f1"], -scores[label]["support"], label))[:SHOWN_WORST]
    never = sum(row["f1"] == 0 for row in scores.values())
    lead = f"Of {len(scores):,}, {never:,} have F1 0." if never else ""
    first = _score_table({label: scores[label] for label in worst}, f"The worst scores per {what}. {lead}", what, name)
    whole = _score_table(scores, "", what, f"{name}, all")
    return [first, Section(f"All {len(scores):,} scores per {what}", [whole], "closed")]


def _score_table(scores: Mapping[str, Mapping[str, float]], caption: str, what: str, name: str) -> Table:
    rows: list[tuple[Cell | str, ...]] = [
        (
            *(label, numbers.score(row["precision"]), numbers.score(row["recall"])),
            *(Cell(numbers.score(row["f1"]), share=row["f1"]), f"{int(row['support']):,}"),
        )
        for label, row in scores.items()
    ]
    columns = (what.capitalize(), "Precision", "Recall", "F1", "Count")
    return Table(f"Scores of {name} per {what}", columns, "lrrrr", rows, caption, style="tight")

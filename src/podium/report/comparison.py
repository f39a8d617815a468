"""Writes a comparison of runs for a terminal, and as one self-contained HTML page."""

from __future__ import annotations

import io
from collections.abc import Sequence

from podium.display import numbers
from podium.display.blocks import Block, Cell, Points, Section, Table, Text
from podium.report.comparison_charts import change_chart, latency_plot, percent, quality_plot, throughput_plot
from podium.report.page import Page
from podium.report.render import as_html as render_html
from podium.selection.estimates import ComparedModel
from podium.selection.run_comparison import EXACT, CheckResult, Difference, Figure, Row, RunsComparison

_WIDTH = 160
"""Columns of a table that no terminal bounds."""
_METHOD = (
    "Quality: paired bootstrap of the held-out rows, or of their documents, where they are the same. Latency and what "
    "else is measured: whole repetitions are resampled, as samples of one process are not independent; Student's t "
    "with the degrees of freedom of Welch and Satterthwaite."
)


def as_html(compared: RunsComparison, models: Sequence[ComparedModel]) -> str:
    """The page; `models` are those that were compared, in their order."""
    names = [run.name for run in compared.runs]
    sections = [
        ("figures", "Figures", _figures(compared)),
        (
            *("latency", "Latency"),
            _charted(
                "Latency",
                "One row at a time, all repetitions together, up to the 99th percentile of each run.",
                latency_plot(models),
                "No run has raw samples of its latency.",
            ),
        ),
        (
            *("throughput", "Throughput"),
            _charted(
                "Throughput against batch size",
                "On rows of the data's own lengths, with intervals over repetitions.",
                throughput_plot(models),
                "Not measured: it takes benchmark.scenarios=[grid].",
            ),
        ),
        (
            *("cost", "Cost"),
            _charted(
                "Quality against cost",
                "Filled and joined: no other run is as good for less, or better for as much, whatever the intervals.",
                quality_plot(compared),
                "Fewer than two runs have both a quality and a cost.",
            ),
        ),
        ("hardware", "Hardware", Section("Hardware", [_hardware(compared)])),
    ]
    if compared.checks:
        verdicts = [(check(one), one.verdict) for one in compared.checks]
        sections.insert(0, ("checks", "Checks", Section("Checks", [Points(verdicts)])))
    lead = (
        "Every difference is to the first run, with 95 % intervals. It is called real where its interval leaves out "
        "zero."
    )
    return render_html(Page(" against ".join(names), lead, sections))


def _charted(title: str, lead: str, chart: Block | None, absent: str) -> Section:
    return Section(title, [Text(lead, "muted"), chart] if chart else [Text(absent)])


def _figures(compared: RunsComparison) -> Section:
    runs = compared.runs
    about = [Cell(run.model, f"{run.record}{'' if number else ', baseline'}") for number, run in enumerate(runs)]
    rows: list[Sequence[Cell | str]] = [("model", *about)]
    rows += [(title(row), *(_cell(row, number) for number in range(len(runs)))) for row in compared.rows]
    columns = ("", *(run.name for run in runs))
    blocks: list[Block] = [Table("Figures of every run", columns, "l" * len(columns), rows)]
    if chart := change_chart(compared):
        blocks.append(Section(f"Change against {runs[0].name}", [chart]))
    blocks += [Text(f"{run.name}: {note}", "warning") for run in runs for note in run.notes]
    return Section("Figures", [*blocks, Text(_METHOD, "small")])


def _cell(row: Row, number: int) -> Cell:
    """The figure of one run, with its difference to the first run below it."""
    one = row.figures[number]
    if one.value is None or number == 0:
        return Cell(figure(one, row), one.missing)
    difference = row.differences[number - 1]
    known = f"{change(difference, row)} " if difference.change else ""
    style = "" if not difference.real else "better" if difference.better else "worse"
    return Cell(figure(one, row), f"{known}{finding(difference)}", style=style)


def _hardware(compared: RunsComparison) -> Block:
    known = [run.hardware for run in compared.runs]
    if not any(known):
        return Text("No run was measured.")
    rows: list[Sequence[Cell | str]] = []
    for name in dict.fromkeys(name for facts in known for name in facts):
        differs = len({facts.get(name) for facts in known if facts}) > 1
        values = (facts.get(name, numbers.MISSING) for facts in known)
        rows.append((Cell(numbers.field_name(name), tag="differs" if differs else ""), *values))
    columns = ("", *(run.name for run in compared.runs))
    return Table("Hardware of every run", columns, "l" * len(columns), rows)


def as_text(compared: RunsComparison, *, terminal: bool) -> str:
    """Tables of figures and of differences, then notes and checks."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as TextTable

    file = io.StringIO()
    console = Console(file=file, width=None if terminal else _WIDTH, force_terminal=terminal, highlight=False)
    names = [run.name for run in compared.runs]
    for run in compared.runs:
        console.print(escape(f"{run.name}: {run.model}, {run.record}"))
    table = TextTable("", *(escape(name) for name in names), box=None, pad_edge=False)
    for row in compared.rows:
        table.add_row(title(row), *(escape(figure(one, row)) for one in row.figures))
    console.print(table)
    console.print(escape(f"\nagainst {names[0]}, with 95 % intervals:"))
    for number, name in enumerate(names[1:]):
        table = TextTable(escape(name), "change", "finding", box=None, pad_edge=False)
        for row in compared.rows:
            one = row.differences[number]
            table.add_row(title(row), change(one, row), escape(finding(one)))
        console.print(table)
    for run in compared.runs:
        for note in run.notes:
            console.print(escape(f"{run.name}: {note}"))
    for result in compared.checks:
        console.print(escape(f"{result.verdict.upper()}  {check(result)}"))
    return file.getvalue()


def title(row: Row) -> str:
    """A quantity with its unit."""
    return f"{row.title}, {row.unit}" if row.unit else numbers.metric_name(row.title)


def figure(one: Figure, row: Row) -> str:
    """A value with its bounds."""
    if one.value is None:
        return numbers.MISSING
    write = numbers.figure if row.unit else numbers.score
    bounds = f" ({write(one.interval.low)} to {write(one.interval.high)})" if one.interval else ""
    return f"{write(one.value)}{bounds}"


def change(one: Difference, row: Row) -> str:
    """A change with its bounds: in percent, or of a score as it is."""
    if one.change is None:
        return numbers.MISSING
    if one.change.method == EXACT:
        return percent(one.change.value)
    if row.unit:
        return "{} ({} to {})".format(*(percent(v) for v in (one.change.value, one.change.low, one.change.high)))
    return f"{numbers.signed(one.change.value)} ({numbers.signed_bounds(one.change)})"


def finding(one: Difference) -> str:
    """Whether the difference is real, and which way."""
    if one.real is None:
        return "not known: " + "; ".join(one.reasons)
    if one.change is not None and one.change.method == EXACT and not one.real:
        return "the same"
    if not one.real:
        return "no real difference"
    return "really better" if one.better else "really worse"


def check(result: CheckResult) -> str:
    """A check with the figures behind its verdict."""
    said = f"{result.run}: {result.check}"
    if result.left is not None and result.right is not None:
        said += f" – {numbers.figure(result.left)} against {numbers.figure(result.right)}"
    if result.ratio is not None:
        said += f", {result.ratio.value:.3f} times it ({result.ratio.low:.3f} to {result.ratio.high:.3f})"
    if result.difference is not None:
        said += f", {numbers.signed(result.difference.value)} more ({numbers.signed_bounds(result.difference)})"
    return said + "".join(f"; {reason}" for reason in result.reasons)

"""Writes a comparison of runs for a terminal, and as one self-contained HTML page."""

from __future__ import annotations

import io
from collections.abc import Sequence

from podium.display import numbers as text
from podium.report import comparison_charts as charts
from podium.report.render import template_environment
from podium.selection.estimates import Entrant
from podium.selection.runs import EXACT, CheckResult, Difference, Figure, Row, RunsComparison

_WIDTH = 160
"""Columns of a table that no terminal bounds."""


def as_html(compared: RunsComparison, entrants: Sequence[Entrant]) -> str:
    """The page; `entrants` are those that were compared, in their order."""
    environment = template_environment(autoescape=True)
    environment.filters |= {"figure_of": figure, "change_of": change, "finding_of": finding, "check_of": check}
    environment.filters |= {"style_of": charts.style_of}
    return environment.get_template("comparison.html.j2").render(
        compared=compared,
        changes=charts.change_chart(compared),
        latencies=charts.latency_plot(entrants),
        throughputs=charts.throughput_plot(entrants),
        qualities=charts.quality_plot(compared),
        hardware=hardware(compared),
    )


def as_text(compared: RunsComparison, *, terminal: bool) -> str:
    """Tables of figures and of differences, then notes and checks."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(file=io.StringIO(), width=None if terminal else _WIDTH, force_terminal=terminal, highlight=False)
    names = [run.name for run in compared.runs]
    for run in compared.runs:
        console.print(escape(f"{run.name}: {run.model}, {run.record}"))
    table = Table("", *(escape(name) for name in names), box=None, pad_edge=False)
    for row in compared.rows:
        table.add_row(title(row), *(escape(figure(one, row)) for one in row.figures))
    console.print(table)
    console.print(escape(f"\nagainst {names[0]}, with 95 % intervals:"))
    for number, name in enumerate(names[1:]):
        table = Table(escape(name), "change", "finding", box=None, pad_edge=False)
        for row in compared.rows:
            one = row.differences[number]
            table.add_row(title(row), change(one, row), escape(finding(one)))
        console.print(table)
    for run in compared.runs:
        for note in run.notes:
            console.print(escape(f"{run.name}: {note}"))
    for result in compared.checks:
        console.print(escape(check(result)))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def title(row: Row) -> str:
    """A quantity with its unit, for people."""
    return f"{row.title}, {row.unit}" if row.unit else text.metric_name(row.title)


def figure(one: Figure, row: Row) -> str:
    """A value with its bounds."""
    if one.value is None:
        return text.MISSING
    write = text.figure if row.unit else text.score
    bounds = f" ({write(one.interval.low)} to {write(one.interval.high)})" if one.interval else ""
    return f"{write(one.value)}{bounds}"


def change(one: Difference, row: Row) -> str:
    """A change with its bounds: in percent, or of a score as it is."""
    if one.change is None:
        return text.MISSING
    if one.change.method == EXACT:
        return charts.percent(one.change.value)
    if row.unit:
        return "{} ({} to {})".format(*(charts.percent(v) for v in (one.change.value, one.change.low, one.change.high)))
    return f"{text.signed(one.change.value)} ({text.signed_bounds(one.change)})"


def finding(one: Difference) -> str:
    """Whether the difference is real, and which way."""
    if one.real is None:
        return "cannot be told: " + "; ".join(one.reasons)
    if one.change is not None and one.change.method == EXACT and not one.real:
        return "the same"
    if not one.real:
        return "no real difference"
    return "really better" if one.better else "really worse"


def check(result: CheckResult) -> str:
    """A check and its verdict, with the figures behind it."""
    said = f"{result.verdict.upper()}  {result.run}: {result.check}"
    if result.left is not None and result.right is not None:
        said += f" – {text.figure(result.left)} against {text.figure(result.right)}"
    if result.ratio is not None:
        said += f", {result.ratio.value:.3f} times it ({result.ratio.low:.3f} to {result.ratio.high:.3f})"
    if result.difference is not None:
        said += f", {text.signed(result.difference.value)} more ({text.signed_bounds(result.difference)})"
    return said + "".join(f"; {reason}" for reason in result.reasons)


def hardware(compared: RunsComparison) -> list[tuple[str, list[str], bool]]:
    """Every fact of the hardware: its name, its value for each run, and whether they differ."""
    known = [run.hardware for run in compared.runs]
    found = []
    for name in dict.fromkeys(name for facts in known for name in facts):
        values = [facts.get(name, text.MISSING) for facts in known]
        told = {value for facts, value in zip(known, values, strict=True) if facts}
        found.append((name, values, len(told) > 1))
    return found

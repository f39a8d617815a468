"""A comparison of runs for a terminal, and as one self-contained HTML page with charts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from podium.benchmarking.scenarios.classifiers import OWN, pooled_ns
from podium.display import numbers
from podium.display.blocks import Block, Cell, Points, Section, Table, Text
from podium.display.charts import Axis, IntervalChart, IntervalRow, Line, Mark, Plot, PlotChart, Range, Tick
from podium.display.terminal import Part, joined
from podium.report.page import Page
from podium.report.render import as_html as render_html
from podium.selection.estimates import LATENCIES, ComparedModel
from podium.selection.run_comparison import EXACT, CheckResult, Difference, Figure, Row, RunsComparison
from podium.selection.winner import on_front

STYLES = 6
"""Number of colours; further runs repeat them."""
_METHOD = (
    "Quality: paired bootstrap of the held-out rows, or of their documents, where they are the same. Latency and what "
    "else is measured: whole repetitions are resampled, as samples of one process are not independent; Student's t "
    "with the degrees of freedom of Welch and Satterthwaite."
)
_TICKS = 4
_STEPS = 80
"""Straight pieces of a distribution."""
_COSTS = ("p50", "memory", "size", "energy")
_NS_PER_MS = 1e6


def as_html(compared: RunsComparison, models: Sequence[ComparedModel]) -> str:
    """The page; `models` are those that were compared, in their order."""
    charted = (
        (
            *("latency", "Latency", "Latency", latency_plot(models)),
            "One row at a time, all repetitions together, up to the 99th percentile of each run.",
            "No run has raw samples of its latency.",
        ),
        (
            *("throughput", "Throughput", "Throughput against batch size", throughput_plot(models)),
            "On rows of the data's own lengths, with intervals over repetitions.",
            "Not measured: it takes benchmark.scenarios=[grid].",
        ),
        (
            *("cost", "Cost", "Quality against cost", quality_plot(compared)),
            "Filled and joined: no other run is as good for less, or better for as much, whatever the intervals.",
            "Fewer than two runs have both a quality and a cost.",
        ),
    )
    verdicts = [(check(one), one.verdict) for one in compared.checks]
    sections = [
        *([("checks", "Checks", Section("Checks", [Points(verdicts)]))] if verdicts else []),
        ("figures", "Figures", _figures(compared)),
        *(
            (anchor, name, Section(heading, [Text(lead, "muted"), chart] if chart else [Text(absent)]))
            for anchor, name, heading, chart, lead, absent in charted
        ),
        ("hardware", "Hardware", Section("Hardware", [_hardware(compared)])),
    ]
    lead = (
        "Every difference is to the first run, with 95 % intervals. It is called real where its interval leaves out "
        "zero."
    )
    return render_html(Page(" against ".join(run.name for run in compared.runs), lead, sections))


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
    return joined(_parts(compared), terminal=terminal)


def _parts(compared: RunsComparison) -> Iterator[Part]:
    first, *others = compared.runs
    yield from (f"{run.name}: {run.model}, {run.record}" for run in compared.runs)
    figures = ((title(row), *(figure(one, row) for one in row.figures)) for row in compared.rows)
    yield ("", *(run.name for run in compared.runs)), figures
    yield f"\nagainst {first.name}, with 95 % intervals:"
    for number, run in enumerate(others):
        found = [(row, row.differences[number]) for row in compared.rows]
        yield (run.name, "change", "finding"), ((title(row), change(one, row), finding(one)) for row, one in found)
    yield from (f"{run.name}: {note}" for run in compared.runs for note in run.notes)
    yield from (f"{result.verdict.upper()}  {check(result)}" for result in compared.checks)


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
    return numbers.difference(one.change)


def finding(one: Difference) -> str:
    """Whether the difference is real, and which way."""
    if one.real is None:
        return "not known: " + "; ".join(one.reasons)
    if one.real:
        return "really better" if one.better else "really worse"
    return "the same" if one.change and one.change.method == EXACT else "no real difference"


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


def percent(share: float) -> str:
    """A relative change in percent, with its sign; a small one with two digits, so that it is not taken for zero."""
    small = 0 < abs(share) < 0.0005
    return f"{100 * share:+{'.2g' if small else '.1f'}} %".replace("-", "−")


def _style(number: int) -> str:
    return f"run-{number % STYLES}"


def _legend(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((f"curve {_style(number)}", name) for number, name in enumerate(names))


def change_chart(compared: RunsComparison) -> IntervalChart | None:
    """Relative changes of what is measured, with intervals; None where none is known."""
    several = len(compared.runs) > 2
    rows, said = [], []
    for row in compared.rows:
        for number, one in enumerate(row.differences, start=1):
            if not row.unit or one.change is None or one.change.method == EXACT:
                continue
            name = compared.runs[number].name
            label = f"{row.title} · {name.rpartition('/')[2]}" if several else row.title
            ends = (100 * end for end in (one.change.value, one.change.low, one.change.high))
            rows.append(IntervalRow(label, percent(one.change.value), (Range(_style(number), *ends),)))
            said.append(f"{row.title} of {name} {change(one, row)}")
    if not rows:
        return None
    alt = f"Change against {compared.runs[0].name}: {'; '.join(said)}"
    legend = _legend(run.name for run in compared.runs)[1:] if several else ()
    return IntervalChart(alt, "%", tuple(rows), legend, zero_line=True)


def latency_plot(models: Sequence[ComparedModel]) -> PlotChart | None:
    """Share of the samples that took no longer, by latency: one curve per run up to its 99th percentile."""
    shares = np.linspace(0, 0.99, _STEPS + 1)
    lines, said, longest = [], [], 0.0
    for number, model in enumerate(models):
        if not model.repetitions:
            continue
        samples = np.array(pooled_ns(model.repetitions)) / _NS_PER_MS
        curve = np.quantile(samples, shares).tolist()
        longest = max(longest, curve[-1])
        lines.append(Line(f"curve {_style(number)}", tuple(zip(curve, shares.tolist(), strict=True))))
        figures = (f"{name} {numbers.figure(float(np.quantile(samples, q)), 'ms')}" for name, q in LATENCIES.items())
        said.append(f"{model.name} {', '.join(figures)}")
    if not lines:
        return None
    across, up = Axis.over((0.0, longest), _TICKS), Axis.over((0.0, 1.0), _TICKS)
    plot = Plot("share of requests, by latency in ms", across, up, tuple(lines))
    legend = _legend(model.name for model in models)
    return PlotChart(f"Distribution of latency, as measured: {'; '.join(said)}", (plot,), legend)


def throughput_plot(models: Sequence[ComparedModel]) -> PlotChart | None:
    """Rows per second by batch size, on the data's own lengths, with intervals; None where no grid was measured."""
    lines, marks = [], []
    for number, model in enumerate(models):
        cells = model.measurement.scenario("grid").figures if model.measurement else ()
        own = [(int(one.labels["batch_size"]), one.interval) for one in cells if one.labels["length"] == OWN]
        grid = sorted((size, rate) for size, rate in own if rate)
        lines.append(Line(f"curve {_style(number)}", tuple((size, rate.value) for size, rate in grid)))
        for size, rate in grid:
            said = f"{model.name}: {numbers.figure(rate.value)} rows/s in batches of {size}"
            marks.append(Mark(size, rate.value, _style(number), said, rate.low, rate.high))
    if not marks:
        return None
    sizes = sorted({int(mark.x) for mark in marks})
    across = Axis(sizes[0], sizes[-1], tuple(Tick(size, str(size)) for size in sizes), log=True)
    up = Axis.over([0.0, *(mark.high or 0.0 for mark in marks)], _TICKS)
    alt = f"Throughput by batch size: {'; '.join(mark.title for mark in marks)}"
    plot = Plot("rows per second, by batch size", across, up, tuple(lines), tuple(marks))
    return PlotChart(alt, (plot,), _legend(model.name for model in models))


def quality_plot(compared: RunsComparison) -> PlotChart | None:
    """Quality against each cost; runs that no other one beats on both are filled and joined: the Pareto front."""
    quality = next((row for row in compared.rows if not row.unit and len(_known(row)) > 1), None)
    if quality is None:
        return None
    plots, said = [], []
    sign, scores = 1 if quality.better == "higher" else -1, _known(quality)
    for cost in (row for row in compared.rows if row.name in _COSTS):
        values = _known(cost)
        points = [(number, values[number], scores[number]) for number in scores if number in values]
        if len(points) < 2:
            continue
        best = on_front([(value, sign * score) for _, value, score in points])
        marks = tuple(
            Mark(
                *(value, score, _style(number) + ("" if unbeaten else " beaten")),
                f"{compared.runs[number].name}: {numbers.score(score)} at {numbers.figure(value)} {cost.unit}",
            )
            for (number, value, score), unbeaten in zip(points, best, strict=True)
        )
        front = sorted(
            (v, score, number) for (number, v, score), unbeaten in zip(points, best, strict=True) if unbeaten
        )
        name = f"{numbers.metric_name(quality.name)}, by {cost.title} in {cost.unit}"
        across = Axis.over([0.0, *(value for _, value, _ in points)], _TICKS)
        up = Axis.over([score for _, _, score in points], _TICKS)
        line = Line("front", tuple((value, score) for value, score, _ in front))
        plots.append(Plot(name, across, up, (line,), marks))
        names = ", ".join(compared.runs[number].name for _, _, number in front)
        said.append(f"on the front of {cost.title}: {names}")
    alt = f"{numbers.metric_name(quality.name)} against cost; {'; '.join(said)}"
    return PlotChart(alt, tuple(plots), _legend(run.name for run in compared.runs)) if plots else None


def _known(row: Row) -> dict[int, float]:
    """The values of a quantity, by the number of the run."""
    return {number: one.value for number, one in enumerate(row.figures) if one.value is not None}

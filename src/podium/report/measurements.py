"""The sections `Deployable variants` and `Benchmark`: what became of each variant, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import get_args

from podium.config.benchmark import SCENARIOS, VariantName
from podium.config.entrants import ENTRANTS
from podium.display import numbers
from podium.display.blocks import Block, Cell, Facts, Row, Section, Table, Text
from podium.display.charts import LOW_HEIGHT, Axis, IntervalChart, IntervalRow, Mark, Plot, PlotChart, Range
from podium.records import Interval, Measurement, Variant
from podium.report.inputs import ReportInputs
from podium.report.leaderboard import WINNER, scored
from podium.selection.winner import UNITS, contenders

COSTS = {
    "latency_p50_ms": "latency p50",
    "latency_p90_ms": "latency p90",
    "latency_p95_ms": "latency p95",
    "memory_mb": "memory",
    "size_mb": "size",
    "energy_j": "energy per row",
}
"""Costs for people, by their names in the config."""

_FRONT_LEGEND = {"best": "winner", "first": "on the front", "hollow": "another one is as good for less, or better"}
_LIKE_MEDIAN = ("latency_p90_ms", "latency_p95_ms")
"""Costs that are charted only where the decision is based on them: their charts look like the median's."""


def title(measurement: Measurement | Variant) -> str:
    """Entrant and variant."""
    return f"{measurement.entrant} ({measurement.variant})"


def variants_section(given: ReportInputs) -> Section:
    """Every variant with its quality and its costs, and the fronts of quality against cost."""
    items, variants = given.benchmark.measurements, given.benchmark.variants
    blocks: list[Block] = [Text("The record of this run names no variants.")]
    if variants:
        lead = (
            "Each form of a champion that was asked for, checked against the eager model on the held-out rows. Only "
            "what passes is measured and may win."
        )
        columns = ("Variant", numbers.metric_name(given.selection.metric), "Against eager", "Size", "Latency p50")
        rows = [_variant(one, given) for one in variants]
        table = Table("Deployable variants", (*columns, "Throughput", "Memory", "Energy"), "lrrrrrrr", rows)
        blocks = [Text(lead, "muted"), table]
    asked = {one.variant for one in variants} | {one.variant for one in items}
    entrants = given.run.config.entrants
    kinds = {entrants[entry.entrant].kind for entry in given.selection.leaderboard}
    possible = {name for kind in kinds for name in ENTRANTS.get(kind).variants}
    if not_asked := [name for name in get_args(VariantName) if name in possible - asked]:
        blocks.append(Text(f"Not asked for: {', '.join(not_asked)}.", "small"))
    blocks += _notes("Energy", _said(items, lambda one: (one.energy_note,)))
    if given.decision.pareto:
        blocks.append(_tradeoffs(given))
    return Section("Deployable variants", blocks)


def _variant(made: Variant, given: ReportInputs) -> Row:
    measured = next((one for one in given.benchmark.measurements if _identity(one) == _identity(made)), None)
    score, check = _score(made, given), made.check
    status = f"{made.status}: {made.reason}" if made.reason else made.status
    against: Cell | str = "reference" if made.variant == "eager" else "–"
    if check:
        same = f"{numbers.signed_bounds(check.difference)}\n{check.agreement:.1%} same labels"
        against = Cell(numbers.signed(check.difference.value), same)
    costs: tuple[Cell | str, ...] = ("not measured", "–", "–", "–")
    if measured:
        device = measured.peak_device_mb
        costs = (
            numbers.figure(measured.quantile_ms(0.5), "ms"),
            numbers.figure(measured.throughput_per_second.value, "/s"),
            Cell(
                numbers.figure(measured.peak_rss_mb, "MB"),
                "" if device is None else f"device {numbers.figure(device, 'MB')}",
            ),
            numbers.figure(measured.energy_j, "J"),
        )
    cells = (
        Cell(title(made), status, made.code, style=f"state {made.status}"),
        *(scored(score) if score else "–", against, numbers.figure(made.size_mb, "MB"), *costs),
    )
    return Row(cells, WINNER if given.is_winner(made) else "")


def _identity(one: Measurement | Variant) -> tuple[str, str, str]:
    return one.entrant, one.variant, one.model_digest


def _score(made: Variant, given: ReportInputs) -> Interval | None:
    """As the decision saw it; as its check saw it for a variant that was no candidate."""
    scores = given.decision.evidence.variant_scores
    found = [one.test for one in scores if (one.entrant, one.variant) == (made.entrant, made.variant)]
    if made.check:
        found.append(made.check.score)
    elif made.variant == "eager":
        found += [one.test for one in given.selection.leaderboard if one.model_digest == made.model_digest]
    return next(iter(found), None)


def _tradeoffs(given: ReportInputs) -> Section:
    """The fronts that the decision recorded, drawn among all candidates that were measured."""
    pareto, evidence = given.decision.pareto, given.decision.evidence

    def said(name: str, score: float, cost: float, quantity: str) -> str:
        return f"{name} {numbers.score(score)} at {numbers.figure(cost, UNITS[quantity])}"

    fronts = {
        COSTS[name]: ", then ".join(
            said(f"{one.entrant} ({one.variant})" if one.variant else one.entrant, one.score, one.cost, name)
            for one in front
        )
        for name, front in pareto.items()
    }
    candidates = [one for one in contenders(evidence) if one.measurement]
    up, plots = Axis.over((one.test.value for one in candidates), 3), []
    for name, front in pareto.items():
        if name in _LIKE_MEDIAN and name != evidence.policy.cost:
            continue
        best, marks = {(point.entrant, point.variant) for point in front}, []
        for one in candidates:
            value, identity = one.quantity(name), (one.entry.entrant, one.variant)
            if value is not None:
                won = identity == (given.decision.winner, given.decision.winner_variant)
                style = "best" if won else "first" if identity in best else "hollow"
                marks.append(Mark(value, one.test.value, style, said(f"{one.name}:", one.test.value, value, name)))
        marks.sort(key=lambda mark: list(_FRONT_LEGEND).index(mark.style), reverse=True)  # the winner above the others
        across = Axis.over((0.0, *(mark.x for mark in marks)), 3)
        plots.append(Plot(f"{COSTS[name]}, {UNITS[name]}", across, up, marks=tuple(marks), height=LOW_HEIGHT))
    drawn = {mark.style for plot in plots for mark in plot.marks}
    legend = tuple((style, label) for style, label in _FRONT_LEGEND.items() if style in drawn)
    listed = "; ".join(f"{cost}: {points}" for cost, points in fronts.items())
    metric = numbers.metric_name(given.selection.metric)
    chart = PlotChart(f"{metric} against each cost; on the front, cheapest first: {listed}", tuple(plots), legend)
    lead = (
        "The Pareto front: no other candidate is as good for less, or better for as much. Quality is the test score of "
        "each variant's own predictions."
    )
    charts = [chart] if len(candidates) > 1 else []
    return Section("What quality costs", [Text(lead, "small"), *charts, Facts([*fronts.items()])])


def benchmark_section(given: ReportInputs) -> Section:
    """Latency, throughput and the other scenarios, then the hardware they were measured on."""
    items = given.benchmark.measurements
    blocks: list[Block] = [Text("Nothing was measured.")]
    if items:
        lead = "Measured in fresh processes on rows with the data set's own lengths; latency one row at a time."
        blocks = [Text(lead, "muted")]
        if unstable := ", ".join(title(one) for one in items if one.unstable):
            blocks.append(Text(f"Unstable, the reasons are below: {unstable}.", "warning"))
        blocks += [latency_chart(items), _latency_table(given), *_scenarios(given)]
        blocks += [Text(f"{', '.join(names)}: {note}", "small") for note, names in _said(items, lambda one: one.notes)]
        blocks += _notes("MFU", _said(items, lambda one: (one.mfu_note,)))
    hardware = [(numbers.field_name(name), value) for name, value in given.benchmark.hardware.items()]
    blocks.append(Section("Hardware", [Facts(hardware, narrow=True)]))
    names = dict.fromkeys(name for one in items for name in one.environment)
    if names:
        facts = [(numbers.field_name(name), _environment(items, name)) for name in names]
        blocks.append(Section("What else may explain a difference between measurements", [Facts(facts)], "closed"))
    return Section("Benchmark", blocks)


def _environment(items: Iterable[Measurement], name: str) -> str:
    values = _said(items, lambda one: (one.environment.get(name, ""),))
    return "; ".join(f"{value} ({', '.join(names)})" if len(values) > 1 else value for value, names in values)


def _notes(about: str, said: list[tuple[str, list[str]]]) -> list[Text]:
    """Notes with what they are about, and the measurements where they differ."""
    several = len(said) > 1
    return [Text(f"{f'{about} of ' + ', '.join(names) if several else about}: {n}.", "small") for n, names in said]


def _said(items: Iterable[Measurement], texts: Callable[[Measurement], Iterable[str]]) -> list[tuple[str, list[str]]]:
    """Texts, each with the measurements it is about; empty ones are left out."""
    found: dict[str, list[str]] = {}
    for one in items:
        for said in texts(one):
            if said:
                found.setdefault(said, []).append(title(one))
    return list(found.items())


def latency_chart(measurements: Sequence[Measurement]) -> IntervalChart:
    """Median and 90th percentile of latency with their intervals, per measured variant."""
    legend = {"first": "median (p50)", "second": "90th percentile (p90)"}
    rows = []
    for one in measurements:
        found = {item.q: item for item in one.latency}
        kept = [(style, found[q]) for q, style in zip((0.5, 0.9), legend, strict=True) if q in found]
        figures = " / ".join(numbers.figure(item.value_ms) for _, item in kept)
        ranges = tuple(Range(style, item.value_ms, item.low_ms, item.high_ms) for style, item in kept)
        rows.append(IntervalRow(title(one), f"{figures} ms", ranges))
    drawn = {item.style for row in rows for item in row.ranges}
    return IntervalChart(
        f"Latency p50 / p90: {'; '.join(f'{row.label} {row.figures}' for row in rows)}",
        "ms",
        tuple(rows),
        tuple((style, name) for style, name in legend.items() if style in drawn),
        from_zero=True,
    )


def _latency_table(given: ReportInputs) -> Table:
    items = given.benchmark.measurements
    quantiles = sorted({quantile.q for one in items for quantile in one.latency})
    repeated = given.run.config.benchmark.repetitions > 1
    with_mfu = any(one.mfu is not None for one in items)

    def row(one: Measurement) -> Row:
        own, rate = {item.q: item for item in one.latency}, one.throughput_per_second
        varies = f"medians vary by {one.latency_cv:.1%}" if repeated else ""
        cells = (
            Cell(title(one), tag="unstable" if one.unstable else ""),
            *(_bounded(own[q].value_ms, own[q].low_ms, own[q].high_ms) if q in own else "–" for q in quantiles),
            *(Cell(f"{one.latency_samples:,}", varies), _bounded(rate.value, rate.low, rate.high, "/s")),
            numbers.duration(one.load_seconds),
            *([numbers.MISSING if one.mfu is None else f"{one.mfu:.1%}"] if with_mfu else []),
        )
        return Row(cells, WINNER if one == given.winner_measurement else "")

    columns = (
        *("Variant", *(f"p{round(q * 100)}" for q in quantiles), "Samples"),
        *(f"Throughput, batch {items[0].batch_size}", "Load", *(["MFU"] if with_mfu else [])),
    )
    caption = "Latency in milliseconds; a quantile is shown where the sample supports it."
    align = "l" + "r" * (len(columns) - 1)
    return Table("Benchmark", columns, align, [row(one) for one in items], caption)


def _bounded(value: float, low: float, high: float, unit: str = "") -> Cell:
    return Cell(numbers.figure(value, unit), f"{numbers.figure(low)} to {numbers.figure(high)}")


def _scenarios(given: ReportInputs) -> list[Section]:
    """What was measured beside latency and throughput, of those variants that it was measured for."""
    items, sections = given.benchmark.measurements, []
    winner = title(given.winner_measurement) if given.winner_measurement else ""
    for name in dict.fromkeys(name for one in items for name in one.scenarios):
        scenario = SCENARIOS.get(name)
        if not scenario.shares_process:
            results = {title(one): one.scenarios[name] for one in items if name in one.scenarios}
            table = scenario.table(results)
            rows = [replace(row, mark=WINNER if row.all_cells[0].text == winner else "") for row in table.lines]
            notes = [Text(f"{model}: {note}", "small") for model, one in results.items() for note in one.notes]
            blocks = [Text(scenario.explanation, "small"), replace(table, rows=rows), *notes]
            sections.append(Section(scenario.title, blocks, "closed" if scenario.folded else ""))
    return sections

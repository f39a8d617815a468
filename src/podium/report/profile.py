"""The sections of a profile, on its own page and in the report of a run, and the differences between two profiles."""

from __future__ import annotations

import math

from podium.display import numbers
from podium.display.blocks import Block, Cell, Code, Columns, Facts, Points, Section, Table, Text
from podium.display.charts import LOW_HEIGHT, Axis, Line, Mark, Plot, PlotChart, Tick
from podium.profiling.diff import Change, ProfilesDiff
from podium.records import Attempt, ProfileRecord

_OPERATORS, _KERNELS, _SHORT = 15, 10, 5
_SHORTER = {"postprocess": "after"}
"""Names of phases that do not fit beside a chart."""
_TRACES = ("trace.json", ".nsys-rep", ".ncu-rep")
_NAMED = 28
"""Columns of the name of what changed."""
_MILLI, _GIGA, _MEGA = 1e3, 1e9, 1e6
_FIGURES = {
    "busy_cores": ("Cores kept busy", 1.0, ""),
    "flops": ("Operations of an iteration", 1e-6, "million"),
    "mfu": ("Share of the peak that the model reaches", 100.0, "%"),
    "outside_operators_share": ("Time of the model outside of operators", 100.0, "%"),
    "kernel_gap_seconds": ("Gaps between kernels", _MILLI, "ms"),
    "longest_kernel_gap_seconds": ("Longest gap", _MILLI, "ms"),
    "host_device_copy_seconds": ("Copies between host and device", _MILLI, "ms"),
    "host_device_copy_bytes": ("Bytes of these copies", 1e-6, "MB"),
}


def profile_sections(record: ProfileRecord) -> list[tuple[str, str, Section]]:
    """The sections of the page of a profile, with their anchors and short names; those without content are left out."""
    if record.status == "skipped":
        return [("profile", "Profile", Section("Profile", [Text(f"Nothing was profiled: {record.reason}.")]))]
    parts = (
        ("findings", "Findings", _findings(record)),
        ("phases", "Phases", _phases(record)),
        ("operators", "Operators", _operators(record)),
        ("roofline", "Roofline", _roofline(record)),
        ("kernels", "Kernels", _kernels(record)),
        ("memory", "Memory", _memory(record)),
        ("modules", "Modules", _modules(record)),
        ("observer", "Observer", _observers(record)),
        ("tools", "Tools", _tools(record)),
    )
    return [one for one in parts if one[2].blocks]


def profile_section(record: ProfileRecord) -> Section:
    """The section of a run's report: findings, phases, the operators with most time, and the roofline."""
    title = "Where does the time go?"
    if record.status == "skipped":
        how = "; with profile=operators it has one" if record.code == "OFF" else ""
        return Section(title, [Text(f"This run has no profile: {record.reason}{how}.")])
    shown = [one for one in (_findings(record), _phases(record)) if one.blocks]
    found: list[Block] = [Text(f"The winner, {record.model}, in the form in which it is deployed.", "muted"), *shown]
    if record.operators:
        found.append(Section("Operators", [_operator_table(record, _SHORT)]))
    if (roofline := _roofline(record)).blocks:
        found.append(roofline)
    said = "The artifact profile of this step has its page, its trace for Perfetto, and every command as it ran."
    return Section(title, [*found, *_lost(record), Text(said, "small")])


def _milli(seconds: float) -> str:
    return numbers.figure(seconds * _MILLI)


def _findings(record: ProfileRecord) -> Section:
    points = [(one.text, one.code) for one in record.findings]
    blocks: list[Block] = [Points(points)] if points else [Text("Nothing stands out.")]
    if record.findings:
        queries = [(one.code, Cell(one.query, style="code")) for one in record.findings]
        table = Table("Queries", ("Finding", "Query, in the directory of the profile"), "ll", queries, style="tight")
        blocks.append(Section("How to see the figures again", [table], "closed"))
    return Section("What to look at first", [*blocks, *_lost(record)])


def _lost(record: ProfileRecord) -> list[Block]:
    """What could not be had, with the command that mends it."""
    missing = [one for one in record.tools if one.status != "ok"]
    return [
        Text(f"{one.name} {one.status}: {one.reason}{f' Mend it: {one.remedy}' if one.remedy else ''}", "warning")
        for one in missing
    ]


def _phases(record: ProfileRecord) -> Section:
    inner = [one for one in record.phases if one.share is not None]
    rows = [
        (
            one.name,
            Cell("once" if one.share is None else f"{one.share:.0%}", share=min(1.0, one.share or 0.0)),
            _milli(one.median),
            f"{_milli(one.low)} to {_milli(one.high)}",
            f"{one.count:,}",
        )
        for one in record.phases
    ]
    columns = ("Phase", "Share", "Median ms", "Nine in ten, ms", "Times")
    table = Table("Phases", columns, "lrrrr", rows, style="tight")
    lead = "Unprofiled, in fresh processes. The timeline is one iteration, each phase as long as its median."
    if not inner:
        return Section("Phases", [])
    return Section("Phases", [Text(lead, "muted"), _timeline(record), table])


def _timeline(record: ProfileRecord) -> PlotChart:
    inner = [one for one in record.phases if one.share is not None]
    at, lines, said = 0.0, [], []
    for place, one in enumerate(inner):
        height = float(len(inner) - place)
        lines.append(Line("phase", ((at, height), (at + one.median * _MILLI, height))))
        said.append(f"{one.name} {_milli(one.median)} ms")
        at += one.median * _MILLI
    across = Axis.over([0.0, at])
    ticks = tuple(Tick(float(len(inner) - place), _SHORTER.get(one.name, one.name)) for place, one in enumerate(inner))
    up = Axis(0.5, len(inner) + 0.5, ticks)
    plot = Plot("One iteration, in ms", Axis(0.0, across.high, across.ticks), up, tuple(lines), height=LOW_HEIGHT)
    return PlotChart(f"Timeline of an iteration: {', '.join(said)}", (plot,))


def _operators(record: ProfileRecord) -> Section:
    if not record.operators:
        return Section("Operators", [])
    groups = [
        (one.name, Cell(f"{one.share or 0:.0%}", share=one.share or 0.0), _milli(one.median))
        for one in record.groups
        if (one.share or 0.0) >= 0.005
    ]
    lead = "By the profiler, with its own cost in every figure; own time is without what an operator hands on."
    blocks: list[Block] = [Text(lead, "muted")]
    if groups:
        table = Table("Groups of operators", ("Group", "Share", "Median ms"), "lrr", groups, style="tight")
        facts = Facts(_figures(record))
        blocks.append(Columns([Section("Groups", [table]), Section("Figures", [facts])]))
    elif record.figures:
        blocks.append(Facts(_figures(record)))
    return Section("Operators", [*blocks, _operator_table(record, _OPERATORS)])


def _operator_table(record: ProfileRecord, most: int) -> Table:
    rows = [
        (
            Cell(one.name, one.shapes),
            one.group,
            Cell(f"{one.share:.1%}", share=one.share),
            _milli(one.self_seconds),
            _milli(one.total_seconds),
            f"{one.calls:,.0f}",
            numbers.MISSING if not one.flops else numbers.figure(one.flops / _MEGA),
        )
        for one in record.operators[:most]
    ]
    columns = ("Operator", "Group", "Share", "Own ms", "Whole ms", "Calls", "Million operations")
    return Table("Operators with most time, per iteration", columns, "llrrrrr", rows)


def _figures(record: ProfileRecord) -> list[tuple[str, str]]:
    known = [
        (title, f"{numbers.figure(record.figures[name] * factor)} {unit}".strip())
        for name, (title, factor, unit) in _FIGURES.items()
        if name in record.figures
    ]
    return [*known, *record.facts.items()]


def _roofline(record: ProfileRecord) -> Section:
    peaks = record.roofline
    if peaks is None or not peaks.points:
        return Section("Roofline", [])
    ridge = peaks.flops_per_second / peaks.bytes_per_second
    xs = [one.intensity for one in peaks.points]
    ys = [one.flops_per_second / _GIGA for one in peaks.points]
    top = peaks.flops_per_second / _GIGA
    across = _decades(min(*xs, ridge / 10), max(*xs, ridge * 10))
    up = _decades(min(*ys, top / 100), top * 1.5)

    def roof(intensity: float) -> float:
        return min(top, intensity * peaks.bytes_per_second / _GIGA)

    start = max(across.low, up.low * _GIGA / peaks.bytes_per_second)
    line = Line("steps", ((start, roof(start)), (ridge, top), (across.high, top)))
    marks = tuple(
        Mark(one.intensity, one.flops_per_second / _GIGA, "first", f"{one.name}: {one.bound}") for one in peaks.points
    )
    plot = Plot("Billion operations per second, by operations per byte (both log)", across, up, (line,), marks)
    said = "; ".join(
        f"{one.name} {numbers.figure(one.flops_per_second / _GIGA)} at {numbers.figure(one.intensity)}"
        for one in peaks.points
    )
    legend = (("steps", "what this machine can do"), ("first", "operators"))
    chart = PlotChart(
        f"Roofline with its ridge at {numbers.figure(ridge)} operations per byte: {said}", (plot,), legend
    )
    rows = [
        (
            one.name,
            numbers.figure(one.intensity),
            numbers.figure(one.flops_per_second / _GIGA),
            f"{one.flops_per_second / _GIGA / roof(one.intensity):.0%}",
            one.bound,
        )
        for one in peaks.points
    ]
    columns = ("Operator", "Operations per byte", "Billion per second", "Of its roof", "Bound by")
    lead = (
        f"Peaks: {numbers.figure(top)} billion operations and {numbers.figure(peaks.bytes_per_second / _GIGA)} GB per "
        f"second ({peaks.source}). An operator far below the roof is bound by latency: by its calls, not its work."
    )
    return Section("Roofline", [Text(lead, "muted"), chart, Table("Roofline", columns, "lrrrl", rows, style="tight")])


def _decades(low: float, high: float) -> Axis:
    """A logarithmic axis from a power of ten to another one, with few enough ticks for a phone."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, math.ceil((last - first) / 5))
    ticks = tuple(Tick(10.0**power, f"{10.0**power:g}") for power in range(first, last + 1, step))
    return Axis(10.0**first, 10.0**last, ticks, log=True)


def _kernels(record: ProfileRecord) -> Section:
    rows = [
        (
            Cell(one.name[:100], title=one.name),
            one.group,
            Cell(f"{one.share:.1%}", share=one.share),
            _milli(one.seconds),
            f"{one.calls:,.4g}",
            one.bound or numbers.MISSING,
        )
        for one in record.kernels[:_KERNELS]
    ]
    columns = ("Kernel", "Group", "Share", "ms", "Calls", "Bound by")
    return Section("Kernels", [Table("Kernels with most time, per iteration", columns, "llrrrl", rows)] if rows else [])


def _memory(record: ProfileRecord) -> Section:
    if len(record.memory) < 2:
        return Section("Memory", [])
    points = tuple((moment * _MILLI, size / _MEGA) for moment, size in record.memory)
    across, up = Axis.over([0.0, points[-1][0]]), Axis.over([0.0, *(size for _, size in points)])
    peak = max(size for _, size in points)
    plot = Plot("MB allocated on the host, by ms of the trace", across, up, (Line("steps", points),), height=LOW_HEIGHT)
    chart = PlotChart(f"Memory over the traced iterations, at most {numbers.figure(peak)} MB", (plot,))
    lead = "Tensors that live during the traced iterations; weights were there before."
    return Section("Memory", [Text(lead, "muted"), chart])


def _modules(record: ProfileRecord) -> Section:
    rows = [
        (
            one.name,
            one.kind,
            numbers.count(one.parameters),
            numbers.figure(one.parameter_bytes / _MEGA),
            numbers.MISSING if one.flops is None else numbers.figure(one.flops / _MEGA),
        )
        for one in record.modules
    ]
    columns = ("Part", "Kind", "Parameters", "MB", "Million operations")
    table = Table("Parts of the model", columns, "llrrr", rows)
    return Section("Modules", [Section("Parts of the model, without running it", [table], "closed")] if rows else [])


def _observers(record: ProfileRecord) -> Section:
    rows = [
        (
            one.tool,
            _milli(one.unprofiled_seconds),
            _milli(one.profiled_seconds),
            Cell(
                f"{one.slowdown.value:.2f}×",
                f"{one.slowdown.low:.2f} to {one.slowdown.high:.2f}",
                tag="LARGE" if one.large else "",
            ),
        )
        for one in record.observers
    ]
    lead = "The same iterations with a tool and without it, in turns; a slowdown above 1.1 is flagged."
    columns = ("Tool", "Without, ms", "With, ms", "Slowdown")
    table = Table("What profiling costs", columns, "lrrr", rows, style="tight")
    return Section("What profiling costs", [Text(lead, "muted"), table] if rows else [])


def _tools(record: ProfileRecord) -> Section:
    blocks: list[Block] = []
    if record.attempts:
        columns = ("Tool", "Target", "Outcome", "Exit code", "Time", "Reason")
        rows = [_attempt(one) for one in record.attempts]
        blocks.append(Table("Attempts", columns, "lllrrl", rows))
    last = next((one for one in record.attempts if one.argv), None)
    if last:
        said = "Each folder of the profile has cmd.txt, and cmd-rerun.txt, which leaves its files beside these."
        blocks += [Text(said, "muted"), Code(f"sh {last.cwd}/operators/cmd-rerun.txt")]
    if record.permissions:
        rows_ = [(one.name, one.status, one.reason, one.remedy) for one in record.permissions]
        table = Table("What the tools need", ("What", "State", "Seen", "Mended by"), "llll", rows_)
        blocks.append(Section("What the tools need of this machine", [table], "closed"))
    blocks += [Text(note, "small") for note in record.notes]
    traces = [name for one in record.attempts for name in one.files if name.endswith(_TRACES)]
    if traces:
        tools = {True: "open it at https://ui.perfetto.dev", False: "open it in NVIDIA's Nsight tools"}
        blocks.append(Facts([(name, tools[name.endswith(".json")]) for name in traces]))
    return Section("Tools", blocks)


def _attempt(one: Attempt) -> tuple[Cell | str, ...]:
    code = numbers.MISSING if one.exit_code is None else str(one.exit_code)
    return (one.tool, one.target[:60], one.outcome, code, numbers.duration(one.seconds), Cell(one.reason, one.remedy))


def diff_text(found: ProfilesDiff) -> str:
    """The difference of two profiles for a terminal: lines for every range and group, then notes and checks."""
    lines = [f"{found.before} → {found.after}, per iteration", ""]
    lines += [_diff_line(one) for one in found.changes if one.kind == "range"]
    groups = [one for one in found.changes if one.kind == "group" and max(one.before, one.after) > 0]
    if groups:
        lines += ["", "groups of operators, one trace each, not judged:", *map(_diff_line, groups)]
    lines += ["", *(f"note: {one}" for one in found.notes)] if found.notes else []
    for one in found.checks:
        lines.append(f"{one.verdict}: {one.check}{f' ({one.reason})' if one.reason else ''}")
    return "\n".join(lines) + "\n"


def _diff_line(one: Change) -> str:
    figures = f"{one.name:<{_NAMED}} {one.before * 1e3:>10.3f} ms {one.after * 1e3:>10.3f} ms"
    if one.ratio is None:
        return f"{figures}  {one.after / one.before:>6.2f}×" if one.before else f"{figures}     new"
    word = "within noise" if not one.real else "slower" if one.ratio.value > 1 else "faster"
    return f"{figures}  {one.ratio.value:>6.2f}× ({one.ratio.low:.2f} to {one.ratio.high:.2f})  {word}"

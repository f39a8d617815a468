"""What `podium benchmark` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from podium.benchmarking.scenarios import SCENARIOS, figures_table
from podium.display.blocks import Cell, Row, Table
from podium.display.numbers import figure
from podium.local.benchmark import Outcome
from podium.records import Measurement


def as_json(results: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The records as JSON-like values, with where the raw samples lie and whether each was reused."""
    return [
        {
            **one.record.model_dump(mode="json"),
            "kind": one.record.kind,
            "reused": one.reused,
            "samples": str(one.samples / "samples.json"),
        }
        for one in results
    ]


def print_results(outcomes: Sequence[Outcome], console: Console) -> None:
    """A table per kind of model, one per further scenario, notes, and where the raw samples lie."""
    found = [one.record.measurement for one in outcomes]
    kinds = dict.fromkeys(_in_one_process(one) for one in found)
    for names in kinds:
        console.print(_rich(_joined(names, [one for one in found if _in_one_process(one) == names])))
    for name in dict.fromkeys(name for one in found for name in one.scenarios if name not in _in_one_process(one)):
        scenario = SCENARIOS.get(name)
        console.print(f"\n{scenario.title}: {scenario.explanation}", highlight=False, markup=False)
        results = {_title(one): one.scenarios[name] for one in found if name in one.scenarios}
        console.print(_rich(scenario.table(results)))
    for one in outcomes:
        title = _title(one.record.measurement)
        for note in notes_of(one.record.measurement):
            _say(console, f"{title}: {note}")
        _say(console, f"{title}: raw samples in {one.samples / 'samples.json'}")


def notes_of(measurement: Measurement) -> tuple[str, ...]:
    """All notes, those of scenarios with processes of their own included."""
    shared = _in_one_process(measurement)
    own = (note for name, one in measurement.scenarios.items() if name not in shared for note in one.notes)
    return (*measurement.notes, *own)


def _in_one_process(measurement: Measurement) -> tuple[str, ...]:
    return tuple(name for name in measurement.scenarios if SCENARIOS.get(name).shares_process)


def _joined(names: Sequence[str], measurements: Sequence[Measurement]) -> Table:
    """The scenarios that share a process side by side, with memory and load time."""
    results = [{_title(one): one.scenarios[name] for one in measurements} for name in names]
    parts = [figures_table(name, own) for name, own in zip(names, results, strict=True)]
    columns = ["model", *(column.lower() for part in parts for column in part.columns[1:]), "memory MB", "load s"]
    rows = [
        Row(
            [
                _title(one),
                *(cell for part in parts for cell in part.lines[number].cells[1:]),
                Cell(figure(one.peak_rss_mb)),
                Cell(figure(one.load_seconds)),
            ]
        )
        for number, one in enumerate(measurements)
    ]
    return Table(", ".join(names), columns, "l" + "r" * (len(columns) - 1), rows)


def _rich(table: Table) -> RichTable:
    """A table for the terminal, with the second line of a cell in brackets."""
    found = RichTable(box=None, pad_edge=False)
    for heading, side in zip(table.columns, table.align, strict=True):
        found.add_column(heading, justify="left" if side == "l" else "right", overflow="fold")
    for row in table.lines:
        found.add_row(*(_cell(cell) for cell in row.cells))
    return found


def _cell(cell: Cell | str) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell.text} [{cell.note}]".replace(" to ", ", ") if cell.note else cell.text


def _title(measurement: Measurement) -> str:
    return f"{measurement.backbone} ({measurement.variant})"


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)

"""What `podium benchmark` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from podium.display.numbers import MISSING, figure
from podium.local.benchmark import Measured
from podium.records import Generation, GenerationRecord, Interval, Measurement, Quantile


def as_json(results: Sequence[Measured]) -> list[dict[str, Any]]:
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


def print_results(results: Sequence[Measured], console: Console) -> None:
    """A table per kind of model, then other scenarios, notes, and where the raw samples lie."""
    measured = [one.record.measurement for one in results if not isinstance(one.record, GenerationRecord)]
    generated = [one.record.generation for one in results if isinstance(one.record, GenerationRecord)]
    if measured:
        console.print(_measurements(measured))
    if generated:
        console.print(_generations(generated))
    for one in measured:
        for line in _other_scenarios(one):
            _say(console, f"{one.backbone} ({one.variant}): {line}")
    for result in results:
        own = result.record.generation if isinstance(result.record, GenerationRecord) else result.record.measurement
        name = own.name if isinstance(own, Generation) else f"{own.backbone} ({own.variant})"
        for note in own.notes:
            _say(console, f"{name}: {note}")
        _say(console, f"{name}: raw samples in {result.samples / 'samples.json'}")


def _measurements(found: Sequence[Measurement]) -> Table:
    quantiles = sorted({item.q for one in found for item in one.latency})
    table = _table(
        "model", "variant", *(f"p{100 * q:g} ms" for q in quantiles), "rows/s", "batch", "memory MB", "load s"
    )
    for one in found:
        of = {item.q: item for item in one.latency}
        table.add_row(
            one.backbone,
            one.variant,
            *(_quantile(of.get(q)) for q in quantiles),
            _interval(one.throughput_per_second),
            str(one.batch_size),
            figure(one.peak_rss_mb),
            figure(one.load_seconds),
        )
    return table


def _generations(found: Sequence[Generation]) -> Table:
    table = _table(
        "model", "first token ms", "per token ms", "between tokens ms", "tokens/s", "prompt", "output", "memory MB"
    )
    for one in found:
        table.add_row(
            one.name,
            _quantiles(one.first_token),
            _interval(one.per_output_token_ms),
            _quantiles(one.inter_token),
            _interval(one.tokens_per_second),
            figure(one.prompt_tokens),
            str(one.output_tokens),
            figure(one.peak_rss_mb),
        )
    return table


def _other_scenarios(one: Measurement) -> list[str]:
    lines = []
    for cell in one.grid:
        length = "own lengths" if cell.length is None else f"length {cell.length}"
        lines.append(
            f"batch {cell.batch_size}, {length} ({figure(cell.tokens)} tokens): "
            f"{_interval(cell.rows_per_second)} rows/s"
        )
    if (server := one.server) is not None:
        held = f"p{100 * server.q:g} <= {server.bound_ms:g} ms"
        rate = _interval(server.per_second) if server.per_second else "no rate"
        lines.append(f"server: {rate} requests/s hold {held}" + (f" ({server.note})" if server.note else ""))
    if (cold := one.cold_start) is not None:
        parts = (("imports", cold.imports), ("load", cold.load), ("first answer", cold.first_answer))
        listed = ", ".join(f"{name} {_interval(part)}" for name, part in parts)
        lines.append(f"cold start: {_interval(cold.total)} s ({listed})")
    return lines


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right", overflow="fold")
    return table


def _quantiles(found: Sequence[Quantile]) -> str:
    return "\n".join(f"p{100 * item.q:g} {_quantile(item)}" for item in found) or MISSING


def _quantile(item: Quantile | None) -> str:
    return MISSING if item is None else f"{figure(item.value_ms)} [{figure(item.low_ms)}, {figure(item.high_ms)}]"


def _interval(found: Interval) -> str:
    return f"{figure(found.value)} [{figure(found.low)}, {figure(found.high)}]"


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)

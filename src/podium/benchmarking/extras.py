"""Scenarios beside latency and throughput: grid, server, cold start; each in fresh processes of its own."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from podium.benchmarking.launch import repeat, start_anew
from podium.benchmarking.server import QUANTILES, plan
from podium.benchmarking.spec import (
    ColdStartResult,
    ColdStartSpec,
    GridResult,
    GridSpec,
    RepetitionResult,
    ServerResult,
    ServerSpec,
)
from podium.benchmarking.statistics import CONFIDENCE, mean_interval, throughput
from podium.config.benchmark import BenchmarkConfig
from podium.inference.predictor import PredictorSpec
from podium.inference.rows import Row
from podium.records import BatchRate, ColdStart, ServerRate

LEAST_STARTS = 3
"""Starts from cold, however few repetitions there are."""

_NS_PER_S = 1e9


def measure_grid(
    model: PredictorSpec, hands: Sequence[list[Row]], config: BenchmarkConfig, cores: tuple[int, ...], folder: Path
) -> tuple[tuple[BatchRate, ...], list[dict[str, Any]]]:
    """Throughput at every batch size and length of the config; and the raw samples.

    Args:
        hands: rows of each repetition.

    Raises:
        BenchmarkError: a process failed, for one because rows cannot be as long as asked.
    """
    specs = [
        GridSpec(
            **model.model_dump(),
            rows=rows,
            batch_sizes=config.grid_batch_sizes,
            lengths=config.grid_lengths,
            max_seconds=config.max_seconds,
            cores=cores,
            output=folder / f"grid-{number}.result.json",
        )
        for number, rows in enumerate(hands)
    ]
    results = repeat(specs, GridResult, folder, "grid", config.max_seconds)
    return summarise_grid(results), [result.model_dump() for result in results]


def summarise_grid(results: Sequence[GridResult]) -> tuple[BatchRate, ...]:
    """One entry per cell, in the order in which they were measured."""
    return tuple(
        BatchRate(
            batch_size=same[0].batch_size,
            length=same[0].length,
            tokens=statistics.mean(cell.tokens for cell in same),
            rows_per_second=throughput([cell.batch_ns for cell in same], same[0].batch_size),
        )
        for same in zip(*(result.cells for result in results), strict=True)
    )


def measure_server(
    model: PredictorSpec,
    hands: Sequence[list[Row]],
    measured: Sequence[RepetitionResult],
    config: BenchmarkConfig,
    cores: tuple[int, ...],
    folder: Path,
) -> tuple[ServerRate, dict[str, Any]]:
    """The highest rate that holds the latency bound of the config; and the raw samples.

    Args:
        hands: rows of each repetition.
        measured: repetitions of the single stream, whose mean latency gives the capacity.

    Raises:
        BenchmarkError: a process failed.
    """
    capacity = _NS_PER_S / statistics.mean(taken for result in measured for taken in result.latency_ns)
    q, arrivals = plan(capacity, config.server_seconds)
    specs = [
        ServerSpec(
            **model.model_dump(),
            rows=rows,
            capacity=capacity,
            arrivals=arrivals,
            q=q,
            bound_ms=config.server_latency_ms,
            seed=number,
            cores=cores,
            output=folder / f"server-{number}.result.json",
        )
        for number, rows in enumerate(hands)
    ]
    results = repeat(specs, ServerResult, folder, "server", config.server_seconds)
    raw = {"capacity": capacity, "q": q, "arrivals": arrivals, "repetitions": [one.model_dump() for one in results]}
    return summarise_server(results, capacity, q, arrivals, config), raw


def summarise_server(
    results: Sequence[ServerResult], capacity: float, q: float, arrivals: int, config: BenchmarkConfig
) -> ServerRate:
    """Mean and interval of the rates of all repetitions; none where one of them found none."""
    rates = [result.rate for result in results if result.rate is not None]
    notes = []
    if q < QUANTILES[-1]:
        notes.append(
            f"{arrivals} arrivals per probe support p{100 * q:g} and no higher quantile; raise benchmark.server_seconds"
        )
    if len(rates) < len(results):
        notes.append(
            f"{len(results) - len(rates)} of {len(results)} repetitions missed {config.server_latency_ms:g} ms at p"
            f"{100 * q:g} even when nearly idle; raise benchmark.server_latency_ms"
        )
    found = mean_interval(rates, CONFIDENCE) if len(rates) == len(results) else None
    return ServerRate(
        bound_ms=config.server_latency_ms,
        q=q,
        arrivals=arrivals,
        per_second=found,
        utilisation=found.value / capacity if found else None,
        note="; ".join(notes),
    )


def measure_cold_start(
    model: PredictorSpec, row: Row, config: BenchmarkConfig, cores: tuple[int, ...], folder: Path
) -> tuple[ColdStart, list[dict[str, Any]]]:
    """Starts to the first answer; and the raw samples.

    Raises:
        BenchmarkError: a process failed.
    """
    specs = [
        ColdStartSpec(**model.model_dump(), rows=[row], cores=cores, output=folder / f"cold-start-{number}.result.json")
        for number in range(max(config.repetitions, LEAST_STARTS))
    ]
    results = start_anew(specs, ColdStartResult, folder, "cold-start")
    return summarise_cold_start(results), [result.model_dump() for result in results]


def summarise_cold_start(results: Sequence[ColdStartResult]) -> ColdStart:
    """Means and intervals of the parts and of their sum."""
    parts = [
        [one.imports_ns for one in results],
        [one.load_ns for one in results],
        [one.first_answer_ns for one in results],
    ]
    totals = [sum(each) for each in zip(*parts, strict=True)]
    imports, load, first, total = (
        mean_interval([taken / _NS_PER_S for taken in part], CONFIDENCE) for part in (*parts, totals)
    )
    return ColdStart(imports=imports, load=load, first_answer=first, total=total)

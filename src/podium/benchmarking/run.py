"""One measurement: repetitions in fresh processes, one at a time, summed up with intervals."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from podium.benchmarking.hardware import resolve_device, resolve_threads
from podium.benchmarking.launch import RepetitionProcess
from podium.benchmarking.sampling import Row, deal
from podium.benchmarking.spec import RepetitionResult, RepetitionSpec
from podium.benchmarking.statistics import (
    coefficient_of_variation,
    instabilities,
    latency_quantile,
    mean_interval,
    rate_interval,
    samples_needed,
    supported,
)
from podium.config.benchmark import BenchmarkConfig, VariantName
from podium.config.schema import Task
from podium.errors import BenchmarkError
from podium.events import emit
from podium.records import Interval, Measurement
from podium.training.execution.slots import core_slots

QUANTILES = (0.5, 0.9, 0.95, 0.99)
"""Latency quantiles that are reported where the samples support them."""

CONFIDENCE = 0.95

_START_SECONDS = 300.0
_LOAD_SECONDS = 600.0
_AHEAD = 4
_EVERY_CORE = sys.maxsize
_NS_PER_MS = 1e6
_NS_PER_S = 1e9
_MB = 1e6


def benchmark(
    model_dir: Path,
    backbone: str,
    variant: VariantName,
    model_digest: str,
    rows: Sequence[Row],
    task: Task,
    config: BenchmarkConfig,
    workdir: Path,
    *,
    labels: Sequence[str] | None = None,
    trust_remote_code: bool = False,
) -> tuple[Measurement, dict[str, Any]]:
    """Measure latency, throughput, memory and load time of one variant of one model.

    Each repetition is a fresh process that measures `config.samples` of the rows; see `podium.benchmarking.worker`
    for the scenarios. Latency quantiles are over the samples of all repetitions together, the throughput interval
    over repetitions. On a machine so slow or busy that `config.max_seconds` would cut a repetition short of that, as
    many samples are taken as a median needs, and the measurement says that it was cut short. Peak memory is the
    largest of the repetitions, load time their median; MB are 10^6 bytes. All core slots of this machine are held
    meanwhile, so that no training of another step disturbs the measurement.

    Args:
        model_dir: a saved sequence or token classifier with its tokenizer; where it truncates is the tokenizer's
            `model_max_length`.
        rows: texts, or token lists for `ner`, as `sample_rows` draws them; `repetitions * samples` of them let every
            sample be another row, fewer are used again.
        workdir: a directory; specs, logs and results of the repetitions go to `BACKBONE-VARIANT` in it.
        labels: names the model's labels must have, in order; None to take the model's own.

    Returns:
        The measurement, and all raw samples as JSON-like values for the `samples` artifact.

    Raises:
        InputError: the device is not there, or has fewer cores than `config.threads`.
        BenchmarkError: the directory holds no such model, or a repetition failed (with the end of its log).
    """
    _check_model(model_dir)
    if not rows:
        raise BenchmarkError("a benchmark needs at least one row of the data set, but got none")
    folder = workdir / f"{backbone}-{variant}"
    folder.mkdir(parents=True, exist_ok=True)
    specs = [
        RepetitionSpec(
            model_dir=model_dir,
            variant=variant,
            task=task,
            labels=tuple(labels) if labels is not None else None,
            trust_remote_code=trust_remote_code,
            device=resolve_device(config.device),
            threads=resolve_threads(config.threads),
            rows=hand,
            batch_size=config.throughput_batch_size,
            max_seconds=config.max_seconds,
            least_rows=math.ceil(samples_needed(0.5) / config.repetitions),
            output=folder / f"repetition-{number}.result.json",
        )
        for number, hand in enumerate(deal(rows, config.repetitions, config.samples))
    ]
    with core_slots(_EVERY_CORE):
        results = _repeat(specs, backbone, folder)
    measurement = summarise(results, backbone, variant, model_digest, config, _size_mb(model_dir))
    samples = {
        "backbone": backbone,
        "variant": variant,
        "model_digest": model_digest,
        "device": specs[0].device,
        "threads": specs[0].threads,
        "batch_size": config.throughput_batch_size,
        "repetitions": [result.model_dump() for result in results],
    }
    return measurement, samples


def summarise(
    results: Sequence[RepetitionResult],
    backbone: str,
    variant: str,
    model_digest: str,
    config: BenchmarkConfig,
    size_mb: float,
) -> Measurement:
    """Sum up repetitions: pure, so that stored samples give the same measurement again.

    Raises:
        BenchmarkError: too few samples for a median.
    """
    latencies = [sample for result in results for sample in result.latency_ns]
    if len(latencies) < samples_needed(0.5):
        raise BenchmarkError(
            f"a median needs {samples_needed(0.5)} samples, but {len(results)} repetitions took {len(latencies)} "
            f"within benchmark.max_seconds={config.max_seconds:g} each; raise it"
        )
    medians = [statistics.median(result.latency_ns) / _NS_PER_MS for result in results]
    rates = [_rate(result, config.throughput_batch_size) for result in results]
    unsettled = [number for number, result in enumerate(results) if not result.settled]
    unstable = instabilities(medians, rates, unsettled)
    return Measurement(
        backbone=backbone,
        variant=variant,
        model_digest=model_digest,
        latency=tuple(latency_quantile(latencies, q, CONFIDENCE) for q in supported(QUANTILES, len(latencies))),
        latency_samples=len(latencies),
        latency_cv=coefficient_of_variation(medians),
        throughput_per_second=_throughput(results, rates, config.throughput_batch_size),
        batch_size=config.throughput_batch_size,
        peak_rss_mb=max(result.peak_rss_mb for result in results),
        size_mb=size_mb,
        load_seconds=statistics.median(result.load_seconds for result in results),
        unstable=bool(unstable),
        notes=unstable + _cut_short(results, config),
    )


def _repeat(specs: Sequence[RepetitionSpec], backbone: str, folder: Path) -> list[RepetitionResult]:
    """Run every repetition alone; a few at a time are started side by side, since start costs more than measuring."""
    results: list[RepetitionResult] = []
    for first in range(0, len(specs), _AHEAD):
        with ExitStack() as stack:
            started = [
                stack.enter_context(RepetitionProcess(spec, folder, f"repetition-{first + index}"))
                for index, spec in enumerate(specs[first : first + _AHEAD])
            ]
            for process in started:
                process.await_ready(_START_SECONDS)
            for process, spec in zip(started, specs[first:], strict=False):
                result = process.measure(_LOAD_SECONDS + 3 * spec.max_seconds)
                p50 = statistics.median(result.latency_ns) / _NS_PER_MS
                emit("benchmark_repetition", backbone=backbone, number=len(results), of=len(specs), p50=p50)
                results.append(result)
    return results


def _throughput(results: Sequence[RepetitionResult], rates: Sequence[float], batch_size: int) -> Interval:
    if len(results) > 1:
        return mean_interval(rates, CONFIDENCE)
    return rate_interval([time / _NS_PER_S for time in results[0].batch_ns], batch_size, CONFIDENCE)


def _rate(result: RepetitionResult, batch_size: int) -> float:
    """Rows per second over all timed batches of one repetition."""
    return batch_size * len(result.batch_ns) / (sum(result.batch_ns) / _NS_PER_S)


def _cut_short(results: Sequence[RepetitionResult], config: BenchmarkConfig) -> tuple[str, ...]:
    short = [result for result in results if len(result.latency_ns) < config.samples]
    if not short:
        return ()
    fewest = min(len(result.latency_ns) for result in short)
    return (
        f"{len(short)} of {len(results)} repetitions stopped at benchmark.max_seconds={config.max_seconds:g} with as "
        f"few as {fewest} of {config.samples} samples",
    )


def _check_model(model_dir: Path) -> None:
    """Refuse what is clearly no model directory before any process is started."""
    if not any((model_dir / name).is_file() for name in ("config.json", "model.onnx")):
        raise BenchmarkError(
            "a model to benchmark is a directory with config.json, safetensors and tokenizer, or an exported package, "
            f"but {model_dir} "
            + ("has neither config.json nor model.onnx" if model_dir.is_dir() else "is no directory")
        )


def _size_mb(model_dir: Path) -> float:
    return sum(file.stat().st_size for file in model_dir.rglob("*") if file.is_file()) / _MB

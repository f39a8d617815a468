"""One measurement: repetitions in fresh processes, one at a time, summed up with intervals."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from podium.benchmarking.extras import measure_cold_start, measure_grid, measure_server
from podium.benchmarking.hardware import bound_cores, resolve_device, resolve_threads
from podium.benchmarking.launch import repeat
from podium.benchmarking.sampling import Row, deal
from podium.benchmarking.spec import PredictorSpec, RepetitionResult, RepetitionSpec
from podium.benchmarking.statistics import samples_needed
from podium.benchmarking.summary import summarise
from podium.config.benchmark import BenchmarkConfig, VariantName
from podium.config.schema import Task
from podium.errors import BenchmarkError
from podium.events import emit
from podium.records import Measurement
from podium.training.execution.slots import core_slots

EVERY_CORE = sys.maxsize
"""As many core slots as there are."""

_NS_PER_MS = 1e6
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

    Each repetition is a fresh process that measures `config.samples` of the rows, see `podium.benchmarking.measure`;
    the scenarios that `config.scenarios` names follow in processes of their own. Latency quantiles are over the samples
    of all repetitions together, the throughput interval over repetitions. On a machine so slow or busy that
    `config.max_seconds` would cut a repetition short of that, as many samples are taken as a median needs, and the
    measurement says that it was cut short. Peak memory is the largest of the repetitions, load time their median; MB
    are 10^6 bytes. All core slots of this machine are held meanwhile, so that no training of another step disturbs it.

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
    check_model(model_dir)
    if not rows:
        raise BenchmarkError("a benchmark needs at least one row of the data set, but got none")
    folder = workdir / f"{backbone}-{variant}"
    folder.mkdir(parents=True, exist_ok=True)
    model = PredictorSpec(
        model_dir=model_dir,
        variant=variant,
        task=task,
        labels=tuple(labels) if labels is not None else None,
        trust_remote_code=trust_remote_code,
        device=resolve_device(config.device),
        threads=resolve_threads(config.threads),
    )
    cores = bound_cores(model.threads)
    hands = deal(rows, config.repetitions, config.samples)
    with core_slots(EVERY_CORE):
        results = _repetitions(model, hands, config, cores, folder, backbone)
        measurement = summarise(results, backbone, variant, model_digest, config, size_mb(model_dir))
        found, raw = _scenarios(model, hands, results, config, cores, folder)
    samples = {
        "backbone": backbone,
        "variant": variant,
        "model_digest": model_digest,
        "device": model.device,
        "threads": model.threads,
        "cores": list(cores),
        "batch_size": config.throughput_batch_size,
        "repetitions": [result.model_dump() for result in results],
        **raw,
    }
    return measurement.model_copy(update=found), samples


def _repetitions(
    model: PredictorSpec,
    hands: Sequence[list[Row]],
    config: BenchmarkConfig,
    cores: tuple[int, ...],
    folder: Path,
    backbone: str,
) -> list[RepetitionResult]:
    specs = [
        RepetitionSpec(
            **model.model_dump(),
            rows=rows,
            batch_size=config.throughput_batch_size,
            max_seconds=config.max_seconds,
            least_rows=math.ceil(samples_needed(0.5) / config.repetitions),
            cores=cores,
            output=folder / f"repetition-{number}.result.json",
        )
        for number, rows in enumerate(hands)
    ]

    def told(number: int, result: RepetitionResult) -> None:
        p50 = statistics.median(result.latency_ns) / _NS_PER_MS
        emit("benchmark_repetition", backbone=backbone, number=number, of=len(specs), p50=p50)

    return repeat(specs, RepetitionResult, folder, "repetition", config.max_seconds, told)


def _scenarios(
    model: PredictorSpec,
    hands: Sequence[list[Row]],
    results: Sequence[RepetitionResult],
    config: BenchmarkConfig,
    cores: tuple[int, ...],
    folder: Path,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of `Measurement` that the other scenarios of the config fill, and their raw samples by scenario."""
    found: dict[str, Any] = {}
    raw: dict[str, Any] = {}
    if "grid" in config.scenarios:
        found["grid"], raw["grid"] = measure_grid(model, hands, config, cores, folder)
    if "server" in config.scenarios:
        found["server"], raw["server"] = measure_server(model, hands, results, config, cores, folder)
    if "cold-start" in config.scenarios:
        found["cold_start"], raw["cold_start"] = measure_cold_start(model, hands[0][0], config, cores, folder)
    return found, raw


def check_model(model_dir: Path) -> None:
    """Refuse what is clearly no model directory before any process is started."""
    if not any((model_dir / name).is_file() for name in ("config.json", "model.onnx")):
        raise BenchmarkError(
            "a model to benchmark is a directory with config.json, safetensors and tokenizer, or an exported package, "
            f"but {model_dir} "
            + ("has neither config.json nor model.onnx" if model_dir.is_dir() else "is no directory")
        )


def size_mb(model_dir: Path) -> float:
    """All files of a model in MB."""
    return sum(file.stat().st_size for file in model_dir.rglob("*") if file.is_file()) / _MB

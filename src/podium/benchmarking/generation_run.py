"""One measurement of a causal language model: repetitions in fresh processes, summed up with intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.benchmarking.launch import repeat
from podium.benchmarking.run import EVERY_CORE, size_mb
from podium.benchmarking.sampling import deal
from podium.benchmarking.spec import GenerationResult, GenerationSpec
from podium.benchmarking.statistics import (
    CONFIDENCE,
    instabilities,
    latency_quantile,
    mean_interval,
    samples_needed,
    supported,
)
from podium.benchmarking.summary import QUANTILES
from podium.config.benchmark import BenchmarkConfig
from podium.devices.hardware import bound_cores, resolve_device, resolve_threads
from podium.errors import InputError
from podium.events import emit
from podium.execution.slots import core_slots
from podium.models.inspection import check_model_files
from podium.records import Generation

_NS_PER_MS = 1e6
_NS_PER_S = 1e9
_LEAST_REPETITIONS, _LEAST_OUTPUT = 2, 2


@dataclass(frozen=True)
class Request:
    """Tokens of a request: prompts are cut to `prompt_tokens`, and `output_tokens` are generated.

    Raises:
        InputError: there is no prompt, or no time between tokens.
    """

    prompt_tokens: int = 128
    output_tokens: int = 32

    def __post_init__(self) -> None:
        if self.prompt_tokens < 1 or self.output_tokens < _LEAST_OUTPUT:
            raise InputError(
                f"--prompt-tokens >= 1 and --output-tokens >= {_LEAST_OUTPUT} must hold, but got "
                f"--prompt-tokens={self.prompt_tokens} --output-tokens={self.output_tokens}"
            )


def benchmark_generation(
    model_dir: Path,
    name: str,
    model_digest: str,
    prompts: Sequence[str],
    request: Request,
    config: BenchmarkConfig,
    workdir: Path,
    *,
    trust_remote_code: bool = False,
) -> tuple[Generation, dict[str, Any]]:
    """Measure generation with one model; see `podium.benchmarking.generation`.

    Of `config`, device, threads, repetitions, samples (requests per repetition) and max_seconds count.

    Returns:
        The measurement, and all raw samples as JSON-like values.

    Raises:
        InputError: the device is not there, or the settings cannot give a measurement.
        BenchmarkError: the directory holds no such model, or a repetition failed (with the end of its log).
    """
    check_model_files(model_dir)
    if config.repetitions < _LEAST_REPETITIONS:
        raise InputError(
            f"benchmark.repetitions >= {_LEAST_REPETITIONS} must hold to tell how sure a rate is, but got "
            f"repetitions={config.repetitions}"
        )
    device, threads = resolve_device(config.device), resolve_threads(config.threads)
    folder = workdir / f"{name}-generation"
    folder.mkdir(parents=True, exist_ok=True)
    specs = [
        GenerationSpec(
            model_dir=model_dir,
            trust_remote_code=trust_remote_code,
            device=device,
            threads=threads,
            prompts=[str(prompt) for prompt in hand],
            prompt_tokens=request.prompt_tokens,
            output_tokens=request.output_tokens,
            least_requests=math.ceil(samples_needed(0.5) / config.repetitions),
            max_seconds=config.max_seconds,
            cores=bound_cores(threads),
            output=folder / f"repetition-{number}.result.json",
        )
        for number, hand in enumerate(deal(prompts, config.repetitions, config.samples))
    ]

    def told(number: int, result: GenerationResult) -> None:
        first = statistics.median(result.first_token_ns) / _NS_PER_MS
        emit("benchmark_repetition", model=name, number=number, of=len(specs), p50=first)

    with core_slots(EVERY_CORE):
        results = repeat(specs, GenerationResult, folder, "repetition", config.max_seconds, told)
    samples = {
        "name": name,
        "model_digest": model_digest,
        "device": device,
        "threads": threads,
        "output_tokens": request.output_tokens,
        "repetitions": [result.model_dump() for result in results],
    }
    return summarise_generation(results, name, model_digest, request, size_mb(model_dir)), samples


def summarise_generation(
    results: Sequence[GenerationResult], name: str, model_digest: str, request: Request, size: float
) -> Generation:
    """Sum up repetitions: pure, so that stored samples give the same figures again."""
    first = [taken for result in results for taken in result.first_token_ns]
    between = [taken for result in results for gaps in result.inter_token_ns for taken in gaps]
    per_token = [statistics.mean(statistics.mean(gaps) for gaps in result.inter_token_ns) for result in results]
    rates = [_tokens_per_second(result) for result in results]
    unstable = instabilities(
        [statistics.median(result.first_token_ns) / _NS_PER_MS for result in results],
        rates,
        [number for number, result in enumerate(results) if not result.settled],
    )
    return Generation(
        name=name,
        model_digest=model_digest,
        first_token=tuple(latency_quantile(first, q, CONFIDENCE) for q in supported(QUANTILES, len(first))),
        inter_token=tuple(latency_quantile(between, q, CONFIDENCE) for q in supported(QUANTILES, len(between))),
        per_output_token_ms=mean_interval([taken / _NS_PER_MS for taken in per_token], CONFIDENCE),
        tokens_per_second=mean_interval(rates, CONFIDENCE),
        prompt_tokens=statistics.mean(count for result in results for count in result.prompt_tokens),
        output_tokens=request.output_tokens,
        requests=len(first),
        peak_rss_mb=max(result.peak_rss_mb for result in results),
        peak_device_mb=max((one.peak_device_mb for one in results if one.peak_device_mb is not None), default=None),
        size_mb=size,
        load_seconds=statistics.median(result.load_seconds for result in results),
        environment=results[0].environment,
        unstable=bool(unstable),
        notes=unstable,
    )


def _tokens_per_second(result: GenerationResult) -> float:
    """Generated tokens by the time of their whole requests."""
    requests = zip(result.first_token_ns, result.inter_token_ns, strict=True)
    seconds = sum(first + sum(gaps) for first, gaps in requests) / _NS_PER_S
    return sum(1 + len(gaps) for gaps in result.inter_token_ns) / seconds

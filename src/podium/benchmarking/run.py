"""Measurements: repetitions in fresh processes, of which one at a time measures, summed up with intervals."""

from __future__ import annotations

import math
import statistics
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.benchmarking.extras import measure_cold_start, measure_grid, measure_server
from podium.benchmarking.launch import take_turns
from podium.benchmarking.sampling import deal
from podium.benchmarking.spec import RepetitionResult, RepetitionSpec
from podium.benchmarking.statistics import samples_needed
from podium.benchmarking.subject import MOST_TOGETHER, Subject
from podium.benchmarking.summary import summarise
from podium.config.benchmark import BenchmarkConfig
from podium.devices.hardware import bound_cores, resolve_device, resolve_threads
from podium.errors import BenchmarkError
from podium.events import emit
from podium.execution.slots import core_slots
from podium.inference.predictor import PredictorSpec
from podium.inference.rows import Row
from podium.models.inspection import check_model_files
from podium.records import Measurement

EVERY_CORE = sys.maxsize
"""As many core slots as there are."""

_NS_PER_MS = 1e6
_MB = 1e6


@dataclass(frozen=True)
class _Session:
    """How all subjects are measured: the rows of each repetition, and the CPUs that the processes are bound to."""

    hands: Sequence[list[Row]]
    config: BenchmarkConfig
    cores: tuple[int, ...]


def benchmark(
    subjects: Sequence[Subject],
    rows: Sequence[Row],
    task: str,
    config: BenchmarkConfig,
    workdir: Path,
    *,
    labels: Sequence[str] | None = None,
) -> list[tuple[Measurement, dict[str, Any]]]:
    """Measure latency, throughput, memory and load time of some models on the same rows, as one session.

    Each repetition of each subject is a fresh process that measures `config.samples` of the rows, see
    `podium.benchmarking.measure`. The subjects take turns of a few rows, so that what slows the machine for a while
    slows all of them and cancels in their differences; the raw samples name the session. The scenarios that
    `config.scenarios` names follow, in processes of their own.

    Latency quantiles are over the samples of all repetitions together, the throughput interval over repetitions. On a
    machine so slow or busy that `config.max_seconds` would cut a repetition short of that, as many samples are taken as
    a median needs, and the measurement says that it was cut short. Peak memory is the largest of the repetitions, load
    time their median; MB are 10^6 bytes. All core slots of this machine are held meanwhile, so that no training of
    another step disturbs it.

    Args:
        subjects: one to `MOST_TOGETHER`; see `podium.benchmarking.subject.sessions` for more.
        rows: texts or lists of words, as `sample_rows` draws them; `repetitions * samples` of them let every
            sample be another row, fewer are used again.
        workdir: a directory; specs, logs and results of the repetitions go to `NAME-VARIANT` in it.
        labels: names the models' labels must have, in order; None to take the models' own.

    Returns:
        For each subject the measurement, and all raw samples as JSON-like values for the `samples` artifact.

    Raises:
        InputError: the device is not there, or has fewer cores than `config.threads`.
        BenchmarkError: a directory holds no such model, or a repetition failed (with the end of its log); then
            nothing is returned of the other subjects either.
    """
    _check(subjects, rows)
    device, threads = resolve_device(config.device), resolve_threads(config.threads)
    session = _Session(deal(rows, config.repetitions, config.samples), config, bound_cores(threads))
    models = [
        PredictorSpec(
            model_dir=subject.files,
            variant=subject.variant,
            task=task,
            labels=tuple(labels) if labels is not None else None,
            trust_remote_code=subject.trust_remote_code,
            device=device,
            threads=threads,
        )
        for subject in subjects
    ]
    folders = [workdir / f"{subject.name}-{subject.variant}" for subject in subjects]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    with core_slots(EVERY_CORE):
        repetitions = _repetitions(session, subjects, models, folders)
        return [
            _summed_up(session, subject, model, results, folder)
            for subject, model, results, folder in zip(subjects, models, repetitions, folders, strict=True)
        ]


def _check(subjects: Sequence[Subject], rows: Sequence[Row]) -> None:
    if not 1 <= len(subjects) <= MOST_TOGETHER:
        raise BenchmarkError(f"one to {MOST_TOGETHER} models are measured together, but got {len(subjects)}")
    named = {(subject.name, subject.variant) for subject in subjects}
    if len(named) < len(subjects):
        raise BenchmarkError("models that are measured together must differ in name or variant")
    for subject in subjects:
        check_model_files(subject.files)
    if not rows:
        raise BenchmarkError("a benchmark needs at least one row of the data set, but got none")


def _repetitions(
    session: _Session, subjects: Sequence[Subject], models: Sequence[PredictorSpec], folders: Sequence[Path]
) -> list[list[RepetitionResult]]:
    """The repetitions of each subject, in the order of the subjects."""
    config = session.config
    rounds = [
        [
            RepetitionSpec(
                **model.model_dump(),
                rows=rows,
                batch_size=config.throughput_batch_size,
                max_seconds=config.max_seconds,
                least_rows=math.ceil(samples_needed(0.5) / config.repetitions),
                alternates=len(models) > 1,
                cores=session.cores,
                output=folder / f"repetition-{number}.result.json",
            )
            for model, folder in zip(models, folders, strict=True)
        ]
        for number, rows in enumerate(session.hands)
    ]

    def told(number: int, results: list[RepetitionResult]) -> None:
        for subject, result in zip(subjects, results, strict=True):
            p50 = statistics.median(result.latency_ns) / _NS_PER_MS
            model = f"{subject.name} ({subject.variant})"
            emit("benchmark_repetition", model=model, number=number, of=len(rounds), p50=p50)

    found = take_turns(rounds, RepetitionResult, folders, "repetition", config.max_seconds, told)
    name = uuid.uuid4().hex
    marked = [
        [result.model_copy(update={"session": name, "number": number}) for result in results]
        for number, results in enumerate(found)
    ]
    return [list(own) for own in zip(*marked, strict=True)]


def _summed_up(
    session: _Session, subject: Subject, model: PredictorSpec, results: Sequence[RepetitionResult], folder: Path
) -> tuple[Measurement, dict[str, Any]]:
    """The measurement of one subject, its scenarios included, and the raw samples."""
    config = session.config
    measurement = summarise(
        results, subject.name, subject.variant, subject.model_digest, config, size_mb(model.model_dir)
    )
    found, raw = _scenarios(session, model, results, folder)
    samples = {
        "backbone": subject.name,
        "variant": subject.variant,
        "model_digest": subject.model_digest,
        "device": model.device,
        "threads": model.threads,
        "cores": list(session.cores),
        "batch_size": config.throughput_batch_size,
        "repetitions": [result.model_dump() for result in results],
        **raw,
    }
    return measurement.model_copy(update=found), samples


def _scenarios(
    session: _Session, model: PredictorSpec, results: Sequence[RepetitionResult], folder: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of `Measurement` that the other scenarios of the config fill, and their raw samples by scenario."""
    hands, config, cores = session.hands, session.config, session.cores
    found: dict[str, Any] = {}
    raw: dict[str, Any] = {}
    if "grid" in config.scenarios:
        found["grid"], raw["grid"] = measure_grid(model, hands, config, cores, folder)
    if "server" in config.scenarios:
        found["server"], raw["server"] = measure_server(model, hands, results, config, cores, folder)
    if "cold-start" in config.scenarios:
        found["cold_start"], raw["cold_start"] = measure_cold_start(model, hands[0][0], config, cores, folder)
    return found, raw


def size_mb(model_dir: Path) -> float:
    """All files of a model in MB."""
    return sum(file.stat().st_size for file in model_dir.rglob("*") if file.is_file()) / _MB

"""Measuring: what is stored is reused, and the rest is measured in sessions, by one process at a time.

A session is some models measured together, by repetitions in fresh processes. The benchmark step, the decision about
an incumbent and `podium benchmark` all ask the one service here.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from podium.benchmarking.calls import Repetition, Samples, WorkerCall, deal
from podium.benchmarking.launch import take_turns
from podium.benchmarking.scenarios import SCENARIOS, AnyScenario, Measured
from podium.benchmarking.statistics import instabilities
from podium.config.benchmark import ALWAYS_MEASURED, BenchmarkConfig, VariantName
from podium.devices.hardware import bound_cores, resolve_device, resolve_threads
from podium.errors import InputError
from podium.events import emit
from podium.execution.slots import core_slots
from podium.inference.predictor import PredictorSpec, Row
from podium.keys import Key
from podium.models.backbone import GENERATION, check_model_files
from podium.records import Measurement, MeasurementRecord
from podium.store.store import ArtifactStore

MOST_TOGETHER = 4
"""Models of one session: so many are in memory at once."""

_ENOUGH_REPETITIONS = 3


@dataclass(frozen=True)
class ModelFiles:
    """One variant of one model, as files of this machine.

    Attributes:
        files: directory of the variant: a saved sequence or token classifier, or a causal language model, with its
            tokenizer, which truncates at its `model_max_length`; or an exported package.
        name: of the entrant, or what else people know the model by.
        model_digest: of the refit that the variant was made from.
    """

    files: Path
    name: str
    variant: VariantName
    model_digest: str
    trust_remote_code: bool = False

    @property
    def title(self) -> str:
        return f"{self.name} ({self.variant})"


@dataclass(frozen=True)
class Session:
    """How all models of a session are measured.

    Attributes:
        rows: texts, or token lists for `ner`, as `sample_rows` draws them; `repetitions * samples` of them let every
            sample be another row, fewer are used again.
        task: what the rows are labelled for, or `generation`, and then the rows are prompts.
        labels: names that the models' labels must have, in order; None to take the models' own.
    """

    rows: Sequence[Row]
    task: str
    config: BenchmarkConfig
    labels: Sequence[str] | None = None

    @cached_property
    def rows_of_repetitions(self) -> list[list[Row]]:
        """The rows of each repetition, with nearly the same lengths."""
        return deal(self.rows, self.config.repetitions, self.config.samples)

    def call(self, model: PredictorSpec, number: int, output: Path, *scenarios: str, **fields: Any) -> WorkerCall:
        """What one process is called with to measure `scenarios`; `fields` are further fields of the call."""
        rows = self.rows_of_repetitions
        return WorkerCall(
            model=model,
            scenarios=scenarios,
            rows=rows[number % len(rows)],
            number=number,
            config=self.config,
            cores=bound_cores(model.threads),
            output=output,
            **fields,
        )


def scenarios_for(task: str, config: BenchmarkConfig) -> list[AnyScenario]:
    """All that is measured of a model for `task`, in order: what is always measured of such, and what the config adds.

    Raises InputError if a scenario is for models of another kind, or needs more repetitions.
    """
    language_model = task == GENERATION
    always = (SCENARIOS.get(name) for name in ALWAYS_MEASURED)
    found = [one for one in always if one.language_model == language_model]
    for name in config.scenarios:
        scenario = SCENARIOS.get(name)
        if scenario.language_model != language_model:
            kinds = ("causal language models", "classifiers")
            mine, other = kinds if scenario.language_model else kinds[::-1]
            raise InputError(f"scenario {name} is for {mine}, but the model is one of the {other}; leave {name} out")
        found.append(scenario)
    for scenario in found:
        if config.repetitions < scenario.least_repetitions:
            raise InputError(
                f"benchmark.repetitions >= {scenario.least_repetitions} must hold to tell how sure the figures of "
                f"{scenario.name} are, but got repetitions={config.repetitions}"
            )
    return found


@dataclass(frozen=True)
class MeasurementRequest:
    """A model to measure.

    Attributes:
        parents: keys of what it was made from, by kind.
        notes: what is added to the notes of the measurement.
    """

    model: ModelFiles
    key: Key
    parents: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MeasuringService:
    """Measures models and stores the results, or finds what is stored.

    Attributes:
        store: keeps the measurements; its leases keep two callers from measuring the same model at once.
        reuse: whether a stored measurement is taken.
        mlflow_run_id: of the tracking run that asks; None without one.
        logs: directory that gets logs and calls of the processes; None for a temporary one.
        around: makes a context that is entered while a session measures, such as a display of progress.
    """

    store: ArtifactStore
    hardware: Mapping[str, str]
    reuse: bool = True
    mlflow_run_id: str | None = None
    logs: Path | None = None
    around: Callable[[Sequence[MeasurementRequest], Path], AbstractContextManager[object]] | None = None

    def stored(self, request: MeasurementRequest) -> MeasurementRecord | None:
        """The stored measurement, where there is one and it may be reused."""
        return self.store.get(MeasurementRecord, request.key.digest) if self.reuse else None

    def measure(self, requests: Sequence[MeasurementRequest], session: Session) -> list[MeasurementRecord]:
        """The measurement of every request: those that are stored, and the others measured and stored now.

        What is measured now takes turns, in sessions of a few models, each of which is stored when it is complete. A
        model that another process measures meanwhile is waited for, and then found in the store.

        Raises:
            InputError, ModelError: what is asked for cannot be measured here.
            BenchmarkError: a measurement failed; the sessions before it are stored.
        """
        found = {one.key.digest: held for one in requests if (held := self.stored(one)) is not None}
        missing = [one for one in requests if one.key.digest not in found]
        for together in split(missing, 1 if session.task == GENERATION else MOST_TOGETHER):
            with ExitStack() as leases:
                for key in sorted((one.key for one in together), key=lambda key: key.digest):  # one order: no deadlock
                    leases.enter_context(self.store.lease(key))
                held_now = {one.key.digest: held for one in together if (held := self.stored(one)) is not None}
                found |= held_now
                left = [one for one in together if one.key.digest not in held_now]
                if left:
                    for request, record in zip(left, self._measured(left, session), strict=True):
                        self.store.put(request.key, record)
                        found[request.key.digest] = record
        return [found[one.key.digest] for one in requests]

    def _measured(self, requests: Sequence[MeasurementRequest], session: Session) -> list[MeasurementRecord]:
        records = []
        with self.store.scratch() as scratch, self.around(requests, scratch) if self.around else nullcontext():
            measured = measure_together([one.model for one in requests], session, self.logs or scratch)
            for number, (request, (measurement, samples)) in enumerate(zip(requests, measured, strict=True)):
                folder = scratch / f"samples-{number}"
                folder.mkdir()
                (folder / "samples.json").write_text(json.dumps(samples))
                records.append(
                    MeasurementRecord(
                        key=request.key.digest,
                        parents=dict(request.parents),
                        mlflow_run_id=self.mlflow_run_id,
                        hardware=dict(self.hardware),
                        measurement=measurement.model_copy(update={"notes": (*measurement.notes, *request.notes)}),
                        artifacts={"samples": self.store.put_artifact("samples", folder)},
                    )
                )
        return records


def split(requests: Sequence[MeasurementRequest], most: int) -> list[Sequence[MeasurementRequest]]:
    """Cut requests, in order, into as few sessions of at most `most` as hold them, of nearly equal size."""
    count = math.ceil(len(requests) / most)
    edges = [len(requests) * number // count for number in range(count + 1)] if count else []
    return [requests[low:high] for low, high in pairwise(edges)]


def measure_together(
    models: Sequence[ModelFiles], session: Session, workdir: Path
) -> list[tuple[Measurement, dict[str, Any]]]:
    """Measure one to `MOST_TOGETHER` models on the same rows.

    Each repetition of each model is a fresh process that measures `config.samples` of the rows. The models take turns
    of a few rows, so that what slows the machine for a while slows all of them and cancels in their differences; the
    raw samples name the session. Scenarios that do not share the process follow, model by model, in processes of their
    own. All core slots of this machine are held meanwhile, so that no training of another step disturbs it.

    On a machine so slow or busy that `config.max_seconds` would cut a repetition short, as many samples are taken as
    a median needs, and the measurement notes that it was cut short. Calls, logs and results of the processes go to
    `NAME-VARIANT` in `workdir`.

    Returns:
        For each model the measurement, and all raw samples as JSON-like values for the `samples` artifact.

    Raises:
        InputError: the device is not there, or has fewer cores than `config.threads`.
        ModelError: a directory holds no such model.
        BenchmarkError: a process failed (with the end of its log); then nothing is returned of the others either.
    """
    for model in models:
        check_model_files(model.files)
    device, threads = resolve_device(session.config.device), resolve_threads(session.config.threads)
    specs = [
        PredictorSpec(
            model_dir=model.files,
            variant=model.variant,
            task=session.task,
            labels=tuple(session.labels) if session.labels is not None else None,
            trust_remote_code=model.trust_remote_code,
            device=device,
            threads=threads,
        )
        for model in models
    ]
    folders = [workdir / f"{model.name}-{model.variant}" for model in models]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    with core_slots(sys.maxsize):
        repetitions = _repetitions(session, models, specs, folders)
        return [
            _measurement(session, model, spec, own, folder)
            for model, spec, own, folder in zip(models, specs, repetitions, folders, strict=True)
        ]


def _repetitions(
    session: Session, models: Sequence[ModelFiles], specs: Sequence[PredictorSpec], folders: Sequence[Path]
) -> list[list[Repetition]]:
    """The repetitions of each model, in the order of the models."""
    shared = [one for one in scenarios_for(session.task, session.config) if one.shares_process]
    first, names, together = shared[0], [one.name for one in shared], len(models) > 1
    rounds = [
        [
            session.call(spec, number, folder / f"repetition-{number}.result.json", *names, alternates=together)
            for spec, folder in zip(specs, folders, strict=True)
        ]
        for number in range(session.config.repetitions)
    ]

    def report(number: int, results: Sequence[Repetition]) -> None:
        for model, result in zip(models, results, strict=True):
            p50 = first.median_ms(result.of(first.name, first.Samples))
            emit("benchmark_repetition", model=model.title, number=number, of=len(rounds), p50=p50)

    found = take_turns(rounds, folders, session.config.max_seconds, report)
    name = uuid.uuid4().hex
    return [[one.model_copy(update={"session": name}) for one in own] for own in zip(*found, strict=True)]


def _measurement(
    session: Session, model: ModelFiles, spec: PredictorSpec, repetitions: Sequence[Repetition], folder: Path
) -> tuple[Measurement, dict[str, Any]]:
    """The measurement of one model, with the scenarios that have processes of their own, and the raw samples."""
    config, scenarios = session.config, scenarios_for(session.task, session.config)
    taken: dict[str, Sequence[Repetition]] = {one.name: repetitions for one in scenarios if one.shares_process}
    parameters: dict[str, dict[str, Any]] = {}
    for scenario in scenarios:
        if not scenario.shares_process:
            earlier = {name: _samples_of(SCENARIOS.get(name), results) for name, results in taken.items()}
            own = {scenario.name: scenario.parameters(config, earlier)}
            outputs = [folder / f"{scenario.name}-{number}.result.json" for number in range(scenario.processes(config))]
            rounds = [
                [session.call(spec, number, output, scenario.name, parameters=own)]
                for number, output in enumerate(outputs)
            ]
            found = take_turns(rounds, [folder], scenario.seconds(config), from_start=scenario.from_start)
            taken[scenario.name] = [result for (result,) in found]
            parameters |= own
    raw = {
        "entrant": model.name,
        "variant": model.variant,
        "model_digest": model.model_digest,
        "device": spec.device,
        "threads": spec.threads,
        "cores": list(bound_cores(spec.threads)),
        "batch_size": config.throughput_batch_size,
        "repetitions": [one.model_dump() for one in repetitions],
        "parameters": parameters,
        "scenarios": {name: [one.model_dump() for one in taken[name]] for name in parameters},
    }
    size = sum(file.stat().st_size for file in model.files.rglob("*") if file.is_file()) / 1e6
    return summarise(model, config, taken, parameters, size), raw


def summarise(
    model: ModelFiles,
    config: BenchmarkConfig,
    taken: dict[str, Sequence[Repetition]],
    parameters: dict[str, dict[str, Any]],
    size_mb: float,
) -> Measurement:
    """Sum up repetitions: pure, so that stored samples give the same measurement again.

    Peak memory is the largest of the repetitions, load time their median; MB are 10^6 bytes. BenchmarkError is raised
    where there are too few samples for a median.

    Args:
        taken: the repetitions by name of the scenario; those of the first one give memory and load time.
        parameters: what the scenarios computed beforehand, by their names.
    """
    repetitions = next(iter(taken.values()))
    results, levels, notes = {}, [dict[str, float]() for _ in repetitions], list[str]()
    for name, own in taken.items():
        scenario = SCENARIOS.get(name)
        samples = _samples_of(scenario, own)
        about = Measured(config, model.variant, repetitions[0].environment, parameters.get(name, {}))
        results[name] = scenario.summarise(samples, about)
        if scenario.shares_process:
            notes += results[name].notes
            for level, one in zip(levels, samples, strict=True):
                level.update(scenario.levels(one))
    unstable = instabilities(levels, [one.number for one in repetitions if not one.settled])
    if 1 < len(repetitions) < _ENOUGH_REPETITIONS:
        few = f"{len(repetitions)} repetitions give wide intervals: set benchmark.repetitions to 3 or more"
        notes.insert(0, few)
    return Measurement(
        entrant=model.name,
        variant=model.variant,
        model_digest=model.model_digest,
        scenarios=results,
        peak_rss_mb=max(one.peak_rss_mb for one in repetitions),
        peak_device_mb=max((one.peak_device_mb for one in repetitions if one.peak_device_mb is not None), default=None),
        size_mb=size_mb,
        load_seconds=statistics.median(one.load_seconds for one in repetitions),
        environment=repetitions[0].environment,
        unstable=bool(unstable),
        notes=(*unstable, *notes),
    )


def _samples_of(scenario: AnyScenario, repetitions: Iterable[Repetition]) -> list[Samples]:
    return [one.of(scenario.name, scenario.Samples) for one in repetitions]

"""A session: some models measured together, by repetitions in fresh processes of which one at a time measures."""

from __future__ import annotations

import statistics
import sys
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from podium.benchmarking.calls import Repetition, Samples, WorkerCall
from podium.benchmarking.launch import take_turns
from podium.benchmarking.sampling import deal
from podium.benchmarking.scenarios import SCENARIOS
from podium.benchmarking.scenarios.base import AnyScenario, Measured
from podium.benchmarking.statistics import instabilities
from podium.config.benchmark import ALWAYS_MEASURED, BenchmarkConfig, VariantName
from podium.devices.hardware import bound_cores, resolve_device, resolve_threads
from podium.errors import BenchmarkError, InputError
from podium.events import emit
from podium.execution.slots import core_slots
from podium.inference.predictor import PredictorSpec
from podium.inference.rows import Row
from podium.models.inspection import GENERATION, check_model_files
from podium.records import Measurement

MOST_TOGETHER = 4
"""Models of one session: so many are in memory at once."""

EVERY_CORE = sys.maxsize
"""As many core slots as there are."""

ENOUGH_REPETITIONS = 3

_MB = 1e6


@dataclass(frozen=True)
class ModelFiles:
    """One variant of one model, as files of this machine.

    Attributes:
        files: directory of the variant: a saved sequence or token classifier, or a causal language model, with its
            tokenizer, which truncates at its `model_max_length`; or an exported package.
        name: of the backbone, or what else people know the model by.
        model_digest: of the refit that the variant was made from.
    """

    files: Path
    name: str
    variant: VariantName
    model_digest: str
    trust_remote_code: bool = False

    @property
    def title(self) -> str:
        """Name and variant, for people."""
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
    def scenarios(self) -> list[AnyScenario]:
        """All that is measured, in order: what is always measured of such models, and what the config adds.

        Raises:
            InputError: a scenario is for models of another kind, or needs more repetitions.
        """
        return scenarios_for(self.task, self.config)

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
    """The scenarios that are measured of a model for `task`, in order; see `Session.scenarios`."""
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


def measure_together(
    models: Sequence[ModelFiles], session: Session, workdir: Path
) -> list[tuple[Measurement, dict[str, Any]]]:
    """Measure some models on the same rows.

    Each repetition of each model is a fresh process that measures `config.samples` of the rows. The models take turns
    of a few rows, so that what slows the machine for a while slows all of them and cancels in their differences; the
    raw samples name the session. Scenarios that do not share the process follow, model by model, in processes of their
    own. All core slots of this machine are held meanwhile, so that no training of another step disturbs it.

    On a machine so slow or busy that `config.max_seconds` would cut a repetition short, as many samples are taken as
    a median needs, and the measurement notes that it was cut short. Peak memory is the largest of the repetitions, load
    time their median; MB are 10^6 bytes.

    Args:
        models: one to `MOST_TOGETHER`.
        workdir: a directory; calls, logs and results of the processes go to `NAME-VARIANT` in it.

    Returns:
        For each model the measurement, and all raw samples as JSON-like values for the `samples` artifact.

    Raises:
        InputError: the device is not there, or has fewer cores than `config.threads`.
        ModelError: a directory holds no such model.
        BenchmarkError: a process failed (with the end of its log); then nothing is returned of the others either.
    """
    _check(models, session.rows)
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
    with core_slots(EVERY_CORE):
        repetitions = _repetitions(session, models, specs, folders)
        return [
            _measurement(session, model, spec, own, folder)
            for model, spec, own, folder in zip(models, specs, repetitions, folders, strict=True)
        ]


def _check(models: Sequence[ModelFiles], rows: Sequence[Row]) -> None:
    if not 1 <= len(models) <= MOST_TOGETHER:
        raise BenchmarkError(f"one to {MOST_TOGETHER} models are measured together, but got {len(models)}")
    if len({model.title for model in models}) < len(models):
        raise BenchmarkError("models that are measured together must differ in name or variant")
    for model in models:
        check_model_files(model.files)
    if not rows:
        raise BenchmarkError("a benchmark needs at least one row of the data set, but got none")


def _repetitions(
    session: Session, models: Sequence[ModelFiles], specs: Sequence[PredictorSpec], folders: Sequence[Path]
) -> list[list[Repetition]]:
    """The repetitions of each model, in the order of the models."""
    shared = [one for one in session.scenarios if one.shares_process]
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
    config = session.config
    taken: dict[str, Sequence[Repetition]] = {one.name: repetitions for one in session.scenarios if one.shares_process}
    parameters: dict[str, dict[str, Any]] = {}
    for scenario in session.scenarios:
        if not scenario.shares_process:
            earlier = {name: _samples_of(SCENARIOS.get(name), results) for name, results in taken.items()}
            parameters[scenario.name] = scenario.parameters(config, earlier)
            rounds = [
                [
                    session.call(
                        spec,
                        number,
                        folder / f"{scenario.name}-{number}.result.json",
                        scenario.name,
                        parameters={scenario.name: parameters[scenario.name]},
                    )
                ]
                for number in range(scenario.processes(config))
            ]
            found = take_turns(rounds, [folder], scenario.seconds(config), from_start=scenario.from_start)
            taken[scenario.name] = [result for (result,) in found]
    raw = {
        "backbone": model.name,
        "variant": model.variant,
        "model_digest": model.model_digest,
        "device": spec.device,
        "threads": spec.threads,
        "cores": list(bound_cores(spec.threads)),
        "batch_size": config.throughput_batch_size,
        "repetitions": [one.model_dump() for one in repetitions],
        "parameters": parameters,
        "scenarios": {
            name: [one.model_dump() for one in results] for name, results in taken.items() if name in parameters
        },
    }
    return summarise(model, config, taken, parameters, size_mb(model.files)), raw


def summarise(
    model: ModelFiles,
    config: BenchmarkConfig,
    taken: dict[str, Sequence[Repetition]],
    parameters: dict[str, dict[str, Any]],
    size: float,
) -> Measurement:
    """Sum up repetitions: pure, so that stored samples give the same measurement again.

    Args:
        taken: the repetitions by name of the scenario; those of the first one give memory and load time.
        parameters: what the scenarios computed beforehand, by their names.
        size: of the model's files in MB.

    Raises:
        BenchmarkError: there are too few samples for a median.
    """
    repetitions = next(iter(taken.values()))
    results, levels = {}, [dict[str, float]() for _ in repetitions]
    for name, own in taken.items():
        scenario = SCENARIOS.get(name)
        samples = _samples_of(scenario, own)
        about = Measured(config, model.variant, repetitions[0].environment, parameters.get(name, {}))
        results[name] = scenario.summarise(samples, about)
        if scenario.shares_process:
            for level, one in zip(levels, samples, strict=True):
                level.update(scenario.levels(one))
    unstable = instabilities(levels, [one.number for one in repetitions if not one.settled])
    shared = [result for name, result in results.items() if SCENARIOS.get(name).shares_process]
    return Measurement(
        backbone=model.name,
        variant=model.variant,
        model_digest=model.model_digest,
        scenarios=results,
        peak_rss_mb=max(one.peak_rss_mb for one in repetitions),
        peak_device_mb=max((one.peak_device_mb for one in repetitions if one.peak_device_mb is not None), default=None),
        size_mb=size,
        load_seconds=statistics.median(one.load_seconds for one in repetitions),
        environment=repetitions[0].environment,
        unstable=bool(unstable),
        notes=(*unstable, *_few(len(repetitions)), *(note for result in shared for note in result.notes)),
    )


def _samples_of(scenario: AnyScenario, repetitions: Iterable[Repetition]) -> list[Samples]:
    return [one.of(scenario.name, scenario.Samples) for one in repetitions]


def _few(repetitions: int) -> tuple[str, ...]:
    if not 1 < repetitions < ENOUGH_REPETITIONS:
        return ()
    return (f"{repetitions} repetitions give wide intervals: set benchmark.repetitions to 3 or more",)


def size_mb(model_dir: Path) -> float:
    """All files of a model in MB."""
    return sum(file.stat().st_size for file in model_dir.rglob("*") if file.is_file()) / _MB

"""Models measured alone, outside a run: `podium benchmark MODEL...`."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from podium.benchmarking.generation_run import Request, benchmark_generation
from podium.benchmarking.run import benchmark
from podium.benchmarking.sampling import sample_rows
from podium.benchmarking.subject import Subject, sessions
from podium.config.benchmark import BenchmarkConfig, VariantName
from podium.config.form import RunForm
from podium.config.schema import DatasetConfig
from podium.data.texts import Texts, read_texts
from podium.devices.hardware import fingerprint
from podium.errors import InputError, ModelError
from podium.export.variants import obstacle
from podium.keys import Key
from podium.local.models import LocatedModel, locate_model
from podium.local.progress import ProgressView, report_to
from podium.models.inspection import GENERATION
from podium.records import ArtifactRef, GenerationRecord, MeasurementRecord
from podium.stages.keys import generation_key, lone_measurement_key
from podium.stages.run_form import resolve_form
from podium.store.store import ArtifactStore
from podium.tasks import TASKS

_UNCHECKED: tuple[VariantName, ...] = ("bf16", "compile")
_PACKAGED: tuple[VariantName, ...] = ("onnx", "onnx-int8")
_SHOWN = 5


@dataclass(frozen=True)
class Inputs:
    """Where the input texts come from: a file or folder, a shipped data set, or by default one that fits the model."""

    data: str = ""
    dataset: str = ""
    text_column: str = ""
    label_column: str = ""


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Attributes:
        models: as `podium.local.models.locate_model` reads them.
        any_variant: measure the form in which the model comes, eager or an exported package, whatever `settings` say.
        settings: `NAME=VALUE` of the config's benchmark section.
        force: measure again what is stored.
    """

    models: Sequence[str]
    inputs: Inputs
    any_variant: bool
    settings: Sequence[str]
    request: Request
    store: str
    tracking_uri: str
    force: bool


@dataclass(frozen=True)
class Measured:
    """One result, and whether it was measured now; `samples` is the directory of its raw samples."""

    record: MeasurementRecord | GenerationRecord
    reused: bool
    samples: Path


@dataclass(frozen=True)
class _Job:
    """A model in one variant, with its inputs and the key of its result."""

    model: LocatedModel
    variant: VariantName
    rows: list[Any]
    key: Key
    notes: tuple[str, ...] = field(default=())


def benchmark_models(asked: Asked, directory: Path, console: Console) -> list[Measured]:
    """Measure every model in every variant, or find its stored result; all are checked before any is measured.

    Args:
        directory: where relative paths start.
        console: gets the progress.

    Raises:
        InputError: a model, its data or a setting cannot be used; nothing was measured.
        BenchmarkError: a measurement failed; what was measured in a session before is stored.
    """
    with tempfile.TemporaryDirectory(prefix="podium-benchmark-") as scratch:
        models = [
            locate_model(reference, directory, asked.tracking_uri, Path(scratch) / str(number))
            for number, reference in enumerate(asked.models)
        ]
        _check_names(models)
        config = _benchmark_config(asked, directory)
        hardware = fingerprint(config.device, config.threads)
        read = {kind: _texts(kind, asked, directory) for kind in {model.facts.kind for model in models}}
        jobs = [job for model in models for job in _jobs(model, read[model.facts.kind], asked, config, hardware)]
        bench = _Bench(config, asked.request, hardware, ArtifactStore(asked.store), asked.force, console)
        return bench.results(jobs)


def _benchmark_config(asked: Asked, directory: Path) -> BenchmarkConfig:
    overrides = ("benchmark=standard", *(f"benchmark.{setting}" for setting in asked.settings))
    return resolve_form(RunForm(run_overrides=overrides), directory).composed.config.benchmark


def _texts(kind: str, asked: Asked, directory: Path) -> Texts:
    """The input texts for models of one kind."""
    task, given = TASKS.get(TASKS.names()[0] if kind == GENERATION else kind), asked.inputs
    if given.data:
        # A causal model needs no labels, so one column is enough for it.
        label = given.label_column or (given.text_column if kind == GENERATION else "")
        form = RunForm(
            data_path=given.data, data_task=task.name, data_text_column=given.text_column, data_label_column=label
        )
    else:
        form = RunForm(run_overrides=(f"dataset={given.dataset or task.shipped}",))
    config: DatasetConfig = resolve_form(form, directory).composed.config.dataset
    if TASKS.get(config.task).content != task.content:
        raise InputError(
            f"the data must fit the model, but {config.name} is for {config.task} and the model for {kind}"
        )
    return read_texts(config)


def _jobs(
    model: LocatedModel, texts: Texts, asked: Asked, config: BenchmarkConfig, hardware: Mapping[str, str]
) -> list[_Job]:
    """What is to be measured of one model.

    Raises:
        ModelError: the labels are not those of the data, or there is no such variant of it.
    """
    named = {"name": model.name, "digest": model.digest}
    rows = sample_rows(texts.rows, config.repetitions * config.samples, seed=0)
    if model.facts.kind == GENERATION:
        if config.scenarios or not (asked.any_variant or config.variants == ("eager",)):
            raise ModelError(
                f"{model.name} is a causal language model: its generation is measured, eager, without other variants "
                "and scenarios; leave --variant and --scenario out"
            )
        key = generation_key(config, rows, named, asdict(asked.request), hardware)
        return [_Job(model, "eager", rows, key)]
    if asked.inputs.data or asked.inputs.dataset:
        _check_labels(model, texts)
    own: tuple[VariantName, ...] = ("onnx",) if model.facts.package else ("eager",)
    variants = own if asked.any_variant else config.variants
    for variant in variants:
        _check_variant(model, variant, hardware["device"])
    return [
        _Job(model, one, rows, lone_measurement_key(config, rows, named, one, hardware), _notes(one))
        for one in variants
    ]


def _check_names(models: Sequence[LocatedModel]) -> None:
    names = [model.name for model in models]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(
            f"models are told apart by their names, but {', '.join(sorted(twice))} is given twice; rename a directory"
        )


def _check_labels(model: LocatedModel, texts: Texts) -> None:
    strange = sorted(texts.labels - set(model.facts.labels))
    if model.facts.labels and strange:
        raise ModelError(
            f"the labels of the data must be the model's, but {model.name} has {_listed(model.facts.labels)} and the "
            f"data also {_listed(strange)}; give data that the model was made for, or leave out its label column"
        )


def _check_variant(model: LocatedModel, variant: VariantName, device: str) -> None:
    if (variant in _PACKAGED) != model.facts.package:
        what = "an exported package" if model.facts.package else "a model directory"
        hint = (
            "leave --variant out"
            if model.facts.package
            else f"build one with `podium run benchmark.variants=[{variant}]`"
        )
        raise ModelError(f"onnx variants are packages and other variants are not, but {model.path} is {what}; {hint}")
    if (reason := obstacle(variant, device)) is not None:
        raise InputError(f"{variant} cannot be measured here: {reason}")


def _notes(variant: VariantName) -> tuple[str, ...]:
    return ("not checked against the eager model, as `podium run` does",) if variant in _UNCHECKED else ()


@dataclass(frozen=True)
class _Bench:
    """Where and how jobs are measured."""

    config: BenchmarkConfig
    request: Request
    hardware: Mapping[str, str]
    store: ArtifactStore
    force: bool
    console: Console

    def results(self, jobs: Sequence[_Job]) -> list[Measured]:
        """The stored result of every job, or a new one; the models of one kind are measured in turns."""
        found: dict[str, Measured] = {}
        if not self.force:
            found = {job.key.digest: held for job in jobs if (held := self._stored(job)) is not None}
        self._tell(jobs, found)
        alike: dict[str, list[_Job]] = defaultdict(list)
        for job in jobs:
            if job.key.digest not in found:
                alike[job.model.facts.kind].append(job)
        for kind, missing in alike.items():
            for together in [[job] for job in missing] if kind == GENERATION else sessions(missing):
                made = self._session(together)
                self._tell(together, made)
                found |= made
        return [found[job.key.digest] for job in jobs]

    def _stored(self, job: _Job) -> Measured | None:
        kind = GenerationRecord if job.model.facts.kind == GENERATION else MeasurementRecord
        record = self.store.get(kind, job.key.digest)
        return self._measured(record, reused=True) if record is not None else None

    def _measured(self, record: MeasurementRecord | GenerationRecord, *, reused: bool) -> Measured:
        return Measured(record, reused, self.store.fetch(record.artifacts["samples"]))

    def _tell(self, jobs: Sequence[_Job], found: Mapping[str, Measured]) -> None:
        for job in jobs:
            if result := found.get(job.key.digest):
                when = f"{result.record.created_at:%Y-%m-%d %H:%M} UTC"
                how = f"measured {when} and reused; --force measures again" if result.reused else "done"
                self.console.print(f"{job.model.name} ({job.variant}): {how}", highlight=False, soft_wrap=True)

    def _session(self, jobs: Sequence[_Job]) -> dict[str, Measured]:
        """Measure jobs of one kind together and store the results; by key."""
        found: dict[str, Measured] = {}
        with ExitStack() as leases:
            for key in sorted((job.key for job in jobs), key=lambda key: key.digest):  # in one order: no deadlock
                leases.enter_context(self.store.lease(key))
            if not self.force:
                found = {job.key.digest: held for job in jobs if (held := self._stored(job)) is not None}
            missing = [job for job in jobs if job.key.digest not in found]
            if missing:
                for job, record in zip(missing, self._measure(missing), strict=True):
                    self.store.put(job.key, record)
                    found[job.key.digest] = self._measured(record, reused=False)
        return found

    def _measure(self, jobs: Sequence[_Job]) -> Sequence[MeasurementRecord | GenerationRecord]:
        names = list(dict.fromkeys(job.model.name for job in jobs))
        step = f"benchmark-{names[0]}" if len(names) == 1 else "benchmark"
        with self.store.scratch() as scratch:
            events = scratch / "events.jsonl"
            with report_to(events, step), ProgressView(events, self.console):
                if jobs[0].model.facts.kind == GENERATION:
                    return [self._generation(jobs[0], scratch)]
                return self._measurements(jobs, jobs[0].model.facts.kind, scratch)

    def _generation(self, job: _Job, scratch: Path) -> GenerationRecord:
        model = job.model
        generation, raw = benchmark_generation(
            model.path, model.name, model.digest, job.rows, self.request, self.config, scratch
        )
        return GenerationRecord(
            key=job.key.digest,
            hardware=dict(self.hardware),
            artifacts={"samples": _keep(self.store, scratch / "samples", raw)},
            generation=generation,
        )

    def _measurements(self, jobs: Sequence[_Job], task: str, scratch: Path) -> list[MeasurementRecord]:
        subjects = [Subject(job.model.path, job.model.name, job.variant, job.model.digest) for job in jobs]
        measured = benchmark(subjects, jobs[0].rows, task, self.config, scratch)
        return [
            MeasurementRecord(
                key=job.key.digest,
                hardware=dict(self.hardware),
                artifacts={"samples": _keep(self.store, scratch / f"samples-{number}", raw)},
                measurement=measurement.model_copy(update={"notes": (*measurement.notes, *job.notes)}),
            )
            for number, (job, (measurement, raw)) in enumerate(zip(jobs, measured, strict=True))
        ]


def _keep(store: ArtifactStore, folder: Path, raw: Mapping[str, Any]) -> ArtifactRef:
    folder.mkdir()
    (folder / "samples.json").write_text(json.dumps(raw))
    return store.put_artifact("samples", folder)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")

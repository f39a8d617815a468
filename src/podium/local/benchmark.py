"""Models measured alone, outside a run: `podium benchmark MODEL...`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from podium.benchmarking.calls import sample_rows
from podium.benchmarking.session import MeasurementRequest, MeasuringService, ModelFiles, Session, scenarios_for
from podium.config.benchmark import BenchmarkConfig, VariantName
from podium.config.form import RunForm
from podium.config.schema import DatasetConfig
from podium.data.staging import Texts, read_texts
from podium.devices.hardware import fingerprint
from podium.errors import InputError, ModelError
from podium.export.variants import obstacle
from podium.local.models import LocatedModel, locate_model
from podium.local.progress import ProgressView, report_to
from podium.models.inspection import GENERATION
from podium.records import MeasurementRecord
from podium.stages.keys import lone_measurement_key
from podium.stages.prepare import resolve_form
from podium.store.store import ArtifactStore
from podium.tasks import TASKS
from podium.text import shortened

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
class BenchmarkCommand:
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
    store: str
    tracking_uri: str
    force: bool


@dataclass(frozen=True)
class Outcome:
    """One result, and whether it was stored before; `samples` is the directory of its raw samples."""

    record: MeasurementRecord
    reused: bool
    samples: Path


def benchmark_models(command: BenchmarkCommand, directory: Path, console: Console) -> list[Outcome]:
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
            locate_model(reference, directory, command.tracking_uri, Path(scratch) / str(number))
            for number, reference in enumerate(command.models)
        ]
        _check_names(models)
        config = _benchmark_config(command, directory)
        hardware = fingerprint(config.device, config.threads)
        texts = {kind: _texts(kind, command, directory) for kind in {model.facts.kind for model in models}}
        sessions = {kind: _session(kind, read, config) for kind, read in texts.items()}
        requests = [
            (model.facts.kind, request)
            for model in models
            for request in _requests(model, texts[model.facts.kind], sessions[model.facts.kind], command, hardware)
        ]
        for kind in sessions:
            scenarios_for(kind, config)
        service = MeasuringService(
            ArtifactStore(command.store), hardware, reuse=not command.force, around=partial(_progress, console)
        )
        stored = {one.key.digest for _, one in requests if _is_stored(service, one, console)}
        found: dict[str, MeasurementRecord] = {}
        for kind, session in sessions.items():
            own = [one for its, one in requests if its == kind]
            found |= {record.key: record for record in service.measure(own, session)}
        records = [found[one.key.digest] for _, one in requests]
        return [
            Outcome(record, record.key in stored, service.store.fetch(record.artifacts["samples"]))
            for record in records
        ]


@contextmanager
def _progress(console: Console, requests: Sequence[MeasurementRequest], folder: Path) -> Iterator[None]:
    """Show the progress of a session on `console`; its events are kept in `folder` meanwhile."""
    names = list(dict.fromkeys(one.model.name for one in requests))
    events = folder / "events.jsonl"
    with report_to(events, f"benchmark-{names[0]}" if len(names) == 1 else "benchmark"), ProgressView(events, console):
        yield
    for one in requests:
        _say(console, one, "done")


def _is_stored(service: MeasuringService, request: MeasurementRequest, console: Console) -> bool:
    """Whether a stored measurement is reused; if so, `console` says when it was made."""
    if (record := service.stored(request)) is None:
        return False
    _say(console, request, f"measured {record.created_at:%Y-%m-%d %H:%M} UTC and reused; --force measures again")
    return True


def _benchmark_config(command: BenchmarkCommand, directory: Path) -> BenchmarkConfig:
    overrides = ("benchmark=standard", *(f"benchmark.{setting}" for setting in command.settings))
    return resolve_form(RunForm(run_overrides=overrides), directory).config.benchmark


def _texts(kind: str, command: BenchmarkCommand, directory: Path) -> Texts:
    """The input texts for models of one kind."""
    task, given = TASKS.get(TASKS.names()[0] if kind == GENERATION else kind), command.inputs
    if given.data:
        # A causal model needs no labels, so one column is enough for it.
        label = given.label_column or (given.text_column if kind == GENERATION else "")
        form = RunForm(
            data_path=given.data, data_task=task.name, data_text_column=given.text_column, data_label_column=label
        )
    else:
        form = RunForm(run_overrides=(f"dataset={given.dataset or task.shipped}",))
    config: DatasetConfig = resolve_form(form, directory).config.dataset
    if TASKS.get(config.task).content != task.content:
        raise InputError(
            f"the data must fit the model, but {config.name} is for {config.task} and the model for {kind}"
        )
    return read_texts(config)


def _session(kind: str, texts: Texts, config: BenchmarkConfig) -> Session:
    """The rows and settings for all models of one kind."""
    return Session(sample_rows(texts.rows, config.repetitions * config.samples, seed=0), kind, config)


def _requests(
    model: LocatedModel, texts: Texts, session: Session, command: BenchmarkCommand, hardware: Mapping[str, str]
) -> list[MeasurementRequest]:
    """What is to be measured of one model.

    Raises:
        ModelError: the labels are not those of the data, or there is no such variant of it.
    """
    config = session.config
    variants: tuple[VariantName, ...] = ("eager",)
    if model.facts.kind == GENERATION:
        if config.scenarios or not (command.any_variant or config.variants == variants):
            raise ModelError(
                f"{model.name} is a causal language model: its generation is measured, eager, without other variants "
                "and scenarios; leave --variant and --scenario out"
            )
    else:
        if command.inputs.data or command.inputs.dataset:
            _check_labels(model, texts)
        own: tuple[VariantName, ...] = ("onnx",) if model.facts.package else ("eager",)
        variants = own if command.any_variant else config.variants
        for variant in variants:
            _check_variant(model, variant, hardware["device"])
    named = {"name": model.name, "digest": model.digest}
    return [
        MeasurementRequest(
            ModelFiles(model.path, model.name, one, model.digest),
            lone_measurement_key(config, session.task, session.rows, named, one, hardware),
            notes=("not checked against the eager model, as `podium run` does",) if one in _UNCHECKED else (),
        )
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
            f"the labels of the data must be the model's, but {model.name} has "
            f"{shortened(model.facts.labels, _SHOWN)} and the data also {shortened(strange, _SHOWN)}; give data that "
            "the model was made for, or leave out its label column"
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


def _say(console: Console, request: MeasurementRequest, text: str) -> None:
    console.print(f"{request.model.title}: {text}", highlight=False, soft_wrap=True)

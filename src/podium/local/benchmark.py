"""Models measured alone, outside a run: `podium benchmark MODEL...`, and what it prints."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from podium.benchmarking.calls import sample_rows
from podium.benchmarking.scenarios import SCENARIOS, figures_table
from podium.benchmarking.session import MeasurementRequest, MeasuringService, ModelFiles, Session, scenarios_for
from podium.config.benchmark import BenchmarkConfig, VariantName
from podium.config.form import RunForm
from podium.data.staging import Texts, read_texts
from podium.devices.hardware import fingerprint
from podium.display.blocks import Cell, Row, Table
from podium.display.numbers import figure
from podium.display.terminal import say
from podium.errors import InputError, ModelError
from podium.export.variants import obstacle
from podium.local.models import LocatedModel, locate
from podium.local.progress import progress_view, report_to
from podium.models.backbone import GENERATION, ModelFacts
from podium.models.tokenizer import check_reading
from podium.records import Measurement, MeasurementRecord
from podium.stages.keys import lone_measurement_key
from podium.stages.prepare import resolve_form
from podium.store.store import ArtifactStore
from podium.tasks import TASKS
from podium.text import shortened

_UNCHECKED: tuple[VariantName, ...] = ("bf16", "compile")
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """Which rows a model is given.

    Attributes:
        data: a file, folder or URI.
        dataset: a shipped data set instead; without both, the one that suits the task of the model.
        text_column, label_column: of `data`; empty to infer them.
    """

    data: str = ""
    dataset: str = ""
    text_column: str = ""
    label_column: str = ""

    def __post_init__(self) -> None:
        if self.data and self.dataset:
            raise InputError(f"--data and --dataset exclude each other, but got {self.data!r} and {self.dataset!r}")


@dataclass(frozen=True, kw_only=True)
class BenchmarkCommand(DataChoice):
    """What is to be measured.

    Attributes:
        models: as `podium.local.models.locate` reads them.
        any_variant: measure the form in which the model comes, eager or an exported package, whatever `settings` say.
        settings: `NAME=VALUE` of the config's benchmark section.
        force: measure again what is stored.
        trust_remote_code: run code that comes with the models, not only with those that were trained with it.
    """

    models: Sequence[str]
    any_variant: bool
    settings: Sequence[str]
    store: str
    tracking_uri: str
    force: bool = False
    trust_remote_code: bool = False


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
            locate(reference, directory, command.store, command.tracking_uri, Path(scratch) / str(number))
            for number, reference in enumerate(command.models)
        ]
        names = [model.name for model in models]
        if twice := ", ".join(sorted({name for name in names if names.count(name) > 1})):
            raise InputError(f"models must have different names, but {twice} is given twice; rename a directory")
        overrides = ("benchmark=standard", *(f"benchmark.{setting}" for setting in command.settings))
        config = resolve_form(RunForm(run_overrides=overrides), directory).config.benchmark
        hardware = fingerprint(config.device, config.threads)
        kinds = {model.name: model.facts.kind for model in models}
        texts = {kind: texts_of(kind, command, directory) for kind in dict.fromkeys(kinds.values())}
        drawn = config.repetitions * config.samples
        sessions = {kind: Session(sample_rows(read.rows, drawn, seed=0), kind, config) for kind, read in texts.items()}
        requests = [one for model in models for one in _requests(model, texts, sessions, command, hardware)]
        for kind in sessions:
            scenarios_for(kind, config)
        service = MeasuringService(
            ArtifactStore(command.store), hardware, reuse=not command.force, around=partial(_progress, console)
        )
        stored = {one.key.digest for one in requests if _is_stored(service, one, console)}
        for one in requests:
            if one.key.digest not in stored:
                check_reading(one.model.files, kinds[one.model.name], one.model.trust_remote_code)
        found: dict[str, Outcome] = {}
        for kind, session in sessions.items():
            for record in service.measure([one for one in requests if kinds[one.model.name] == kind], session):
                samples = service.store.fetch(record.artifacts["samples"])
                found[record.key] = Outcome(record, record.key in stored, samples)
        return [found[one.key.digest] for one in requests]


@contextmanager
def _progress(console: Console, requests: Sequence[MeasurementRequest], folder: Path) -> Iterator[None]:
    """Show the progress of a session on `console`; its events are kept in `folder` meanwhile."""
    names = list(dict.fromkeys(one.model.name for one in requests))
    events = folder / "events.jsonl"
    with report_to(events, f"benchmark-{names[0]}" if len(names) == 1 else "benchmark"), progress_view(events, console):
        yield
    for one in requests:
        say(console, f"{one.model.title}: done")


def _is_stored(service: MeasuringService, request: MeasurementRequest, console: Console) -> bool:
    """Whether a stored measurement is reused; if so, `console` says when it was made."""
    if (record := service.stored(request)) is None:
        return False
    when = f"{record.created_at:%Y-%m-%d %H:%M} UTC"
    say(console, f"{request.model.title}: measured {when} and reused; --force measures again")
    return True


def texts_of(kind: str, command: DataChoice, directory: Path) -> Texts:
    """The rows for a model of some kind; an InputError if the data does not fit it."""
    task = TASKS.get(TASKS.names()[0] if kind == GENERATION else kind)
    if command.data:
        # A causal model needs no labels, so one column is enough for it.
        label = command.label_column or (command.text_column if kind == GENERATION else "")
        form = RunForm(
            data_path=command.data, data_task=task.name, data_text_column=command.text_column, data_label_column=label
        )
    else:
        form = RunForm(run_overrides=(f"dataset={command.dataset or task.shipped}",))
    config = resolve_form(form, directory).config.dataset
    if TASKS.get(config.task).content != task.content:
        raise InputError(
            f"the data must fit the model, but {config.name} is for {config.task} and the model for {kind}"
        )
    return read_texts(config)


def _requests(
    model: LocatedModel,
    texts: Mapping[str, Texts],
    sessions: Mapping[str, Session],
    command: BenchmarkCommand,
    hardware: Mapping[str, str],
) -> list[MeasurementRequest]:
    """What is to be measured of one model; texts and sessions by kind of model.

    Raises:
        ModelError: the labels are not those of the data, or there is no such variant of it.
    """
    session = sessions[model.facts.kind]
    config: BenchmarkConfig = session.config
    variants: tuple[VariantName, ...] = ("eager",)
    if model.facts.kind == GENERATION:
        if config.scenarios or not (command.any_variant or config.variants == variants):
            raise ModelError(
                f"{model.name} is a causal language model: its generation is measured, eager, without other variants "
                "and scenarios; leave --variant and --scenario out"
            )
    else:
        strange = sorted(texts[model.facts.kind].labels - set(model.facts.labels))
        if (command.data or command.dataset) and model.facts.labels and strange:
            raise ModelError(
                f"the labels of the data must be the model's, but {model.name} has "
                f"{shortened(model.facts.labels, _SHOWN)} and the data also {shortened(strange, _SHOWN)}; give data "
                "that the model was made for, or leave out its label column"
            )
        variants = model.facts.variants[:1] if command.any_variant else config.variants
        for variant in variants:
            check_variant(model.path, model.facts, variant, hardware["device"])
    trusted = command.trust_remote_code or model.trust_remote_code
    named = {"name": model.name, "digest": model.digest, "trust_remote_code": trusted}
    return [
        MeasurementRequest(
            ModelFiles(model.path, model.name, one, model.digest, trusted),
            lone_measurement_key(config, session.task, session.rows, named, one, hardware),
            notes=("not checked against the eager model, as `podium run` does",) if one in _UNCHECKED else (),
        )
        for one in variants
    ]


def check_variant(path: Path, facts: ModelFacts, variant: VariantName, device: str) -> None:
    """Raise an InputError if the model in `path` cannot be run as a variant here."""
    own = facts.variants
    if variant not in own:
        build = f"build one with `podium run benchmark.variants=[{variant}]`"
        hint = build if len(own) > 1 else "leave --variant out"
        raise ModelError(f"{path} can be measured as {' or '.join(own)}, but not as {variant}; {hint}")
    if (reason := obstacle(variant, device)) is not None:
        raise InputError(f"{variant} cannot be measured here: {reason}")


def as_json(results: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The records as JSON-like values, with where the raw samples lie and whether each was reused."""
    more = [
        {"kind": one.record.kind, "reused": one.reused, "samples": str(one.samples / "samples.json")} for one in results
    ]
    return [one.record.model_dump(mode="json") | own for one, own in zip(results, more, strict=True)]


def print_results(outcomes: Sequence[Outcome], console: Console) -> None:
    """A table per kind of model, one per further scenario, notes, and where the raw samples lie."""
    found = [one.record.measurement for one in outcomes]
    for names in dict.fromkeys(_in_one_process(one) for one in found):
        console.print(_rich(_joined(names, [one for one in found if _in_one_process(one) == names])))
    for name in dict.fromkeys(name for one in found for name in one.scenarios if name not in _in_one_process(one)):
        scenario = SCENARIOS.get(name)
        console.print(f"\n{scenario.title}: {scenario.explanation}", highlight=False, markup=False)
        results = {_title(one): one.scenarios[name] for one in found if name in one.scenarios}
        console.print(_rich(scenario.table(results)))
    for one in outcomes:
        measured = one.record.measurement
        shared = _in_one_process(measured)
        own = (note for name, result in measured.scenarios.items() if name not in shared for note in result.notes)
        for note in (*measured.notes, *own, f"raw samples in {one.samples / 'samples.json'}"):
            say(console, f"{_title(measured)}: {note}")


def _in_one_process(measurement: Measurement) -> tuple[str, ...]:
    return tuple(name for name in measurement.scenarios if SCENARIOS.get(name).shares_process)


def _joined(names: Sequence[str], measurements: Sequence[Measurement]) -> Table:
    """The scenarios that share a process side by side, with memory and load time."""
    parts = [figures_table(name, {_title(one): one.scenarios[name] for one in measurements}) for name in names]
    columns = ["model", *(column.lower() for part in parts for column in part.columns[1:]), "memory MB", "load s"]
    rows = []
    for number, one in enumerate(measurements):
        figures = (cell for part in parts for cell in part.lines[number].cells[1:])
        rows.append(Row([_title(one), *figures, Cell(figure(one.peak_rss_mb)), Cell(figure(one.load_seconds))]))
    return Table(", ".join(names), columns, "l" + "r" * (len(columns) - 1), rows)


def _rich(table: Table) -> RichTable:
    """A table for the terminal, with the second line of a cell in brackets."""
    found = RichTable(box=None, pad_edge=False)
    for heading, side in zip(table.columns, table.align, strict=True):
        found.add_column(heading, justify="left" if side == "l" else "right", overflow="fold")
    for row in table.lines:
        cells = (Cell(cell) if isinstance(cell, str) else cell for cell in row.cells)
        texts = (f"{cell.text} [{cell.note}]".replace(" to ", ", ") if cell.note else cell.text for cell in cells)
        found.add_row(*texts)
    return found


def _title(measurement: Measurement) -> str:
    return f"{measurement.entrant} ({measurement.variant})"

"""`podium infer MODEL --data FILE`: predicts rows, goes on where it was stopped, and says what came of it."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from textwrap import shorten
from typing import Any

from rich.console import Console

from podium.display.numbers import figure
from podium.display.terminal import say as say_to
from podium.errors import InputError, PodiumError
from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.metrics import metrics_of
from podium.events import emit
from podium.hpo.tables import span
from podium.inference.alone import LEAST, asked_alone
from podium.inference.journal import FAILED, Entry, Journal
from podium.inference.rows import FIRST_TRY, Choice, InputRow, Survey
from podium.inference.run import (
    Budget,
    Progress,
    RunDirectory,
    System,
    answer_rows,
    budget_of,
    joined,
    refuse_unable,
    totals,
)
from podium.inference.stored import FINISHED, load_run
from podium.inference.writers import WRITERS, Writer, writer_for
from podium.jsonfile import write_json, write_text
from podium.keys import Key
from podium.local.inference_data import DataCommand, OpenData, open_data, own_options
from podium.local.inference_prompt import PromptCommand, open_prompted
from podium.local.inference_system import OpenSystem, SystemCommand, open_system
from podium.local.progress import progress_view, report_to
from podium.stages.learned_rows import seen_rows
from podium.store.store import ArtifactStore
from podium.text import file_name, redact

METRICS_FILE, ENVIRONMENT_FILE, REPORT_FILE, EVENTS_FILE = (
    "metrics.json",
    "environment.json",
    "report.html",
    "events.jsonl",
)
_KIND = "inference"
_RUN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_LONGEST_SHOWN = 800
_DRY_ROWS = 3
_REPORTED_ROWS = 20
_DRY_TIMED = 16
_CONFIDENCE, _RESAMPLES = 0.95, 1000
_LIVE_SECONDS, _LINE_SECONDS = 0.5, 10.0


@dataclass(frozen=True)
class InferCommand:
    """What the user asked for.

    Attributes:
        system: a trained model, or one that is asked with prompts.
        choice: which rows; None where the user chose none, so that it is a first try.
        output: a file for the predictions beside the run directory's own; None for none.
        form: the format; empty for that of `output`, or JSON lines.
        run_id: empty to make one of model, data and key.
        max_errors, max_unanswered: a count or a share; empty for no limit.
        retry: ask failed rows again.
        folder: holds the run directories.
    """

    system: SystemCommand | PromptCommand
    data: DataCommand
    choice: Choice | None = None
    output: Path | None = None
    form: str = ""
    run_id: str = ""
    max_errors: str = "0"
    max_unanswered: str = ""
    retry: bool = False
    folder: Path = Path("podium-out/inference")


@dataclass
class Opened:
    """A command whose model and data are there, and whose settings fit each other."""

    system: System
    about: OpenSystem
    data: OpenData
    choice: Choice
    survey: Survey
    budget: Budget
    key: Key
    run_id: str
    writer: Writer


@contextmanager
def opened(command: InferCommand, directory: Path, say: Callable[[str], None]) -> Iterator[Opened]:
    """Find model and data, and look at the data once; nothing is predicted or written.

    Raises:
        InputError: the model, the data or a setting cannot be used.
    """
    writer = _writer(command)
    with tempfile.TemporaryDirectory(prefix="podium-infer-") as scratch:
        if isinstance(command.system, PromptCommand):
            about = open_prompted(command.system, command.data, directory)
        else:
            about = open_system(command.system, directory, Path(scratch))
        say(f"model: {about.said}")
        choice = command.choice or Choice(first=FIRST_TRY)
        with own_options():
            data = open_data(command.data, directory, about.content_task, about.labels)
            for line in data.lines:
                say(line)
            survey = data.source.survey(choice)
        first_try = (
            ""
            if command.choice or survey.count == survey.total
            else "; this is a first try: --all predicts all, --rows N the first N"
        )
        say(f"rows: {survey.count:,} of {survey.total:,} ({choice}{first_try})")
        budget = Budget(
            budget_of(command.max_errors, survey.count, "--max-errors"),
            budget_of(command.max_unanswered, survey.count, "--max-unanswered"),
        )
        with own_options():
            refuse_unable(survey, budget)
        with closing(about.system(data, survey)) as system:
            key = Key.of(_KIND, system=system.identity(), data=data.identity)
            name = command.run_id or f"{about.name}-{file_name(data.name)}-{key.digest[:8]}"
            if not _RUN_ID.fullmatch(name):
                raise InputError(f"--run-id must be made of letters, digits and . _ -, but got {name!r}")
            yield Opened(system, about, data, choice, survey, budget, key, name, writer)


@contextmanager
def _opened_or_said(
    command: InferCommand, directory: Path, lines: list[str], say: Callable[[str], None]
) -> Iterator[Opened]:
    """`opened`; its lines are kept for the caller, but said at once where it fails."""
    with ExitStack() as stack:
        try:
            work = stack.enter_context(opened(command, directory, lines.append))
        except PodiumError:
            say("\n".join(lines))
            raise
        yield work


def infer(command: InferCommand, directory: Path, console: Console, called: str) -> Path:
    """Predict the chosen rows, and return the run directory.

    Args:
        directory: where relative paths start.
        called: the command line, for the record.

    Raises:
        InputError: something cannot be used; nothing was predicted.
        RunOutOfBudget: too many rows came to nothing; what is answered is kept.
    """
    say = partial(say_to, console)
    found: list[str] = []
    with _opened_or_said(command, directory, found, say) as work:
        about = {
            "model": redact(command.system.model) or work.about.name,
            "data": work.data.place,
            "task": work.system.task,
            "labels": work.system.labels,
            "target": work.data.target,
            "content": work.data.source.content,
            "command": redact(called),
            "rows": {"total": work.survey.total, "chosen": work.survey.count, "choice": str(work.choice)},
            **work.about.recorded,
        }
        run = RunDirectory(command.folder, work.run_id, work.key, about)
        if command.output is not None:
            run.check_output(command.output)
        say("\n".join([f"Run {run.id}: {run.path}", *found]))
        with run.journal() as journal:
            if len(journal):
                say(f"goes on: {len(journal):,} rows have an answer already")
            run.update("running", enforced=run.value("enforced") or work.system.enforced())
            write_json(run.path / ENVIRONMENT_FILE, work.about.environment())
            for name, text in work.about.files.items():
                write_text(run.path / name, text)
            try:
                asked = _answer(work, command, run, journal, console, say)
                if work.about.timed and asked >= LEAST:
                    run.update("running", alone=asked_alone(work.system, work.data.source, work.survey, journal))
            except BaseException as error:
                run.update("failed" if isinstance(error, Exception) else "stopped", error=str(error))
                raise
            run.update("answered", error=None, longest=work.system.longest or run.value("longest"))
            work.system.longest = run.value("longest")
            rows = joined(work.data.source, work.survey, journal, work.system)
            predictions = run.write_predictions(rows, work.writer, command.output)
            run.update(FINISHED)
            metrics = totals(journal, work.data.source, work.survey, work.system)
            metrics |= {"asked_alone": run.value("alone")} if run.value("alone") else {}
            examples = list(islice(rows(), _REPORTED_ROWS))
            metrics |= _scores(work, run.path, command)
        if work.about.price is not None:
            metrics["price"] = work.about.price(metrics["prompt_tokens"], metrics["output_tokens"])
        write_json(run.path / METRICS_FILE, metrics)
        _report(run.path, work, metrics, examples)
        for line in _summary(metrics, work):
            say(line)
        say(f"predictions: {command.output or predictions}")
        say(f"Run {run.id} finished: {run.path}")
        return run.path


def _answer(
    work: Opened,
    command: InferCommand,
    run: RunDirectory,
    journal: Journal,
    console: Console,
    say: Callable[[str], None],
) -> int:
    """Answer the rows, and show the first one; returns how many were asked."""
    shown = False

    def show(row: InputRow, entry: Entry) -> None:
        nonlocal shown
        shown = True
        say(f"first row asked, {row.id}:\n{_indented(work.system.shown(row))}\n  → {_answer_text(entry, work.system)}")

    with _reporting(run, work.key, console) as report:
        rows = work.data.source, work.survey
        asked = answer_rows(work.system, *rows, journal, work.budget, command.retry, report, show)
    if not shown and (row := next((one for one in work.data.source.chosen(work.survey) if not one.problem), None)):
        say(
            f"first row, {row.id}:\n{_indented(work.system.shown(row))}\n  → "
            f"{_answer_text(journal.get(row.id), work.system)}"
        )
    return asked


@contextmanager
def _reporting(run: RunDirectory, key: Key, console: Console) -> Iterator[Callable[[Progress], None]]:
    pause = _LIVE_SECONDS if console.is_terminal else _LINE_SECONDS
    began = last = time.monotonic()

    def report(now: Progress) -> None:
        nonlocal last
        if (moment := time.monotonic()) - last >= pause:
            last = moment
            emit("rows_answered", done=now.done, total=now.total, bad=now.bad, **_pace(now))

    events = run.path / EVENTS_FILE
    with report_to(events, run.id), progress_view(events, console):
        emit("step_started")
        try:
            yield report
        except BaseException as error:
            stopped = not isinstance(error, Exception)
            emit("step_failed", seconds=time.monotonic() - began, error=str(error), stopped=stopped)
            raise
        emit("step_finished", how="answered", key=key.digest)


def _pace(now: Progress) -> dict[str, float | None]:
    rate = now.asked / now.seconds if now.seconds > 0 else 0.0
    return {"rate": rate, "left": (now.total - now.done) / rate if rate else None}


def _scores(work: Opened, path: Path, command: InferCommand) -> dict[str, Any]:
    """The metrics of the task where the data has labels, each with its interval; or why there are none."""
    if work.data.target is None or work.system.task is None:
        return {}
    try:
        run = load_run(path, path.parent)
        predictions = run.predictions()
        names = metrics_of(predictions)
        found = {name: bootstrap_interval(predictions, name, _CONFIDENCE, _RESAMPLES, 0) for name in names}
    except PodiumError as error:
        return {"not_scored": str(error)}
    trained, seen = command.system, None
    if isinstance(trained, SystemCommand):
        seen = seen_rows(run, predictions.ids, lambda: ArtifactStore(trained.store))
    learned = {"learned_rows": sum(seen)} if seen else {}
    scores = {name: one.model_dump() for name, one in found.items()}
    return {"scored_rows": len(predictions), **learned, "scores": scores}


def _summary(metrics: dict[str, Any], work: Opened) -> Iterator[str]:
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in metrics["outcomes"].items())
    speed = f", {figure(metrics['rows'] / metrics['seconds'])} rows/s of computing" if metrics["seconds"] else ""
    yield f"{metrics['rows']:,} rows: {counts}{speed}"
    if cut := metrics.get("rows_at_longest_input"):
        yield f"{cut:,} rows have {metrics['longest_input_tokens']} tokens or more, of which the model reads no more"
    if alone := metrics.get("asked_alone"):
        gap = f", probabilities within {figure(alone['largest_difference'])}" if "largest_difference" in alone else ""
        yield f"asked again alone: {alone['equal']} of {alone['rows']} rows have the answer of the batch{gap}"
    if "price" in metrics:
        yield f"price: {metrics['price']}"
    if "scores" in metrics:
        scores = (
            f"{name} {figure(one['value'])} [{figure(one['low'])}, {figure(one['high'])}]"
            for name, one in metrics["scores"].items()
        )
        yield f"against column {work.data.target!r} of {metrics['scored_rows']:,} rows: {', '.join(scores)}"
    if learned := metrics.get("learned_rows"):
        yield (
            f"the model learned from {learned:,} of these {metrics['scored_rows']:,} rows, so these are not the scores "
            f"of new rows; podium evaluate {work.run_id} --by seen tells them apart"
        )
    if "not_scored" in metrics:
        yield f"not scored: {metrics['not_scored']}"
    if failed := sum(count for outcome, count in metrics["outcomes"].items() if outcome in FAILED):
        yield f"failed: {failed:,}; the reasons are in the column podium_error, and --retry asks these rows again"


def dry_run(command: InferCommand, directory: Path, console: Console) -> None:
    """Show what would be done: settings, some inputs as the model gets them, tokens, time and price."""
    say = partial(say_to, console)
    with opened(command, directory, say) as work:
        run = command.folder / work.run_id
        say(f"run: {run}" + (" (exists, and would be continued)" if run.exists() else ""))
        say(f"format: {work.writer.name}; key {work.key.digest[:12]}")
        for name, value in sorted(work.key.parts["system"].items()):
            say(f"  {name}: {value}")
        rows = list(islice((row for row in work.data.source.chosen(work.survey) if row.problem is None), _DRY_TIMED))
        counts = work.system.count_tokens(rows)
        for row, count in zip(rows[:_DRY_ROWS], counts, strict=False):
            tokens = "" if count is None else f" ({count} tokens)"
            say(f"--- {row.id}{tokens}\n{_indented(work.system.shown(row))}")
        known = [count for count in counts if count is not None]
        mean = sum(known) / len(known) if known else None
        if mean is not None:
            say(f"input: about {mean * work.survey.count:,.0f} tokens (from {len(known)} rows)")
        if work.about.timed and rows:
            began = time.perf_counter()
            list(work.system.answer(rows))
            each = (time.perf_counter() - began) / len(rows)
            say(f"time: about {span(each * work.survey.count)} (measured on {len(rows)} rows)")
        else:
            say("time: not known, since a dry run asks nothing of this backend")
        if work.about.price is not None and mean is not None:
            most = work.about.price(round(mean * work.survey.count), work.about.longest_output * work.survey.count)
            say(f"price: at most {most} (every answer at its longest)")
        else:
            say("price: none is declared" if work.about.price is None else "price: not known without token counts")


def _report(path: Path, work: Opened, metrics: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    from podium.report.inference import inference_page
    from podium.report.render import as_html

    facts = [("run", work.run_id), ("model", work.about.said), ("data", work.data.place), ("key", work.key.digest)]
    facts += [(name, str(value)) for name, value in sorted(work.key.parts["system"].items())]
    page = inference_page(work.run_id, facts, metrics, rows)
    write_text(path / REPORT_FILE, as_html(page))


def _writer(command: InferCommand) -> Writer:
    if command.form:
        return WRITERS.get(command.form)
    if command.output is None:
        return WRITERS.get(WRITERS.names()[0])
    found = writer_for(command.output)
    if found is None:
        known = ", ".join(end for one in WRITERS.all() for end in one.extensions)
        raise InputError(
            f"--output must end in one of {known}, or --format must name the format, but got {command.output}"
        )
    return found


def _answer_text(entry: Entry, system: System) -> str:
    if entry.outcome != "ok":
        said = f": {shorten(entry.text, 200, placeholder=' …')}" if entry.text else ""
        return f"{entry.outcome}{said}" + (f" ({entry.error})" if entry.error else "")
    sure = ""
    if entry.probabilities is not None and system.labels and entry.answer in system.labels:
        sure = f" ({entry.probabilities[system.labels.index(entry.answer)]:.1%})"
    return f"{entry.answer}{sure}"


def _indented(text: str) -> str:
    cut = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + " …"
    return "\n".join(f"  {line}" for line in cut.splitlines())

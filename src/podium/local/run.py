"""One local run, from the config to the summary a user reads at the end.

What is stored is taken as it is; what is missing runs in a process of its own. So a run whose results are all stored
starts no process and loads neither torch nor MLflow. It leaves behind:

runs/<run id>/run.json       the command, when it ran, and how it ended
runs/<run id>/record.json    the run: its resolved config, its ids, and the champion it began with
runs/<run id>/events.jsonl   progress events of all steps
runs/<run id>/steps/<step>/  log.txt, status.json, record.json
runs/<run id>/report.html    the report
runs/<run id>/label_issues.csv    rows whose label looks wrong, where there are any
runs/latest                  link to the newest run
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, cast

from rich.console import Console

from podium.config.schema import PodiumConfig
from podium.display.terminal import say_facts
from podium.errors import InputError, PodiumError, ProcessKilled, StepFailed, StoreError, TrackingError
from podium.events import emit
from podium.execution.ending import end_descendants
from podium.execution.environment import variables_set
from podium.execution.launch import Process
from podium.jsonfile import write_json
from podium.local.progress import progress_view
from podium.records import DecisionRecord, FailedEntrant, PlanRecord, Record, ReportRecord, RunRecord
from podium.report.render import HTML_FILE
from podium.stages.labels import ISSUES_FILE, LABEL_ISSUES
from podium.stages.plan import planned
from podium.stages.prepare import locate_entrants, new_run, open_parent
from podium.stages.process import RUN_FILE, record_file
from podium.stages.step import Step, StepInputs, all_failed, open_store
from podium.stages.steps import STEPS, Node, chains, inputs_of, result_tags, step_named
from podium.text import redact
from podium.tracking import tracker_for
from podium.tracking.base import RunStatus

_GRACE_SECONDS = 10.0
_CHAINS_AT_ONCE = 2
"""How many entrants are worked on at once; their trials and trainings share the cores in any case."""

_KILLED = "its process was killed (out of memory, or by hand); run the same command again to go on from what is stored"

_log = logging.getLogger(__name__)


def run_locally(config: PodiumConfig, console: Console, command: str) -> None:
    """Run the graph, draw its progress, and print the answer.

    Every entrant is located before anything is computed, so that a missing one costs no training. One that fails later
    is left out; the others answer.

    Raises:
        PodiumError: every entrant failed, or another step did; what was finished before stays stored.
    """
    locate_entrants(config)
    directory = RunDirectory(Path(config.output), command)
    console.print(f"Run {directory.run_id}: {config.dataset.name}, {', '.join(config.entrants)}", highlight=False)
    local = None
    try:
        local = LocalRun(new_run(config, directory.run_id), directory)
        with progress_view(directory.events, console):
            local.go()
    except (KeyboardInterrupt, PodiumError) as error:
        stopped = isinstance(error, KeyboardInterrupt)
        directory.finish("stopped" if stopped else "failed")
        if local is not None:
            tags = {} if stopped else {"podium.error": str(error)}
            _end_parent(local.run, "KILLED" if stopped else "FAILED", tags, quietly=True)
        raise
    record = cast(ReportRecord, local.records[STEPS[-1].title()])
    store, issues = open_store(config), local.records["select"].artifacts.get(LABEL_ISSUES)
    shutil.copyfile(store.fetch(record.artifacts["report"]) / HTML_FILE, directory.path / "report.html")
    directory.finish("done")
    _end_parent(local.run, "FINISHED", result_tags(local.records.values()))
    lines = dict(record.summary["lines"])
    if issues:
        shutil.copyfile(store.fetch(issues) / ISSUES_FILE, directory.path / ISSUES_FILE)
        lines["Labels"] += f"\n{directory.path / ISSUES_FILE}"
    lines["Report"] = f"{directory.path / 'report.html'}  (open it in a browser)"
    if config.dataset.predict_path:
        from podium.local.unlabelled import predict_unlabelled

        winner = cast(DecisionRecord, local.records["decide"]).winner or ""
        refit = local.records.get(step_named("refit").title(winner))
        model = store.fetch(refit.artifacts["model"]) if refit else None
        lines["Unseen"] = predict_unlabelled(config, winner, model, directory.path, command)
    if config.tracking.mode == "mlflow":
        lines["MLflow"] = how_to_open(redact(config.tracking.uri or ""))
    lines |= {"Store": str(config.store), "Logs": str(directory.path / "steps")}
    console.print()
    say_facts(console, lines, width=9)


def how_to_open(uri: str) -> str:
    """Where MLflow is, and how people look at it."""
    served = uri.startswith(("http://", "https://"))
    return f"{uri}  (open it in a browser)" if served else f"{uri}\nopen it with: mlflow ui --backend-store-uri {uri}"


def _end_parent(run: RunRecord, status: RunStatus, tags: Mapping[str, str], quietly: bool = False) -> None:
    """Tag and end the parent run in MLflow, if there is one; `quietly`: without hiding why the run ended."""
    if not run.mlflow_run_id:
        return
    try:
        tracker = tracker_for(run.config.tracking)
        tracker.set_tags(run.mlflow_run_id, tags)
        tracker.close(run.mlflow_run_id, status)
    except TrackingError as error:
        if not quietly:
            raise
        _log.warning("the run could not be marked %s in MLflow: %s", status, error)


class RunDirectory:
    """Files of one local run, in a new directory below `output`.

    Attributes:
        run_id: its name: the start time and six random digits.
        events: the file that every step appends its progress events to.

    Raises:
        StoreError: the directory cannot be written.
    """

    def __init__(self, output: Path, command: str) -> None:
        self.run_id = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        self.path = output / "runs" / self.run_id
        self.events = self.path / "events.jsonl"
        try:
            (self.path / "steps").mkdir(parents=True)
        except OSError as error:
            raise StoreError(f"the output directory must be writable, but got {error}; set output=DIR") from error
        self._about = {"status": "running", "command": command, "started_at": _now()}
        write_json(self.path / "run.json", self._about)
        link = self.path / ".latest"
        link.symlink_to(self.run_id)
        link.replace(self.path.parent / "latest")

    def environment(self) -> dict[str, str]:
        found = {"PODIUM_RUN_DIR": self.path, "PODIUM_EVENTS": self.events, "PODIUM_COMMAND": self._about["command"]}
        return {name: str(value) for name, value in found.items()}

    def steps(self) -> dict[str, dict[str, Any]]:
        """What the status file of each step that has started says, in order of start."""
        found = {file.parent.name: json.loads(file.read_text()) for file in self.path.glob("steps/*/status.json")}
        return dict(sorted(found.items(), key=lambda item: item[1]["started_at"]))

    def save_run(self, run: RunRecord) -> None:
        """Keep the record of the run, which the processes of its steps read."""
        run.save(self.path / RUN_FILE)

    def note(self, title: str, record: Record, line: str, **status: Any) -> None:
        """Keep the result of a step that no process of its own wrote, a line for its log, and its status."""
        record.save(record_file(self.path, title))
        with self.log_of(title).open("a") as log:
            log.write(f"{line}\n")
        status = {"started_at": time.time() - status.get("seconds", 0.0), **status}
        write_json(self.log_of(title).with_name("status.json"), status)

    def log_of(self, step: str) -> Path:
        return self.path / "steps" / step / "log.txt"

    def finish(self, status: str) -> None:
        seconds = {step: round(fields.get("seconds", 0.0), 3) for step, fields in self.steps().items()}
        ended = {"status": status, "finished_at": _now(), "step_seconds": seconds}
        write_json(self.path / "run.json", {**self._about, **ended})


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


class LocalRun:
    """One run on this machine.

    Attributes:
        run: its record; it names the parent run in MLflow once a step had to be computed.
        records: the results so far, by title of the step.
    """

    def __init__(self, run: RunRecord, directory: RunDirectory) -> None:
        self.run = run
        self.records: dict[str, Record] = {}
        self._directory = directory
        self._store = open_store(run.config)
        self._opening = threading.Lock()
        self._opened = False
        self._failed = threading.Event()
        directory.save_run(run)

    def go(self) -> None:
        """Bring every step to its result.

        Raises:
            InputError: a step found its input unusable.
            StepFailed: a step failed; the message is the step's own, with the path of its log.
            TrackingError: the parent run could not be opened.
            KeyboardInterrupt: the run was stopped; every child has ended.
        """
        with (
            _stopping_children(),
            variables_set(self._directory.environment()),
            ThreadPoolExecutor(_CHAINS_AT_ONCE) as pool,
        ):
            try:
                for group in chains(lambda: self.run.config.entrants):
                    for ended in [pool.submit(self._follow, chain) for chain in group]:
                        ended.result()
                    self._check_entrants()
            except KeyboardInterrupt:
                # A step may have started its process after the signal came.
                self._failed.set()
                end_descendants(_GRACE_SECONDS)
                raise

    def _check_entrants(self) -> None:
        """Raise the errors of the entrants if none is left."""
        failed = {one.entrant: one for one in self.records.values() if isinstance(one, FailedEntrant)}
        if failed.keys() == self.run.config.entrants.keys():
            raise all_failed(list(failed.values()))

    def _follow(self, chain: Sequence[Node]) -> None:
        """Do the steps of a chain in turn, until one of this or another chain ends the run."""
        for step, entrant in chain:
            if self._failed.is_set():
                return
            inputs = inputs_of(step, entrant, self.run, self.records)
            try:
                found = self.records[step.title(entrant)] = (
                    self._skipped(step, inputs) or self._stored(step, inputs) or self._computed(step, inputs)
                )
                if isinstance(found, PlanRecord):
                    self.run = planned(self.run, found)
                    self._directory.save_run(self.run)
            except BaseException:
                self._failed.set()
                raise

    def _skipped(self, step: Step, inputs: StepInputs) -> Record | None:
        """What a step hands on whose entrant failed before it, noted in the run directory."""
        if not (step.per_entrant and inputs.failed):
            return None
        failed, title = inputs.failed[0], step.title(inputs.entrant)
        reason = f"step {failed.title} failed"
        emit("step_skipped", step=title, reason=reason)
        self._directory.note(title, failed, f"skipped: {reason}", status="skipped", reason=reason)
        return failed

    def _stored(self, step: Step, inputs: StepInputs) -> Record | None:
        """The stored result, noted in the run directory as that of a step."""
        started, title = time.time(), step.title(inputs.entrant)
        try:
            key = step.key(inputs)
            found = step.stored(self._store, inputs, key)
        except PodiumError:
            # The step's process meets the same error, and reports it with its log and status.
            return None
        if found is not None:
            how = "reused" if step.skipped(inputs, key) is None else "skipped"
            emit("step_started", step=title, log=None)
            emit("step_finished", step=title, how=how, key=key.digest, seconds=0.0, reason=getattr(found, "reason", ""))
            line = f"{how} {found.kind}/{found.key}, made {found.created_at:%Y-%m-%d %H:%M}"
            self._directory.note(title, found, line, status="done", seconds=time.time() - started)
        return found

    def _computed(self, step: Step, inputs: StepInputs) -> Record:
        """The result of the step's own process; the first one opens the parent run in MLflow."""
        with self._opening:
            if not self._opened:
                self.run = open_parent(self.run, {"podium.directory": str(self._directory.path)})
                self._directory.save_run(self.run)
                self._opened = True
        title = step.title(inputs.entrant)
        log = self._directory.log_of(title)
        arguments = [str(self._directory.path), step.name, *([inputs.entrant] if inputs.entrant else [])]
        # Ctrl-C reaches it, too, and it ends with this process.
        with Process([sys.executable, "-m", "podium.stages.process", *arguments], log, own_session=False) as process:
            code = process.wait()
        if code == 0:
            return step.read(record_file(self._directory.path, title))
        error = self._failure(title)
        if not isinstance(error, ProcessKilled) or not step.per_entrant or code in (-signal.SIGTERM, -signal.SIGINT):
            raise error
        # It could not say so itself.
        failed = FailedEntrant(
            entrant=inputs.entrant, step=step.name, reason=type(error).__name__, error=_KILLED, log=str(log)
        )
        seconds = time.time() - self._directory.steps()[title]["started_at"]
        self._directory.note(title, failed, _KILLED, status="failed", seconds=seconds, error={"message": _KILLED})
        emit("step_failed", step=title, seconds=seconds, error=_KILLED, stopped=False)
        return failed

    def _failure(self, title: str) -> PodiumError:
        log, status = self._directory.log_of(title), self._directory.steps().get(title)
        if status is None:
            tail = "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-15:])
            return StepFailed(f"step {title}: its process could not start\n{tail}\n  log: {log}")
        if error := status.get("error"):
            cls = InputError if error["exit_code"] == InputError.exit_code else StepFailed
            return cls(f"step {title}: {error['message']}\n  log: {log}")
        return ProcessKilled(f"step {title}: {_KILLED}\n  log: {log}")


@contextlib.contextmanager
def _stopping_children() -> Iterator[None]:
    """On SIGINT or SIGTERM end every descendant, then raise KeyboardInterrupt."""

    def stop(signum: int, frame: FrameType | None) -> None:
        threading.Thread(target=end_descendants, args=(_GRACE_SECONDS,), daemon=False).start()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

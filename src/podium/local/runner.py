"""Runs the graph on this machine: what is stored is taken as it is, and what is missing runs in a process of its own.

The steps are those of `podium.stages.steps`, so a run whose results are all stored starts no process and loads neither
torch nor MLflow. A step's process writes its own log, status and result below the run directory; this module reads
them back.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

from podium.errors import InputError, PodiumError, StepFailed
from podium.events import emit
from podium.execution.descendants import end_descendants
from podium.execution.environment import variables_set
from podium.execution.launch import Process
from podium.local.rundir import RunDirectory
from podium.records import Record, RunRecord
from podium.stages.prepare import open_parent
from podium.stages.process import record_file
from podium.stages.step import Step, StepInputs, open_store
from podium.stages.steps import Node, chains, inputs_of

_GRACE_SECONDS = 10.0
_CHAINS_AT_ONCE = 2
"""How many backbones are worked on at once; their trials and trainings share the cores in any case."""


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
                for group in chains(self.run.config.backbones):
                    for ended in [pool.submit(self._follow, chain) for chain in group]:
                        ended.result()
            except KeyboardInterrupt:
                # A step may have started its process after the signal came.
                self._failed.set()
                end_descendants(_GRACE_SECONDS)
                raise

    def _follow(self, chain: Sequence[Node]) -> None:
        """Do the steps of a chain in turn, until one of this or another chain fails."""
        for step, backbone in chain:
            if self._failed.is_set():
                return
            title = step.title(backbone)
            inputs = inputs_of(step, backbone, self.run, self.records)
            try:
                self.records[title] = self._stored(step, inputs) or self._computed(step, inputs)
            except BaseException:
                self._failed.set()
                raise

    def _stored(self, step: Step, inputs: StepInputs) -> Record | None:
        """The stored result, noted in the run directory as that of a step."""
        started, title = time.time(), step.title(inputs.backbone)
        try:
            key = step.key(inputs)
            found = step.stored(self._store, inputs, key)
        except PodiumError:
            # The step's process meets the same error, and reports it with its log and status.
            return None
        if found is not None:
            emit("step_started", step=title, log=None)
            emit("step_finished", step=title, how="reused", key=key.digest, seconds=0.0)
            self._directory.note_reused(title, found, started)
        return found

    def _computed(self, step: Step, inputs: StepInputs) -> Record:
        self._open_parent()
        title = step.title(inputs.backbone)
        log = self._directory.log_of(title)
        arguments = [str(self._directory.path), step.name, *([inputs.backbone] if inputs.backbone else [])]
        # Ctrl-C reaches it, too, and it ends with this process.
        with Process([sys.executable, "-m", "podium.stages.process", *arguments], log, own_session=False) as process:
            if process.wait() != 0:
                raise self._failure(title)
        return step.record.read(record_file(self._directory.path, title))

    def _open_parent(self) -> None:
        """Open the parent run in MLflow: a run that computes nothing leaves none."""
        with self._opening:
            if not self._opened:
                self.run = open_parent(self.run, {"podium.directory": str(self._directory.path)})
                self._directory.save_run(self.run)
                self._opened = True

    def _failure(self, title: str) -> PodiumError:
        log = self._directory.log_of(title)
        status = next((step for step in self._directory.steps() if step.step == title), None)
        if status is not None and status.status == "failed" and status.error:
            cls = InputError if status.error["exit_code"] == InputError.exit_code else StepFailed
            return cls(f"step {title}: {status.error['message']}\n  log: {log}")
        if status is not None:
            return StepFailed(
                f"step {title}: its process was killed (out of memory, or by hand); run the same command again to "
                f"go on from what is stored\n  log: {log}"
            )
        tail = "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-15:])
        return StepFailed(f"step {title}: its process could not start\n{tail}\n  log: {log}")


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

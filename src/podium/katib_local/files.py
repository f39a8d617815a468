"""The files that show a running Katib study: `experiment.yaml`, and one Trial for each trial."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from podium.hpo.engines.embedded import log_of
from podium.katib.experiment import KatibExperiment
from podium.katib.trial import trial_name
from podium.katib_local.status import ExperimentStatus, trial_resource
from podium.records import TrialRecord
from podium.strict_yaml import kubernetes_yaml

_PAUSE_SHARE = 10.0
"""Time between two writes, in times of what the last one took: a long list of trials costs no more than a tenth."""


class StudyFiles:
    """Where the files of a study lie below its directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.experiment = directory / "experiment.yaml"
        self.trials = directory / "trials"
        self.logs = directory / "logs"
        self.metrics = directory / "metrics"
        self.events = directory / "events.jsonl"


class StatusWriter:
    """Context manager that keeps the files of a study up to date, from a thread of its own.

    Every file is replaced as a whole. At the end of the context everything is written.
    """

    def __init__(self, katib: KatibExperiment, files: StudyFiles, status: ExperimentStatus) -> None:
        self._katib = katib
        self._files = files
        self._status = status
        self._trials: dict[int, TrialRecord] = {}
        self._changed: set[int] = set()
        self._lock = threading.Lock()
        self._dirty = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="status", daemon=True)

    def __enter__(self) -> Self:
        self._files.trials.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._dirty.set()
        self._thread.join()
        self._write()

    def show(self, trial: TrialRecord) -> None:
        """Take in a trial as it is now."""
        with self._lock:
            self._trials[trial.number] = trial
            self._changed.add(trial.number)
        self._dirty.set()

    def complete(self) -> None:
        """The experiment is over: its running trials were stopped with it."""
        with self._lock:
            self._changed |= {number for number, trial in self._trials.items() if trial.status == "running"}

    def resource(self) -> dict[str, Any]:
        """The Experiment as it stands."""
        with self._lock:
            trials = [self._trials[number] for number in sorted(self._trials)]
        return self._status.resource(self._katib, trials, datetime.now(UTC))

    def _follow(self) -> None:
        while self._dirty.wait() and not self._done.is_set():
            self._dirty.clear()
            started = time.monotonic()
            # A disk that is full may have room later; the write at the end of the context says if it has not.
            with suppress(OSError):
                self._write()
            self._done.wait(_PAUSE_SHARE * (time.monotonic() - started))

    def _write(self) -> None:
        with self._lock:
            changed = [self._trials[number] for number in sorted(self._changed)]
            self._changed.clear()
        try:
            for trial in changed:
                log = log_of(self._files.logs, trial.number)
                resource = trial_resource(self._katib, trial, log, self._status.completed)
                _replace(
                    self._files.trials / f"{trial_name(self._katib, trial.number)}.yaml", kubernetes_yaml(resource)
                )
            _replace(self._files.experiment, kubernetes_yaml(self.resource()))
        except OSError:
            with self._lock:
                self._changed |= {trial.number for trial in changed}
            raise


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text)
    temporary.replace(path)

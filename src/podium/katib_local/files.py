"""The files that show a local study: `experiment.yaml`, and one Trial for each trial."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from podium.hpo.engines.embedded import log_of
from podium.hpo.progress import Outcome
from podium.jsonfile import write_text
from podium.katib.experiment import KatibExperiment, trial_name
from podium.katib_local.status import experiment_resource, trial_resource
from podium.records import TrialRecord
from podium.strict_yaml import kubernetes_yaml

_EVERY_CHANGE = 200
"""Up to this many trials `experiment.yaml`, which lists all of them, is written at every change; with twice as many at
every second one, so that a change costs no more in a long study."""


class StudyFiles:
    """Where the files of a study are below its directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.experiment = directory / "experiment.yaml"
        self.trials = directory / "trials"
        self.logs = directory / "logs"
        self.metrics = directory / "metrics"
        self.events = directory / "events.jsonl"


class StatusWriter:
    """Keeps the files of a study up to date; each is replaced as a whole.

    Attributes:
        outcome: of the study; None while it goes on.
    """

    def __init__(
        self, katib: KatibExperiment, files: StudyFiles, trials: Sequence[TrialRecord], outcome: Outcome | None
    ) -> None:
        """Start with the trials of earlier sessions, which the first write shows."""
        self.outcome = outcome
        self._katib = katib
        self._files = files
        self._trials = {trial.number: trial for trial in trials}
        self._changed = set(self._trials)
        self._changes = 0

    def show(self, trial: TrialRecord) -> None:
        """Show a trial as it is now."""
        if self._trials.get(trial.number) == trial:
            return
        self._trials[trial.number] = trial
        self._changed.add(trial.number)
        self._changes += 1
        # A disk that is full may have room later; the last write says if it has not.
        with suppress(OSError):
            if self._changes * _EVERY_CHANGE >= len(self._trials):
                self.write()
            else:
                self._write_trials()

    def resource(self) -> dict[str, Any]:
        """The Experiment as it is now."""
        trials = [self._trials[number] for number in sorted(self._trials)]
        return experiment_resource(self._katib, trials, self.outcome)

    def write(self) -> None:
        """Write what changed since the last write."""
        self._write_trials()
        write_text(self._files.experiment, kubernetes_yaml(self.resource()))
        self._changes = 0

    def _write_trials(self) -> None:
        over = self.outcome is not None
        running = {number for number, trial in self._trials.items() if over and trial.status == "running"}
        for number in sorted(self._changed | running):
            trial, log = self._trials[number], log_of(self._files.logs, number)
            path = self._files.trials / f"{trial_name(self._katib, number)}.yaml"
            write_text(path, kubernetes_yaml(trial_resource(self._katib, trial, log, over)))
            self._changed.discard(number)

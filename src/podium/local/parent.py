"""The parent run in MLflow, as the local runner sees it: tagged while the steps run, ended as the run ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping

from podium.config.schema import TrackingConfig
from podium.errors import TrackingError
from podium.local.rundir import RunDirectory
from podium.tracking import tracker_for
from podium.tracking.base import RunStatus

_POLL_SECONDS = 0.2


class ParentRun:
    """Follows the parent run that `prepare` opens.

    Loading MLflow takes longer than a reused step, so a thread does it while the steps run.
    """

    def __init__(self, tracking: TrackingConfig, directory: RunDirectory) -> None:
        self._tracker = tracker_for(tracking)
        self._directory = directory
        self._over = threading.Event()
        self._run_id = ""
        self._error: TrackingError | None = None
        self._thread = threading.Thread(target=self._await, daemon=True)
        self._thread.start()

    def end(self, status: RunStatus, tags: Mapping[str, str]) -> None:
        """Tag and end the parent run, if it was opened.

        Raises:
            TrackingError: MLflow refused or did not answer.
        """
        self._over.set()
        self._thread.join()
        if self._error:
            raise self._error
        if self._run_id:
            self._tracker.set_tags(self._run_id, tags)
            self._tracker.close(self._run_id, status)

    def _await(self) -> None:
        """Wait until the run is open, and say where its files are."""
        while not (run_id := self._opened()):
            if self._over.wait(_POLL_SECONDS):
                run_id = self._opened()
                break
        if not run_id:
            return
        try:
            self._tracker.set_tags(run_id, {"podium.directory": str(self._directory.path)})
            self._run_id = run_id
        except TrackingError as error:
            self._error = error

    def _opened(self) -> str:
        if not self._directory.events.exists():
            return ""
        for line in self._directory.events.read_text().splitlines():
            if '"run_opened"' in line:
                return str(json.loads(line)["mlflow_run_id"])
        return ""

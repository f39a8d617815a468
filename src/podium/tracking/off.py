"""The tracker of `tracking.mode=off`: records nothing, and says so when asked for what it would have recorded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from typing_extensions import override

from podium.errors import TrackingError
from podium.records import DataRecord, Incumbent, ModelRecord, Move, TrialRecord
from podium.records.moves import How
from podium.tracking.base import CHAMPION, RunStatus, TrackedModel, TrackedRun, Tracker


class OffTracker(Tracker):
    """Ids are empty, there is no incumbent, nothing is registered or moved, and lineage raises `TrackingError`."""

    @property
    @override
    def uri(self) -> str:
        return "off"

    @override
    def open_run(self, name: str, tags: Mapping[str, str], run_id: str | None = None) -> str:
        return ""

    @override
    def open_step(self, parent: str, name: str, tags: Mapping[str, str], run_id: str | None = None) -> str:
        return ""

    @override
    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        return

    @override
    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        return

    @override
    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        return

    @override
    def log_file(self, run_id: str, path: Path, folder: str = "") -> None:
        return

    @override
    def log_input(self, run_id: str, data: DataRecord, source: str) -> None:
        return

    @override
    def log_trial(self, step_run_id: str, trial: TrialRecord) -> None:
        return

    @override
    def log_model(self, run_id: str, model: ModelRecord, uri: str) -> str:
        return ""

    @override
    def close(self, run_id: str, status: RunStatus) -> None:
        return

    @override
    def incumbent(self, model_name: str) -> Incumbent | None:
        return None

    @override
    def register(
        self,
        model_name: str,
        run_id: str,
        path: Path,
        model: ModelRecord,
        *,
        variant: str = "eager",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        return ""

    @override
    def download_model(self, model_name: str, version: str, folder: Path) -> Path:
        _refuse()

    @override
    def set_challenger(self, model_name: str, version: str) -> None:
        _refuse()

    @override
    def move_champion(
        self,
        model_name: str,
        version: str,
        *,
        how: How,
        by: str,
        reason: str,
        decision: str = "",
    ) -> Move:
        _refuse()

    @override
    def moves(self, model_name: str) -> list[Move]:
        return []

    @override
    def run(self, run_id: str) -> TrackedRun | None:
        _refuse()

    @override
    def runs(self, tags: Mapping[str, str]) -> list[TrackedRun]:
        _refuse()

    @override
    def steps(self) -> list[TrackedRun]:
        _refuse()

    @override
    def registered(self, model_name: str, selector: str = CHAMPION) -> TrackedModel | None:
        _refuse()

    @override
    def versions(self, model_key: str) -> list[TrackedModel]:
        _refuse()

    @override
    def read_text(self, run_id: str, file: str) -> str | None:
        _refuse()


def _refuse() -> NoReturn:
    raise TrackingError("tracking.mode=off keeps no lineage, but it was asked for; run with tracking.mode=mlflow")

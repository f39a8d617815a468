"""Records to track, and a real server to track them at."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

from podium.records import ArtifactRef, DataRecord, Interval, ModelRecord, TrialRecord

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def digest(letter: str) -> str:
    return letter * 64


def data_record(key: str = digest("d"), files: int = 2) -> DataRecord:
    return DataRecord(
        key=key,
        name="news",
        task="text-classification",
        labels=("business", "sport"),
        rows={"train": 70, "validation": 10, "test": 20},
        label_counts={"train": {"business": 35, "sport": 35}},
        folds=3,
        read_rows=101,
        duplicates=1,
        rejected=0,
        sources={f"part-{i:04d}.csv": f"{i:064x}" for i in range(1, files + 1)},
    )


def trial_record(number: int, folds: int = 3, score: float | None = 0.8, **changes: object) -> TrialRecord:
    values = {
        "number": number,
        "params": {"learning_rate": 1e-4 * (number + 1), "batch_size": 16},
        "status": "succeeded",
        "fold_scores": {str(k): 0.7 + 0.1 * k for k in range(folds)},
        "fold_metrics": {str(k): {"accuracy": 0.75, "macro_f1": 0.7 + 0.1 * k} for k in range(folds)},
        "fold_seconds": {str(k): 2.0 for k in range(folds)},
        "score": score,
        "started_at": BEGIN + timedelta(minutes=number),
        "finished_at": BEGIN + timedelta(minutes=number, seconds=7),
    }
    return TrialRecord.model_validate(values | changes)


def model_record(key: str = digest("f"), model_digest: str = digest("e"), **changes: object) -> ModelRecord:
    score = Interval(value=0.875, low=0.8, high=0.9, confidence=0.95, method="bootstrap")
    values = {
        "key": key,
        "parents": {"study": digest("5"), "data": digest("d")},
        "artifacts": {"model": ArtifactRef(name="model", digest=model_digest, files=5, size_bytes=10)},
        "entrant": "bert.tiny/2",
        "task": "text-classification",
        "trial": 1,
        "params": {"learning_rate": 2e-4},
        "labels": ("business", "sport"),
        "parameters": 4_400_000,
        "cv_score": 0.81,
        "metric": "macro_f1",
        "metrics": {"macro_f1": score, "accuracy": score},
    }
    return ModelRecord.model_validate(values | changes)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A real `mlflow server` on sqlite, in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.arguments = [
            *("server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", f"sqlite:///{self.folder}/server.db"),
            *("--artifacts-destination", str(self.folder / "artifacts"), "--workers", "1"),
        ]
        self.environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *self.arguments],
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                env={**os.environ, **self.environment},
            )
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return
            except OSError:
                assert self.process.poll() is None, (self.folder / "server.log").read_text()
                time.sleep(0.1)
        raise AssertionError((self.folder / "server.log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

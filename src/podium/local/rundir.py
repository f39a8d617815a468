"""The run directory: what one local run leaves behind for people.

runs/<run id>/run.json       the command, when it ran, and how it ended
runs/<run id>/record.json    the run: its resolved config, its ids, and the champion it began with
runs/<run id>/events.jsonl   progress events of all steps
runs/<run id>/steps/<step>/  log.txt, status.json, record.json
runs/<run id>/report.html    the report
runs/latest                  link to the newest run
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from podium.errors import StoreError
from podium.jsonfile import write_json
from podium.records import Record, RunRecord
from podium.stages.process import RUN_FILE, record_file


@dataclass(frozen=True)
class StepStatus:
    """How a step ended, read back from its status file."""

    step: str
    status: str
    seconds: float
    error: dict[str, Any] | None


@dataclass(frozen=True)
class RunDirectory:
    """Files of one local run."""

    path: Path

    @classmethod
    def create(cls, output: Path, command: str) -> RunDirectory:
        """Make a new run directory below `output`.

        Raises:
            StoreError: the directory cannot be written.
        """
        run_id = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        path = output / "runs" / run_id
        try:
            (path / "steps").mkdir(parents=True)
        except OSError as error:
            raise StoreError(f"the output directory must be writable, but got {error}; set output=DIR") from error
        directory = cls(path)
        directory._write(status="running", command=command, started_at=_now())
        link = path / ".latest"
        link.symlink_to(run_id)
        link.replace(path.parent / "latest")
        return directory

    @property
    def run_id(self) -> str:
        """Name of the run: its start time and six random digits."""
        return self.path.name

    @property
    def events(self) -> Path:
        """The file that every step appends its progress events to."""
        return self.path / "events.jsonl"

    def environment(self) -> dict[str, str]:
        """Environment variables by which the processes of the steps find this directory."""
        return {
            "PODIUM_RUN_DIR": str(self.path),
            "PODIUM_EVENTS": str(self.events),
            "PODIUM_COMMAND": str(self._read()["command"]),
        }

    def steps(self) -> list[StepStatus]:
        """The steps that have started, in order of start."""
        found = []
        for file in self.path.glob("steps/*/status.json"):
            fields = json.loads(file.read_text())
            status = StepStatus(file.parent.name, fields["status"], fields.get("seconds", 0.0), fields.get("error"))
            found.append((fields["started_at"], status))
        return [status for _, status in sorted(found, key=lambda item: item[0])]

    def save_run(self, run: RunRecord) -> None:
        """Keep the record of the run, which the processes of its steps read."""
        run.save(self.path / RUN_FILE)

    def note_reused(self, title: str, record: Record, started: float) -> None:
        """Keep the stored result that a step took, its status, and a line for its log."""
        record.save(record_file(self.path, title))
        with self.log_of(title).open("a") as log:
            log.write(f"reused {record.kind}/{record.key}, stored {record.created_at:%Y-%m-%d %H:%M}\n")
        seconds = time.time() - started
        write_json(
            self.log_of(title).with_name("status.json"), {"status": "done", "started_at": started, "seconds": seconds}
        )

    def log_of(self, step: str) -> Path:
        """The log of one step."""
        return self.path / "steps" / step / "log.txt"

    def finish(self, status: str, report: Path | None = None) -> None:
        """Record how the run ended, and put the report at the top."""
        if report:
            shutil.copyfile(report, self.path / "report.html")
        seconds = {step.step: round(step.seconds, 3) for step in self.steps()}
        self._write(**{**self._read(), "status": status, "finished_at": _now(), "step_seconds": seconds})

    def _read(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads((self.path / "run.json").read_text())
        return fields

    def _write(self, **fields: Any) -> None:
        write_json(self.path / "run.json", fields)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")

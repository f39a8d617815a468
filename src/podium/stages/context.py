"""What surrounds a step in its process: its log, its status file, its signals.

The local runner names a run directory in `PODIUM_RUN_DIR`; there a step keeps `steps/<step>/log.txt` and
`status.json`. Without one (a pod) output stays on the standard streams.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from podium.errors import PodiumError, disk_full_message, is_disk_full
from podium.events import ENV_STEP, emit
from podium.execution.signals import sigterm_unwinds
from podium.jsonfile import write_json

ENV_RUN_DIR = "PODIUM_RUN_DIR"


@contextmanager
def step_context(step: str) -> Iterator[Path | None]:
    """Run the body as the step named `step`; yields its directory, or None outside a run directory.

    An exception is written to the status file and raised again.
    SIGTERM becomes `SystemExit`, so that a stopped step releases what it holds.
    """
    os.environ[ENV_STEP] = step
    root = os.environ.get(ENV_RUN_DIR)
    directory = Path(root) / "steps" / step if root else None
    if directory:
        directory.mkdir(parents=True, exist_ok=True)
        _redirect_output(directory / "log.txt")
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True
    )
    started = time.time()
    _write_status(directory, status="running", pid=os.getpid(), started_at=started)
    emit("step_started", log=str(directory / "log.txt") if directory else None)
    try:
        with sigterm_unwinds():
            yield directory
    except BaseException as error:
        failure = _failure(error)
        _write_status(directory, status="failed", started_at=started, seconds=time.time() - started, error=failure)
        stopped = not isinstance(error, Exception)
        emit("step_failed", seconds=time.time() - started, error=failure["message"], stopped=stopped)
        raise
    _write_status(directory, status="done", started_at=started, seconds=time.time() - started)


def _failure(error: BaseException) -> dict[str, Any]:
    """What a status file says of an exception: its message, and the exit code of the command that ends with it."""
    if isinstance(error, PodiumError):
        return {"message": str(error), "exit_code": error.exit_code}
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return {"message": "stopped by a signal", "exit_code": 130}
    message = disk_full_message(error) if is_disk_full(error) else f"{type(error).__name__}: {error}"
    return {"message": message, "exit_code": 1}


def _write_status(directory: Path | None, **fields: Any) -> None:
    if directory:
        write_json(directory / "status.json", fields)


def _redirect_output(log: Path) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)

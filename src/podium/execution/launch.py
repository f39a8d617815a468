"""Starts a program as a process in a session of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def own_session(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, its output appended to `log`; it and its children are gone at the end.

    Its standard input stays open meanwhile, so that it can tell when this process has died.
    """
    with log.open("ab") as stream:
        process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=stream, stderr=stream, env=environment, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin:
            process.stdin.close()

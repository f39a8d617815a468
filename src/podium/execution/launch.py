"""Starts programs as processes: Podium's own, which read a spec and write a result, and foreign ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel

from podium.errors import ComputationFailed, StoreError, TimeLimitExceeded
from podium.execution.ending import WATCH_PARENT, descendants, kill_group, kill_tree, send, sigterm_unwinds
from podium.execution.failures import PROCESS, Purpose, death, excerpt, out_of_memory_kills, rebuild
from podium.execution.slots import core_slots
from podium.jsonfile import write_text


class Process:
    """A started program. As a context manager, it and all that it started are gone at the end.

    Its standard output and error are appended to the file `log`, and errors call it by its `purpose`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        *,
        purpose: Purpose = PROCESS,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        pass_fds: Sequence[int] = (),
        watches_parent: bool = True,
        own_session: bool = True,
    ) -> None:
        """Start the program.

        Args:
            log: made when needed, with its directory.
            environment: all its variables; None: those of this process.
            directory: where it runs; None: where this process runs.
            watches_parent: whether it calls `end_with_parent`; its standard input is then a pipe that stays open as
                long as this process lives. A foreign program gets an empty standard input.
            own_session: whether it leads a session of its own, so that Ctrl-C in a terminal does not reach it.

        Raises:
            ComputationFailed: there is no such program, or it cannot be run.
        """
        self.log = log
        self.purpose = purpose
        self._own_session = own_session
        self._kills = out_of_memory_kills()
        variables = dict(os.environ if environment is None else environment)
        if watches_parent:
            variables[WATCH_PARENT] = "1"
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with log.open("ab") as output:
                self._child = subprocess.Popen(
                    arguments,
                    stdin=subprocess.PIPE if watches_parent else subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=variables,
                    cwd=directory,
                    pass_fds=pass_fds,
                    start_new_session=own_session,
                )
        except (OSError, ValueError) as error:
            raise ComputationFailed(f"{self.purpose.name}: {arguments[0]!r} cannot be run: {error}") from error
        self.pid = self._child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self, seconds: float | None = None) -> int | None:
        """Exit code once it has ended, negative for a signal; None when it still runs after `seconds`."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, grace: float = 0) -> None:
        """End it and all that it started, `grace` seconds after SIGTERM at the latest; return once it is gone."""
        if grace and self._child.poll() is None:
            for descendant in descendants(self.pid):
                send(descendant, signal.SIGTERM)
            self._child.terminate()
            self.wait(grace)
        if self._child.poll() is None:
            kill_tree(self.pid)
        elif self._own_session:
            kill_group(self.pid)
        self._child.wait()
        if self._child.stdin:
            self._child.stdin.close()

    def failure(self) -> ComputationFailed | StoreError:
        """The error of its end, once it has ended without a result."""
        return death(self._child.wait(), self.log, self._kills, self.purpose)


def command(module: str, spec_file: Path, result_file: Path) -> list[str]:
    """The command line of one of Podium's programs (see `podium.execution.program`)."""
    return [sys.executable, "-m", module, "--spec", str(spec_file), "--result", str(result_file)]


def result_of(process: Process, result_file: Path) -> Any:
    """What a program of Podium, which has ended, wrote as its result; raises what the program raised."""
    if not result_file.is_file():
        raise process.failure()
    outcome = json.loads(result_file.read_text(encoding="utf-8"))
    if "error" in outcome:
        raise rebuild(outcome["error"], process.log, process.purpose)
    return outcome["result"]


def run_program(
    module: str,
    spec: BaseModel,
    folder: Path,
    log: Path,
    *,
    purpose: Purpose,
    environment: Mapping[str, str],
    cores: int,
    limit: float | None = None,
    grace: float = 0,
) -> Any:
    """Run one of Podium's programs to its end, once enough cores are free, and return its result.

    The process and its children are gone when this returns or raises, also on SIGTERM. They end, too, when this process
    is killed.

    Args:
        module: the program, as `python -m` names it.
        folder: gets the files `spec.json` and `result.json`.
        limit: seconds that it may take.
        grace: how many seconds later it is stopped, if it does not keep to the limit by itself.

    Raises:
        PodiumError: what the program raised.
        OutOfMemory, ProcessKilled: a signal ended it.
        TimeLimitExceeded: it was stopped.
        ComputationFailed: it ended in any other way without a result.
    """
    spec_file, result_file = folder / "spec.json", folder / "result.json"
    write_text(spec_file, spec.model_dump_json())
    result_file.unlink(missing_ok=True)
    with (
        core_slots(cores),
        sigterm_unwinds(),
        Process(command(module, spec_file, result_file), log, purpose=purpose, environment=environment) as process,
    ):
        if process.wait(None if limit is None else limit + grace) is None:
            raise TimeLimitExceeded(
                f"{purpose.name} must end within {limit:g} s, but was still running {grace:g} s later and was killed"
                f"{purpose.time_advice and '; ' + purpose.time_advice}\n{excerpt(log)}"
            )
    return result_of(process, result_file)

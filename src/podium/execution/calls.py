"""Function calls in processes that are forks: how they are made, how their results come back, and how they end."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess, ForkServerProcess
from pathlib import Path
from typing import Any, TypeVar

from podium.errors import TimeLimitExceeded
from podium.execution.ending import end_with_parent, kill_group, kill_tree, send
from podium.execution.failures import PROCESS, Purpose, death, describe, excerpt, out_of_memory_kills, rebuild

T = TypeVar("T")
R = TypeVar("R")

WorkerProcess = ForkProcess | ForkServerProcess

_GONE_SECONDS = 5.0
"""How long a killed worker may take to be gone."""

_SERVER_DIED = 255
"""Exit code that `multiprocessing` gives a worker whose server died before it could say how the worker ended."""


class WorkerCall:
    """One function call in a process of its own, which has been started and uses `answer_with`. Use it from one thread.

    The other end of `answer` must be open in the worker only; errors name its `purpose` and its own `log`.
    """

    def __init__(
        self, process: WorkerProcess, answer: Connection, purpose: Purpose = PROCESS, log: Path | None = None
    ) -> None:
        self._process = process
        self._answer = answer
        self._purpose = purpose
        self._log = log
        self._kills = out_of_memory_kills()
        self._outcome: dict[str, Any] | None = None
        self._gone = False
        assert process.pid is not None
        self.pid = process.pid
        self.sentinel = process.sentinel

    def poll(self) -> bool:
        self._receive(0)
        return self._outcome is not None

    def wait(self, timeout: float | None = None) -> Any:
        """The function's result.

        Raises:
            PodiumError: what the function raised; an exception that is not Podium's comes as ComputationFailed.
            OutOfMemory, ProcessKilled: a signal ended the worker; KilledFromOutside if it came from outside.
            TimeLimitExceeded: `timeout` seconds passed; the worker has been killed.
        """
        self._receive(timeout)
        if self._outcome is None:
            self.kill()
            raise TimeLimitExceeded(
                f"{self._purpose.name} must end within {timeout} s, but was killed after that\n{excerpt(self._log)}"
            )
        if "error" in self._outcome:
            raise rebuild(self._outcome["error"], self._log, self._purpose)
        if "exit_code" in self._outcome:
            raise death(self._outcome["exit_code"], self._log, self._kills, self._purpose)
        return self._outcome["result"]

    def kill(self) -> None:
        """End it with SIGKILL unless it has ended; returns once it and its children are gone."""
        if not self._gone:
            self._signal()
            self._receive(None)
            self._reap()

    def is_gone(self) -> bool:
        """Whether its process is gone, which is some milliseconds after it has ended."""
        if not self._gone and self.poll() and connection.wait([self.sentinel], 0):
            self._reap()
        return self._gone

    def _receive(self, timeout: float | None) -> None:
        if self._outcome is not None or not connection.wait([self._answer, self.sentinel], timeout):
            return
        with suppress(EOFError, OSError):
            self._outcome = self._answer.recv() if self._answer.poll() else None
        # Nobody needs the worker after its answer, nor the children that it has left.
        self._signal()
        if self._outcome is None:
            self._process.join()
            code = self._process.exitcode
            self._outcome = {"exit_code": -signal.SIGKILL if code == _SERVER_DIED else code}
            self._reap()

    def _signal(self) -> None:
        """Send SIGKILL to what is left of the worker and its children."""
        if self._outcome is None:
            kill_tree(self.pid)
            return
        kill_group(self.pid)
        # `multiprocessing` takes a worker for dead when its server is, but an open pipe shows that it lives.
        if not self._hung_up(0):
            send(self.pid, signal.SIGKILL)

    def _reap(self) -> None:
        if not self._gone:
            self._hung_up(_GONE_SECONDS)
            self._process.join()
            self._answer.close()
            self._process.close()
            self._gone = True

    def _hung_up(self, timeout: float) -> bool:
        """Whether the worker's end of the pipe has been closed, as it is with the worker."""
        with suppress(EOFError, OSError):
            while self._answer.poll(timeout):
                self._answer.recv_bytes()
            return False
        return True


def wait_any(calls: Sequence[WorkerCall], timeout: float | None = None) -> list[WorkerCall]:
    """Wait until at least one of `calls` has ended, or `timeout` seconds have passed; returns those that have."""
    if calls and not any(call.poll() for call in calls):
        connection.wait([end for call in calls for end in (call.sentinel, call._answer)], timeout)
    return [call for call in calls if call.poll()]


def answer_with(function: Callable[[], Any], answer: Connection) -> None:
    """Call `function` in a worker and send its result or error to the `WorkerCall`."""
    try:
        outcome = {"result": function()}
    except BaseException as error:
        outcome = {"error": describe(error)}
        # The answer must be given even if the log is on a full disk.
        with suppress(OSError):
            traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    answer.send(outcome)
    answer.close()


def fork_each(
    function: Callable[[T], R],
    items: Iterable[T],
    at_once: int,
    on_result: Callable[[T, R], None],
    purpose: Purpose = PROCESS,
) -> None:
    """Call `function(item)` for every item in a fork of its own, at most `at_once` at a time.

    Results travel pickled; what the forks print goes where this process prints. The forks are gone when this returns
    or raises, and end with this process, even when it is killed. This process must not have used several threads to
    compute yet: a fork inherits none of them.

    As each call ends, `on_result` is called in this process with an item and its result. What a call raised is raised
    as by `WorkerCall.wait`.
    """
    context = multiprocessing.get_context("fork")
    waiting = list(items)
    running: dict[WorkerCall, T] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                item = waiting.pop(0)
                answer, sender = context.Pipe(duplex=False)
                process = context.Process(target=_run, args=(function, item, sender))
                process.start()
                sender.close()
                running[WorkerCall(process, answer, purpose)] = item
            for call in wait_any(list(running)):
                result = call.wait()
                call.kill()
                on_result(running.pop(call), result)
    finally:
        for call in running:
            call.kill()


def _run(function: Callable[[T], R], item: T, answer: Connection) -> None:
    # A fork keeps the pipe ends of its older siblings open, so they end after the younger ones.
    end_with_parent()
    answer_with(partial(function, item), answer)

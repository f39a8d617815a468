"""Calls in worker processes, which start in milliseconds: they are forks of a server that has loaded what they need."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, forkserver, spawn, util
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from podium.errors import TimeLimitExceeded
from podium.execution.descendants import kill_group, kill_tree
from podium.execution.environment import training_environment
from podium.execution.failures import PROCESS, Purpose, death, describe, excerpt, out_of_memory_kills, rebuild
from podium.execution.parent import end_with_parent
from podium.execution.slots import core_slots

FORK_SERVER = "PODIUM_FORK_SERVER"
"""What the fork server is to prepare, as JSON (see `podium.execution.fork_server`)."""

_HUGE_PAGES = {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Put what the server loads into huge pages where the kernel has them, since a fork copies their small table fast."""

_GONE_SECONDS = 5.0
"""How long a killed worker may take to be gone."""

_STARTS = 3
"""How often a worker is started before it is an error, because somebody may kill the server."""

_SERVER_DIED = 255
"""Exit code that `multiprocessing` gives a worker whose server died before it could say how the worker ended."""

_server_lock = threading.Lock()


class WorkerCall:
    """One function call in a worker process of its own, made by `WorkerPool.submit`. To be used from one thread."""

    def __init__(
        self, process: ForkServerProcess, request: Connection, answer: Connection, purpose: Purpose = PROCESS
    ) -> None:
        self._process = process
        self._request = request
        self._answer = answer
        self._purpose = purpose
        self._log = Path(os.devnull)
        self._kills = 0
        self._outcome: dict[str, Any] | None = None
        self._gone = False
        assert process.pid is not None
        self.pid = process.pid
        self.sentinel = process.sentinel

    def begin(self, pickled: bytes, log: Path) -> bool:
        """Send the pickled call to the waiting worker. False if the worker is dead; `wait` then raises its error."""
        self._log, self._kills = log, out_of_memory_kills()
        if self.poll():
            return False
        try:
            self._request.send_bytes(pickled)
        except OSError:
            return False
        finally:
            self._request.close()
        return True

    def poll(self) -> bool:
        """Whether it has ended."""
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
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _reap(self) -> None:
        if not self._gone:
            self._hung_up(_GONE_SECONDS)
            self._process.join()
            self._request.close()
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


class WorkerPool:
    """Runs functions in forks of a server that has loaded the modules that they need.

    Every call gets a fork of its own, so none sees what another left behind. While it runs, it holds as many of the
    machine's core slots as it has threads. Calls end with the pool, and with this process, even if that is killed.

    With each call one more worker is forked, which waits for the next call: forking takes longer than all else that a
    call needs, and so it is done while calls run.
    """

    def __init__(
        self, size: int, threads: int | None = 1, preload: Sequence[str] = (), purpose: Purpose = PROCESS
    ) -> None:
        """Start the server in the background; the first call waits for its imports.

        Args:
            size: most calls at a time; `submit` waits for one to end.
            threads: threads of every numeric library in a call. None is for calls that only start other programs: they
                keep this process's environment and take no core slots.
            preload: modules that the server imports, so that no call has to. A process has one server, and its first
                pool decides.
            purpose: what errors call one call.
        """
        self._size = size
        self._threads = threads
        self._preload = preload
        self._purpose = purpose
        self._calls: list[WorkerCall] = []
        self._waiting: list[WorkerCall] = []
        self._context = multiprocessing.get_context("forkserver")
        self._close_at_exit = util.Finalize(self, _kill_all, args=(self._calls, self._waiting), exitpriority=10)
        _start_server(threads, preload)

    def submit(self, function: Callable[..., Any], *args: Any, log: Path) -> WorkerCall:
        """Call `function(*args)` in a new worker; its standard output and error are appended to `log`.

        Function, arguments and result travel pickled. The call has this process's environment and working directory.

        Raises:
            ValueError: the function belongs to the main module, which a worker does not have.
        """
        if getattr(function, "__module__", None) == "__main__":
            raise ValueError(f"a call's function must be importable, but {function!r} belongs to the main module")
        while len(running := self.running()) >= self._size:
            self.wait_any(running)
        log.parent.mkdir(parents=True, exist_ok=True)
        pickled = bytes(
            ForkingPickler.dumps((function, args, log, _environment(self._threads), self._threads, Path.cwd()))
        )
        call = self._waiting.pop() if self._waiting else self._fork()
        if not call.begin(pickled, log):
            call.kill()
            call = self._fork()
            call.begin(pickled, log)
        self._calls.append(call)
        # If none can be forked, the next call raises the error.
        with suppress(EOFError, OSError):
            self._waiting.append(self._fork())
        return call

    def _fork(self) -> WorkerCall:
        """A worker that waits for its call."""
        receiver, request = self._context.Pipe(duplex=False)
        answer, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_run_call, args=(receiver, sender))
        for left in reversed(range(_STARTS)):
            # Starts another server if somebody killed it.
            _start_server(self._threads, self._preload)
            try:
                process.start()
                break
            except (EOFError, OSError):
                if not left:
                    raise
        receiver.close()
        sender.close()
        return WorkerCall(process, request, answer, self._purpose)

    def running(self) -> list[WorkerCall]:
        """The calls that have not ended, in the order they were submitted."""
        self._calls[:] = [call for call in self._calls if not call.is_gone()]
        return [call for call in self._calls if not call.poll()]

    @staticmethod
    def wait_any(calls: Sequence[WorkerCall], timeout: float | None = None) -> list[WorkerCall]:
        """Wait until at least one of `calls` has ended, or `timeout` seconds have passed; returns those that have."""
        ended = [call for call in calls if call.poll()]
        if not ended and calls:
            watched = [end for call in calls for end in (call.sentinel, call._answer)]
            connection.wait(watched, timeout)
            ended = [call for call in calls if call.poll()]
        return ended

    def close(self) -> None:
        """Kill the calls that still run, and return once all are gone."""
        _kill_all(self._calls, self._waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _environment(threads: int | None) -> dict[str, str]:
    return dict(os.environ) if threads is None else training_environment(threads)


def _start_server(threads: int | None, preload: Sequence[str]) -> None:
    """Start the fork server of this process unless it runs, with the environment that its libraries need."""
    with _server_lock:
        forkserver.set_forkserver_preload(["podium.execution.fork_server"])
        # How `multiprocessing` will name this process's main module to its workers.
        main = spawn.get_preparation_data("worker")
        prepared = {
            "parent": os.getpid(),
            "preload": list(preload),
            "main_name": main.get("init_main_from_name"),
            "main_file": main.get("init_main_from_path"),
        }
        wanted = {**_environment(threads), **_HUGE_PAGES, FORK_SERVER: json.dumps(prepared)}
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            forkserver.ensure_running()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _kill_all(*lists: list[WorkerCall]) -> None:
    for calls in lists:
        for call in list(calls):
            call.kill()


def _run_call(request: Connection, answer: Connection) -> None:
    """Wait for a request, make the call that it describes and send the outcome; end when the pool closes before."""
    os.setsid()
    end_with_parent()
    try:
        pickled = request.recv_bytes()
    except EOFError:
        return
    function, args, log, environment, threads, directory = pickle.loads(pickled)
    _redirect_output(log)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    try:
        with _cores(threads):
            outcome = {"result": function(*args)}
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


@contextmanager
def _cores(threads: int | None) -> Iterator[None]:
    """Wait for so many free cores and use them; None uses no cores of its own."""
    if threads is None:
        yield
        return
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
    with core_slots(threads):
        yield


def _redirect_output(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)

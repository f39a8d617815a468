"""Calls in worker processes, which start in milliseconds: they are forks of a server that has loaded what they need."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import pickle
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.machinery import ModuleSpec
from multiprocessing import forkserver, spawn, util
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Self

from podium.execution.calls import WorkerCall, answer_with, wait_any
from podium.execution.ending import end_with_parent, ending_with, signals_deferred
from podium.execution.environment import training_environment, variables_set
from podium.execution.failures import PROCESS, Purpose, out_of_memory_kills
from podium.execution.program import redirect_output
from podium.execution.slots import core_slots

_HUGE_PAGES = {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Put what the server loads into huge pages where the kernel has them, since a fork copies their small table fast."""

_STARTS = 3
"""How often a worker is started before it is an error, because somebody may kill the server."""

_FORK_SERVER = "PODIUM_FORK_SERVER"
"""What the fork server is to prepare, as JSON: its parent's id, modules to import, and its parent's main module."""

_server_lock = threading.Lock()
_preloaded: dict[str, None] = {}
"""The modules that the pools of this process asked for, in that order."""


class _PoolWorker(WorkerCall):
    """A worker of a pool, which waits for its call."""

    def __init__(self, process: ForkServerProcess, request: Connection, answer: Connection, purpose: Purpose) -> None:
        super().__init__(process, answer, purpose)
        self._request = request

    def begin(self, pickled: bytes, log: Path) -> bool:
        """Send the pickled call to the worker. False if the worker is dead; `wait` then raises its error."""
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
            preload: modules that the server imports, so that no call has to. A process has one server: one that runs
                already imports nothing more, and one that replaces it imports what all pools asked for.
            purpose: what errors call one call.
        """
        self._size = size
        self._threads = threads
        self._preload = preload
        self._purpose = purpose
        self._calls: list[WorkerCall] = []
        self._waiting: list[_PoolWorker] = []
        self._context = multiprocessing.get_context("forkserver")
        self._close_at_exit = util.Finalize(self, _kill_all, args=(self._calls, self._waiting), exitpriority=10)
        _start_server(threads, preload)

    def submit(self, function: Callable[..., Any], *args: Any, log: Path) -> WorkerCall:
        """Call `function(*args)` in a new worker; its standard output and error are appended to `log`.

        Function, arguments and result travel pickled, so the function must not belong to the main module, which a
        worker does not have. The call has this process's environment and working directory.
        """
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

    def _fork(self) -> _PoolWorker:
        """A worker that waits for its call."""
        receiver, request = self._context.Pipe(duplex=False)
        answer, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_run_call, args=(receiver, sender))
        for left in reversed(range(_STARTS)):
            # Starts another server if somebody killed it.
            _start_server(self._threads, self._preload)
            try:
                # A server that hears half a request, because Ctrl-C came in between, ends with a traceback.
                with signals_deferred():
                    process.start()
                break
            except (EOFError, OSError):
                if not left:
                    raise
        receiver.close()
        sender.close()
        return _PoolWorker(process, request, answer, self._purpose)

    def running(self) -> list[WorkerCall]:
        """The calls that have not ended, in the order they were submitted."""
        self._calls[:] = [call for call in self._calls if not call.is_gone()]
        return [call for call in self._calls if not call.poll()]

    wait_any = staticmethod(wait_any)

    def close(self) -> None:
        """Kill the calls that still run, and return once all are gone."""
        _kill_all(self._calls, self._waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _environment(threads: int | None) -> dict[str, str]:
    return dict(os.environ) if threads is None else training_environment(threads)


def _start_server(threads: int | None, preload: Sequence[str]) -> None:
    """Start the fork server of this process unless it runs, with the environment that its libraries need."""
    with _server_lock:
        _preloaded.update(dict.fromkeys(preload))
        forkserver.set_forkserver_preload([__name__])
        # How `multiprocessing` will name this process's main module to its workers.
        main = spawn.get_preparation_data("worker")
        prepared = [os.getpid(), [*_preloaded], main.get("init_main_from_name"), main.get("init_main_from_path")]
        wanted = {**_environment(threads), **_HUGE_PAGES, _FORK_SERVER: json.dumps(prepared)}
        with variables_set(wanted):
            forkserver.ensure_running()


def _kill_all(*lists: Sequence[WorkerCall]) -> None:
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
    redirect_output(log)
    os.environ.clear()
    os.environ.update(environment)
    # Looked up again: what the server's libraries found when they were imported is that of the server's environment.
    tempfile.tempdir = None
    os.chdir(directory)

    def call() -> Any:
        if threads is None:
            return function(*args)
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(threads)
        with core_slots(threads):
            return function(*args)

    answer_with(call, answer)


def _prepare_server(parent: int, preload: Sequence[str], main_name: str | None, main_file: str | None) -> None:
    """Load what the workers need, in the fork server before it serves."""
    # Once it serves, the server notices by itself if its parent is gone.
    with ending_with(parent):
        # Collections while torch is imported would take a fifth of the time.
        gc.disable()
        for module in preload:
            # What cannot be imported is an error of the call that needs it.
            with suppress(ImportError):
                import_module(module)
        # `multiprocessing` imports the parent's main module in every worker unless the server seems to have it. That
        # can take seconds (kfp's executor, a test runner), and functions of a main module cannot be called anyway.
        main = sys.modules["__main__"]
        if main_name:
            main.__spec__ = ModuleSpec(main_name, None)
        if main_file:
            main.__file__ = main_file
        # Garbage collections in the workers leave out what is this old, because they would copy its memory pages.
        gc.collect()
        gc.freeze()
        gc.enable()


if _FORK_SERVER in os.environ:
    _prepare_server(*json.loads(os.environ.pop(_FORK_SERVER)))

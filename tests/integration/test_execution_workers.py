from __future__ import annotations

import math
import operator
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import reduction
from pathlib import Path
from typing import Any

import psutil
import pytest

from podium.errors import ComputationFailed, KilledFromOutside, NonFiniteLoss, ProcessKilled, TimeLimitExceeded
from podium.execution.calls import WorkerCall
from podium.execution.workers import WorkerPool
from tests.support import PATIENCE_SECONDS, alive, assert_gone, eventually

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("preloaded")]

PARENT = """
import sys, time
from pathlib import Path
from podium.execution.workers import WorkerPool
pool = WorkerPool(2)
pool.submit(time.time, log=Path(sys.argv[1])).wait()
calls = [pool.submit(time.sleep, 600, log=Path(sys.argv[1])) for _ in range(2)]
print(*(call.pid for call in calls), flush=True)
time.sleep(600)
"""


def session(leader: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            found += [pid] if os.getsid(pid) == leader and alive(pid) else []
    return found


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    """A pool of two cores that are its own, warmed up."""
    directory = tmp_path_factory.mktemp("pool")
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(directory)
    try:
        with WorkerPool(2) as pool, WorkerPool(1, preload=["tabnanny"]):
            pool.submit(os.getpid, log=directory / "warm.txt").wait(PATIENCE_SECONDS)
            yield pool
    finally:
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before


def test_environment_threads_output_and_isolation(
    pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "logs" / "log.txt"
    monkeypatch.setenv("SET_AFTER_THE_SERVER_STARTED", "yes")
    question = "(__import__('torch').get_num_threads(), dict(__import__('os').environ))"
    threads, environment = pool.submit(eval, question, log=log).wait(PATIENCE_SECONDS)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    place = pool.submit(eval, "__import__('tempfile').gettempdir()", log=log).wait(PATIENCE_SECONDS)
    assert place == str(tmp_path), "not the one that the server looked up before"
    assert threads == 1 and environment["OMP_NUM_THREADS"] == "1"
    assert environment["SET_AFTER_THE_SERVER_STARTED"] == "yes"
    pool.submit(exec, "import os, sys; sys.leaked = 1; print('out'); os.system('echo err >&2')", log=log).wait(
        PATIENCE_SECONDS
    )
    assert sorted(log.read_text().split()) == ["err", "out"]
    assert pool.submit(eval, "hasattr(__import__('sys'), 'leaked')", log=log).wait(PATIENCE_SECONDS) is False


def test_errors_come_back_typed(pool: WorkerPool, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    raising = "from podium.errors import NonFiniteLoss; raise NonFiniteLoss('at step 3')"
    with pytest.raises(NonFiniteLoss, match="at step 3"):
        pool.submit(exec, raising, log=log).wait(PATIENCE_SECONDS)
    with pytest.raises(ComputationFailed, match=r"ZeroDivisionError(.|\n)*log\.txt"):
        pool.submit(operator.truediv, 1, 0, log=log).wait(PATIENCE_SECONDS)
    call = pool.submit(time.sleep, 60, log=log)
    os.kill(call.pid, signal.SIGKILL)
    with pytest.raises(KilledFromOutside, match="SIGKILL"):
        call.wait(PATIENCE_SECONDS)
    with pytest.raises(ProcessKilled, match="SIGSEGV") as crash:
        pool.submit(eval, "__import__('os').kill(__import__('os').getpid(), 11)", log=log).wait(PATIENCE_SECONDS)
    assert not isinstance(crash.value, KilledFromOutside)
    call = pool.submit(time.sleep, 60, log=log)
    with pytest.raises(TimeLimitExceeded, match="must end within"):
        call.wait(0.2)
    assert_gone(call.pid)
    with pytest.raises(ProcessKilled):
        call.wait()
    assert pool.submit(math.sqrt, 9, log=log).wait(PATIENCE_SECONDS) == 3, "a failed call must not harm the pool"


def test_large_results_come_back(pool: WorkerPool, tmp_path: Path) -> None:
    assert pool.submit(bytes, 5_000_000, log=tmp_path / "log.txt").wait(PATIENCE_SECONDS) == bytes(5_000_000)


def test_no_more_calls_than_the_size(pool: WorkerPool, tmp_path: Path) -> None:
    log, go = tmp_path / "log.txt", tmp_path / "go"
    waiting = f"until [ -e {go} ]; do sleep 0.01; done"
    slow, quick = pool.submit(time.sleep, 600, log=log), pool.submit(os.system, waiting, log=log)
    assert pool.running() == [slow, quick]
    assert pool.wait_any([slow, quick], timeout=0.01) == []
    go.touch()
    third = pool.submit(time.sleep, 600, log=log)
    assert quick.poll() and pool.running() == [slow, third]
    slow.kill()
    assert pool.wait_any([slow, third]) == [slow]
    third.kill()


def test_children_of_a_call_end_with_it(pool: WorkerPool, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    spawning = "__import__('subprocess').Popen(['sleep', '600']).pid"
    child = pool.submit(eval, spawning, log=log).wait(PATIENCE_SECONDS)
    assert_gone(child)


def test_children_of_a_killed_call_end_with_it(pool: WorkerPool, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    call = pool.submit(os.system, "echo $$; exec sleep 600", log=log)
    eventually(lambda: log.exists() and log.read_text().strip())
    os.kill(call.pid, signal.SIGKILL)
    with pytest.raises(KilledFromOutside):
        call.wait(PATIENCE_SECONDS)
    assert_gone(int(log.read_text()))


def test_a_killed_server_takes_its_calls_along_and_is_replaced(pool: WorkerPool, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    call = pool.submit(time.sleep, 600, log=log)
    server = psutil.Process(call.pid).ppid()
    assert server != os.getpid()
    os.kill(server, signal.SIGKILL)
    with pytest.raises(KilledFromOutside):
        call.wait(PATIENCE_SECONDS)
    assert_gone(call.pid, server)
    assert pool.submit(os.getppid, log=log).wait(PATIENCE_SECONDS) != server
    preloaded = pool.submit(eval, "'tabnanny' in __import__('sys').modules", log=log)
    assert preloaded.wait(PATIENCE_SECONDS) is True, "the new server has what any pool of this process asked for"
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_while_a_worker_is_forked_leaves_the_server_alone(
    pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hears half a request ends, and writes its traceback to the terminal."""
    server = pool.submit(os.getppid, log=tmp_path / "log.txt").wait(PATIENCE_SECONDS)
    send = reduction.sendfds

    def interrupted(*arguments: Any) -> None:
        monkeypatch.undo()
        signal.raise_signal(signal.SIGINT)
        send(*arguments)

    monkeypatch.setattr(reduction, "sendfds", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.submit(math.sqrt, 9, log=tmp_path / "log.txt")
    assert pool.submit(os.getppid, log=tmp_path / "log.txt").wait(PATIENCE_SECONDS) == server


def test_a_call_has_the_directory_of_its_moment(
    pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker is older."""
    pool.submit(os.getcwd, log=tmp_path / "log.txt").wait(PATIENCE_SECONDS)
    monkeypatch.chdir(tmp_path)
    assert pool.submit(os.getcwd, log=tmp_path / "log.txt").wait(PATIENCE_SECONDS) == str(tmp_path)


def test_the_worker_that_waits_for_the_next_call_is_replaced_when_it_is_killed(
    pool: WorkerPool, tmp_path: Path
) -> None:
    call = pool.submit(time.sleep, 600, log=tmp_path / "log.txt")
    waiting = [child.pid for child in psutil.Process(call.pid).parent().children() if child.pid != call.pid]
    assert waiting
    for pid in waiting:
        os.kill(pid, signal.SIGKILL)
    # A zombie may have threads left that hold its pipes open; the server takes it away after that.
    eventually(lambda: not any(map(psutil.pid_exists, waiting)))
    assert pool.submit(math.sqrt, 9, log=tmp_path / "log.txt").wait(PATIENCE_SECONDS) == 3
    call.kill()


def test_a_call_that_cannot_be_sent_harms_nothing(pool: WorkerPool, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="pickle"):
        pool.submit(len, sys.modules, log=tmp_path / "log.txt")
    assert pool.submit(math.sqrt, 9, log=tmp_path / "log.txt").wait(PATIENCE_SECONDS) == 3


def test_close_ends_the_calls(tmp_path: Path) -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with WorkerPool(1) as other:
        call: WorkerCall = other.submit(time.sleep, 600, log=tmp_path / "log.txt")
        workers = [child.pid for child in psutil.Process(call.pid).parent().children() if child.pid not in before]
    assert len(workers) == 2
    assert_gone(*workers)


def test_a_server_that_still_imports_ends_with_its_parent(tmp_path: Path) -> None:
    code = "import os; from podium.execution.workers import WorkerPool; WorkerPool(1); os.kill(os.getpid(), 9)"
    parent = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    parent.wait()

    eventually(lambda: not session(parent.pid))


@pytest.fixture
def short_path() -> Iterator[str]:
    """A temporary directory with so short a path that the path of a socket below it fits into its 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="podium-", dir="/tmp") as path:
        yield path


def test_killing_the_parent_leaves_no_orphan(tmp_path: Path, short_path: str) -> None:
    """Its main module has no guard: a worker that imported it would start a pool of its own."""
    (tmp_path / "unguarded_parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, "-m", "unguarded_parent", str(tmp_path / "log.txt")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": short_path},
    )
    try:
        assert parent.stdout is not None
        calls = [int(pid) for pid in parent.stdout.readline().split()]
        servers = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
        # Beside server and calls there may be a short-lived process of a library that looks at the machine.
        assert len(calls) == 2 and set(calls) < set(servers) and all(alive(pid) for pid in calls)
    finally:
        parent.kill()
        parent.wait()
    assert_gone(*calls, *servers)

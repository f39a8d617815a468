from __future__ import annotations

import math
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from podium.errors import ComputationFailed, KilledFromOutside, NonFiniteLoss, ProcessKilled, TimeLimitExceeded
from podium.execution.workers import WorkerCall, WorkerPool
from podium.training.launch import PRELOAD

pytestmark = pytest.mark.integration

PARENT = """
import sys, time
from pathlib import Path
from podium.execution.workers import WorkerPool
pool = WorkerPool(2)
pool.submit(time.time, log=Path(sys.argv[1])).wait()
jobs = [pool.submit(time.sleep, 600, log=Path(sys.argv[1])) for _ in range(2)]
print(*(job.pid for job in jobs), flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def gone(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(alive(pid) for pid in pids)


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
        with WorkerPool(2, preload=[PRELOAD]) as pool:
            pool.submit(os.getpid, log=directory / "warm.txt").wait(120)
            yield pool
    finally:
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before


def test_a_worker_starts_with_everything_loaded(pool: WorkerPool, tmp_path: Path) -> None:
    log, latencies = tmp_path / "log.txt", []
    for _ in range(5):
        submitted = time.time()
        latencies.append(pool.submit(time.time, log=log).wait(30) - submitted)
    assert min(latencies) < 0.3
    wanted = {"torch", "transformers.trainer", "podium.training.train", "sklearn.metrics", "seqeval.metrics"}
    assert pool.submit(eval, f"{wanted} <= set(__import__('sys').modules)", log=log).wait(30) is True


def test_environment_threads_output_and_isolation(
    pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "logs" / "log.txt"
    monkeypatch.setenv("SET_AFTER_THE_SERVER_STARTED", "yes")
    question = "(__import__('torch').get_num_threads(), dict(__import__('os').environ))"
    threads, environment = pool.submit(eval, question, log=log).wait(30)
    assert threads == 1 and environment["OMP_NUM_THREADS"] == "1"
    assert environment["SET_AFTER_THE_SERVER_STARTED"] == "yes"
    pool.submit(exec, "import os, sys; sys.leaked = 1; print('out'); os.system('echo err >&2')", log=log).wait(30)
    assert sorted(log.read_text().split()) == ["err", "out"]
    assert pool.submit(eval, "hasattr(__import__('sys'), 'leaked')", log=log).wait(30) is False


def test_errors_come_back_typed(pool: WorkerPool, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    raising = "from podium.errors import NonFiniteLoss; raise NonFiniteLoss('at step 3')"
    with pytest.raises(NonFiniteLoss, match="at step 3"):
        pool.submit(exec, raising, log=log).wait(30)
    with pytest.raises(ComputationFailed, match=r"ZeroDivisionError(.|\n)*log\.txt"):
        pool.submit(operator.truediv, 1, 0, log=log).wait(30)
    job = pool.submit(time.sleep, 60, log=log)
    os.kill(job.pid, signal.SIGKILL)
    with pytest.raises(KilledFromOutside, match="SIGKILL"):
        job.wait(30)
    with pytest.raises(ProcessKilled, match="SIGSEGV") as crash:
        pool.submit(eval, "__import__('os').kill(__import__('os').getpid(), 11)", log=log).wait(30)
    assert not isinstance(crash.value, KilledFromOutside)
    job = pool.submit(time.sleep, 60, log=log)
    with pytest.raises(TimeLimitExceeded, match="must end within"):
        job.wait(0.2)
    assert gone([job.pid], 5)
    with pytest.raises(ProcessKilled):
        job.wait()
    assert pool.submit(math.sqrt, 9, log=log).wait(30) == 3, "a failed job must not harm the pool"


def test_large_results_come_back(pool: WorkerPool, tmp_path: Path) -> None:
    assert pool.submit(bytes, 5_000_000, log=tmp_path / "log.txt").wait(30) == bytes(5_000_000)


def test_no_more_jobs_than_the_size(pool: WorkerPool, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    slow, quick = pool.submit(time.sleep, 60, log=log), pool.submit(time.sleep, 0.5, log=log)
    assert pool.running() == [slow, quick]
    assert pool.wait_any([slow, quick], timeout=0.01) == []
    third = pool.submit(time.sleep, 60, log=log)
    assert quick.poll() and pool.running() == [slow, third]
    slow.kill()
    assert pool.wait_any([slow, third]) == [slow]
    third.kill()


def test_functions_of_the_main_module_are_refused(pool: WorkerPool, tmp_path: Path) -> None:
    def own() -> None: ...

    own.__module__ = "__main__"
    with pytest.raises(ValueError, match="must be importable"):
        pool.submit(own, log=tmp_path / "log.txt")


def test_children_of_a_job_end_with_it(pool: WorkerPool, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    spawning = "__import__('subprocess').Popen(['sleep', '600']).pid"
    child = pool.submit(eval, spawning, log=log).wait(30)
    assert gone([child], 5)


def test_children_of_a_killed_job_end_with_it(pool: WorkerPool, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    job = pool.submit(os.system, "echo $$; exec sleep 600", log=log)
    deadline = time.monotonic() + 30
    while not log.exists() or not log.read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(job.pid, signal.SIGKILL)
    with pytest.raises(KilledFromOutside):
        job.wait(30)
    assert gone([int(log.read_text())], 5)


def test_a_killed_server_takes_its_jobs_along_and_is_replaced(pool: WorkerPool, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    job = pool.submit(time.sleep, 600, log=log)
    server = psutil.Process(job.pid).ppid()
    assert server != os.getpid()
    os.kill(server, signal.SIGKILL)
    with pytest.raises(KilledFromOutside):
        job.wait(30)
    assert gone([job.pid, server], 1)
    threads = pool.submit(eval, "(__import__('os').getppid(), __import__('torch').get_num_threads())", log=log)
    replacement, count = threads.wait(120)
    assert replacement != server and count == 1
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_job_has_the_directory_of_its_moment(
    pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker is older."""
    pool.submit(os.getcwd, log=tmp_path / "log.txt").wait(30)
    monkeypatch.chdir(tmp_path)
    assert pool.submit(os.getcwd, log=tmp_path / "log.txt").wait(30) == str(tmp_path)


def test_the_worker_that_waits_for_the_next_job_is_replaced_when_it_is_killed(pool: WorkerPool, tmp_path: Path) -> None:
    job = pool.submit(time.sleep, 600, log=tmp_path / "log.txt")
    waiting = [child.pid for child in psutil.Process(job.pid).parent().children() if child.pid != job.pid]
    assert waiting
    for pid in waiting:
        os.kill(pid, signal.SIGKILL)
    assert gone(waiting, 5)
    assert pool.submit(math.sqrt, 9, log=tmp_path / "log.txt").wait(30) == 3
    job.kill()


def test_a_job_that_cannot_be_sent_harms_nothing(pool: WorkerPool, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="pickle"):
        pool.submit(len, sys.modules, log=tmp_path / "log.txt")
    assert pool.submit(math.sqrt, 9, log=tmp_path / "log.txt").wait(30) == 3


def test_close_ends_the_jobs(tmp_path: Path) -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with WorkerPool(1) as other:
        job: WorkerCall = other.submit(time.sleep, 600, log=tmp_path / "log.txt")
        workers = [child.pid for child in psutil.Process(job.pid).parent().children() if child.pid not in before]
    assert len(workers) == 2 and gone(workers, 5)


def test_a_server_that_still_imports_ends_with_its_parent(tmp_path: Path) -> None:
    code = "import os; from podium.execution.workers import WorkerPool; WorkerPool(1); os.kill(os.getpid(), 9)"
    parent = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    parent.wait()

    deadline = time.monotonic() + 4
    while left := session(parent.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_killing_the_parent_leaves_no_orphan(tmp_path: Path) -> None:
    """Its main module has no guard: a worker that imported it would start a pool of its own."""
    (tmp_path / "unguarded_parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, "-m", "unguarded_parent", str(tmp_path / "log.txt")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        assert parent.stdout is not None
        jobs = [int(pid) for pid in parent.stdout.readline().split()]
        servers = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
        # Beside server and jobs there may be a short-lived process of a library that looks at the machine.
        assert len(jobs) == 2 and set(jobs) < set(servers) and all(alive(pid) for pid in jobs)
    finally:
        parent.kill()
        parent.wait()
    assert gone([*jobs, *servers], 5)

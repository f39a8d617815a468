"""What is left of a Katib trial's command when it ends: nothing, wherever its processes went."""

from __future__ import annotations

import os
import pickle
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from podium.errors import KilledFromOutside, ProcessKilled
from podium.execution.workers import WorkerPool
from tests.integration.test_katib_command import PARAMS, SECOND_REPORT, Room, running, shell
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("preloaded")]


def test_what_the_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    script = f"{sys.executable} -c 'import time; time.sleep(600)  # left-{os.getpid()}' & echo loss=1"
    Room(tmp_path, **shell(script)).run()
    assert not [pid for pid in running(f"left-{os.getpid()}") if psutil.Process(pid).name().startswith("python")]


@pytest.fixture
def far(tmp_path: Path) -> Iterator[str]:
    """A command that starts a process far from its session and its parents; as torchrun does, but for the parents."""
    program = tmp_path / "far.py"
    program.write_text(
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        open(sys.argv[1], 'w').close()\n"
        "        time.sleep(600)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    command = shlex.join([sys.executable, str(program), str(tmp_path / "far-away")])
    yield command
    for pid in running(str(program)):
        os.kill(pid, signal.SIGKILL)


def test_what_left_the_session_ends_with_the_command(tmp_path: Path, far: str) -> None:
    Room(tmp_path, **shell(f"{far}; echo loss=1")).run()
    assert (tmp_path / "far-away").exists()
    assert not running(far)


def test_what_left_the_session_ends_with_a_trial_that_is_stopped(tmp_path: Path, far: str) -> None:
    room = Room(tmp_path, **shell(f"{far}; echo loss=0.9; echo loss=0.8; sleep 600"))
    assert room.run(SECOND_REPORT).pruned
    assert not running(far)


@pytest.mark.parametrize("ended", ["job", "server"])
def test_what_left_the_session_ends_with_the_worker(tmp_path: Path, far: str, ended: str) -> None:
    room = Room(tmp_path, **shell(f"{far}; sleep 600"))
    with WorkerPool(1, threads=None, preload=("podium.katib_local.runner",)) as pool:
        job = pool.submit(room.trial, room.ledger.begin(0, PARAMS), room.ledger, log=room.log)
        eventually((tmp_path / "far-away").exists)
        if ended == "job":
            job.kill()
        else:
            psutil.Process(psutil.Process(job.pid).ppid()).kill()
            with pytest.raises(KilledFromOutside):
                job.wait(120)
        eventually(lambda: not running(far))


def test_what_left_the_session_ends_with_the_engine(tmp_path: Path, far: str) -> None:
    room = Room(tmp_path, **shell(f"{far}; sleep 600"))
    (tmp_path / "job").write_bytes(pickle.dumps((room.trial, room.ledger.begin(0, PARAMS), room.ledger)))
    script = (
        "import pickle; from pathlib import Path; from podium.execution.workers import WorkerPool; "
        "pool = WorkerPool(1, threads=None, preload=('podium.katib_local.runner',)); "
        f"pool.submit(*pickle.load(open('job', 'rb')), log=Path({str(room.log)!r})).wait()"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path) as engine:
        eventually((tmp_path / "far-away").exists)
        engine.kill()
    eventually(lambda: not running(far))


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP"])
def test_a_signal_to_its_own_group_is_for_the_command_only(tmp_path: Path, name: str) -> None:
    room = Room(tmp_path, **shell(f"sleep 60 & trap '' {name}; kill -{name} 0; echo loss=1"))
    assert room.run().score == 1.0
    room = Room(tmp_path / "ended", **shell(f"sleep 60 & kill -{name} 0; sleep 60"))
    with pytest.raises(ProcessKilled, match=f"the command was ended by SIG{name}"):
        room.run()

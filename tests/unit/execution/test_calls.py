from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from podium.errors import ComputationFailed, OutOfMemory, ProcessKilled, StoreError
from podium.execution.calls import fork_each
from tests.support import alive, assert_gone, eventually

PARENT = """
import os, time
from podium.execution.calls import fork_each
def sleep(number):
    os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(600)
fork_each(sleep, range(3), 3, print)
"""


def test_each_item_is_computed_in_a_process_of_its_own() -> None:
    results: dict[int, tuple[int, bytes]] = {}
    fork_each(lambda number: (os.getpid(), bytes(number * 1_000_000)), range(4), 2, results.__setitem__)
    assert sorted(results) == [0, 1, 2, 3]
    assert len({pid for pid, _ in results.values()} | {os.getpid()}) == 5
    assert [len(results[number][1]) for number in range(4)] == [0, 1_000_000, 2_000_000, 3_000_000]


def test_no_more_than_so_many_run_at_once_and_results_come_as_they_end(tmp_path: Path) -> None:
    found: dict[str, bool] = {}

    def call(name: str) -> bool:
        """Whether the quick call had ended when this one began."""
        quick_ended = (tmp_path / "quick").exists()
        if name == "slow":
            eventually((tmp_path / "third arrived").exists)
        (tmp_path / name).touch()
        return quick_ended

    def arrived(name: str, result: bool) -> None:
        found[name] = result
        (tmp_path / f"{name} arrived").touch()

    fork_each(call, ["slow", "quick", "third"], 2, arrived)
    assert list(found) == ["quick", "third", "slow"]
    assert found["third"] and not found["quick"]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OutOfMemory("no room for it"), OutOfMemory, "^no room for it$"),
        (StoreError("unreachable"), StoreError, "^unreachable$"),
        (ZeroDivisionError("division by zero"), ComputationFailed, "failed with ZeroDivisionError: division by zero"),
    ],
)
def test_one_that_fails_ends_those_beside_it(
    tmp_path: Path, error: Exception, kind: type[Exception], message: str
) -> None:
    def call(number: int) -> None:
        (tmp_path / f"{number}").write_text(str(os.getpid()))
        if number == 1:
            while not (tmp_path / "0").exists():
                time.sleep(0.01)
            raise error
        time.sleep(600)

    with pytest.raises(kind, match=message):
        fork_each(call, range(3), 2, lambda *_: None)
    assert not (tmp_path / "2").exists()
    assert not alive(int((tmp_path / "0").read_text()))


def test_one_that_is_killed_says_so() -> None:
    with pytest.raises(ProcessKilled, match="ended by SIGKILL"):
        fork_each(lambda _: os.kill(os.getpid(), signal.SIGKILL), [0], 1, lambda *_: None)


def test_what_the_listener_raises_ends_them(tmp_path: Path) -> None:
    def call(number: int) -> None:
        (tmp_path / f"{number}").write_text(str(os.getpid()))
        time.sleep(600 * number)

    def stop(number: int, _: None) -> None:
        while not (tmp_path / "1").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fork_each(call, range(2), 2, stop)
    assert not alive(int((tmp_path / "1").read_text()))


def test_they_end_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(parent.stdout.readline()) for _ in range(3)]
    parent.kill()
    parent.wait()
    assert_gone(*pids)

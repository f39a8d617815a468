from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from podium.execution import slots
from podium.execution.slots import core_slots, release_slots, slots_directory

HOLDER = """
import sys, time
from podium.execution import slots
slots.available_cores = lambda: 2
with slots.core_slots(int(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores, and slots apart from those of the machine the tests run on."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(slots, "available_cores", lambda: 2)


def hold(wanted: int) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(wanted)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def try_to_hold(wanted: int, seconds: float) -> bool:
    got = threading.Event()

    def attempt() -> None:
        with core_slots(wanted):
            got.set()

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    return got.is_set()


def test_another_process_is_kept_out_until_it_dies() -> None:
    holder = hold(2)
    try:
        assert not try_to_hold(1, 0.3)
        holder.kill()
        holder.wait()
        with core_slots(1) as held:
            assert held == 1
    finally:
        holder.kill()
        holder.wait()


def test_slots_add_up_to_the_cores() -> None:
    holder = hold(1)
    try:
        with core_slots(1):
            assert not try_to_hold(1, 0.3)
        assert try_to_hold(1, 120)
    finally:
        holder.kill()
        holder.wait()


def test_more_than_there_are_means_all() -> None:
    with core_slots(99) as held:
        assert held == 2


def test_nested_slots_share_what_is_held() -> None:
    with core_slots(2), core_slots(1) as held:
        assert held == 2
    with core_slots(1) as held:
        assert held == 1


def test_released_when_the_body_fails() -> None:
    with pytest.raises(ValueError), core_slots(2):
        raise ValueError
    assert try_to_hold(2, 2)


def test_directory_is_for_this_user_alone() -> None:
    assert slots_directory().stat().st_mode & 0o777 == 0o700


def test_slots_can_be_given_back_before_the_end() -> None:
    with core_slots(2):
        assert not try_to_hold(1, 0.2)
        release_slots()
        assert try_to_hold(2, 5)
        with core_slots(1) as held:
            assert held == 1, "what was given back is taken anew"
        release_slots()
    release_slots()
    assert try_to_hold(2, 5)

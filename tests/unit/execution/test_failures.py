from __future__ import annotations

import errno
import signal
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from podium import errors
from podium.errors import ComputationFailed, KilledFromOutside, OutOfMemory, ProcessKilled, StoreError
from podium.execution import failures
from podium.execution.failures import Purpose, death, describe, excerpt, out_of_memory_kills, rebuild


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "log.txt"
    file.write_text("".join(f"line {number}\n" for number in range(40)))
    return file


@pytest.mark.parametrize("name", ["NonFiniteLoss", "OutOfMemory", "TimeLimitExceeded", "StoreError"])
def test_errors_travel_with_their_type_and_name_the_log(name: str, log: Path) -> None:
    kind = getattr(errors, name)
    again = rebuild(describe(kind("what went wrong")), log)
    assert type(again) is kind and str(again) == f"what went wrong\nlog: {log}"


@pytest.mark.parametrize("name", ["ConfigError", "DataError", "ModelError"])
def test_input_errors_stand_for_themselves(name: str, log: Path) -> None:
    again = rebuild(describe(getattr(errors, name)("what is wrong")), log)
    assert type(again).__name__ == name and str(again) == "what is wrong" and again.exit_code == 2


def caused(by: BaseException) -> BaseException:
    error = RuntimeError("writing failed")
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        caused(OSError(errno.EDQUOT, "Disk quota exceeded")),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
        RuntimeError("[enforce fail at inline_container.cc:858] . PytorchStreamWriter failed writing file data/0"),
        OSError("Not enough free space to write 24000000 bytes after offset 128"),
        sqlite3.OperationalError("database or disk is full"),
    ],
)
def test_a_full_disk_is_no_fault_of_the_training(error: BaseException, log: Path) -> None:
    again = rebuild(describe(error), log)
    assert type(again) is StoreError and "disk is full" in str(again) and "run the same command again" in str(again)


@pytest.mark.slow
@pytest.mark.parametrize("write", ["torch", "numpy", "safetensors"])
def test_libraries_that_write_to_a_full_disk(write: str, tiny_disk: Path, log: Path) -> None:
    import numpy
    import torch
    from safetensors.torch import save_file

    weights = torch.zeros(3_000_000)
    writers = {
        "torch": lambda: torch.save({"weights": weights}, tiny_disk / "checkpoint.pt"),
        "numpy": lambda: numpy.save(tiny_disk / "rows.npy", weights.numpy()),
        "safetensors": lambda: save_file({"weights": weights}, tiny_disk / "model.safetensors"),
    }
    with pytest.raises(Exception) as caught:
        writers[write]()
    again = rebuild(describe(caught.value), log)
    assert type(again) is StoreError and "disk is full" in str(again)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        caused(OSError(errno.EMFILE, "Too many open files")),
        RuntimeError("can't start new thread"),
    ],
)
def test_a_fault_of_the_machine_is_no_fault_of_the_training(error: BaseException, log: Path) -> None:
    again = rebuild(describe(error), log)
    assert type(again) is StoreError and "the machine failed" in str(again)
    assert "run the same command again" in str(again)


def test_a_process_that_found_no_room_to_say_why_it_ended(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(death(1, log, 0)) is ComputationFailed
    monkeypatch.setattr(failures.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    assert type(death(1, log, 0)) is StoreError


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3)])
def test_foreign_errors_become_training_errors_with_the_end_of_the_log(error: BaseException, log: Path) -> None:
    again = rebuild(describe(error), log)
    assert type(again) is ComputationFailed and type(error).__name__ in str(again)
    assert "| line 39" in str(again) and "line 24\n" not in str(again) and str(log) in str(again)


def test_exit_code_without_result(log: Path) -> None:
    error = death(3, log, 0)
    assert type(error) is ComputationFailed and "exit code 3" in str(error) and "| line 39" in str(error)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT])
def test_signals(number: signal.Signals, log: Path) -> None:
    error = death(-number, log, 0)
    assert type(error) is (KilledFromOutside if number is signal.SIGTERM else ProcessKilled)
    assert number.name in str(error) and str(log) in str(error)


def test_kill_with_and_without_evidence_of_the_memory_killer(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "out_of_memory_kills", lambda: 4)
    killed = death(-signal.SIGKILL, log, 4)
    assert type(killed) is KilledFromOutside and "out-of-memory killer" in str(killed)
    starved = death(-signal.SIGKILL, log, 3, Purpose("the training", memory_advice="lower training.batch_size"))
    assert isinstance(starved, OutOfMemory) and "the training must fit into memory" in str(starved)
    assert "ended it; lower training.batch_size\n" in str(starved)


def test_kill_counters_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert out_of_memory_kills() >= 0
    events = tmp_path / "memory.events"
    monkeypatch.setattr(failures, "_memory_events", lambda: events)
    without = out_of_memory_kills()
    events.write_text("low 0\noom 7\noom_kill 2\noom_group_kill 9\n")
    assert out_of_memory_kills() == without + 2


def test_missing_log_is_said(tmp_path: Path) -> None:
    assert "cannot be read" in excerpt(tmp_path / "none.txt")

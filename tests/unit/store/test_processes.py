"""Processes that compete for the store, and processes that are killed while they use it."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from podium.keys import Key
from podium.records import ReportRecord
from podium.store.store import ArtifactStore
from tests.support import eventually


def test_two_processes_that_need_the_same_result_compute_it_once(tmp_path: Path, spawn) -> None:
    log = tmp_path / "log"
    processes = [spawn("compute_once", tmp_path / "store", log) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert len(log.read_text().splitlines()) == 1
    assert ArtifactStore(str(tmp_path / "store")).find("")


def test_the_lease_of_a_killed_process_is_taken_over_quickly(
    tmp_path: Path, spawn, caplog: pytest.LogCaptureFixture
) -> None:
    holder = spawn("hold", tmp_path / "store", tmp_path)
    assert holder.stdout.readline() == "holding\n"
    store = ArtifactStore(str(tmp_path / "store"), heartbeat_seconds=5, silence_seconds=300)
    holder.send_signal(signal.SIGKILL)
    with store.lease(Key.of("report", work="held")):
        pass
    assert f"process {holder.pid}" in caplog.text and "ended without finishing it" in caplog.text


def test_a_writer_killed_at_any_moment_leaves_whole_results_or_none(tmp_path: Path, spawn) -> None:
    rng = random.Random(13)
    payload = tmp_path / "payload"
    payload.mkdir()
    for part in range(8):
        (payload / f"part-{part}").write_bytes(rng.randbytes(200_000))
    store, whole = ArtifactStore(str(tmp_path / "store")), 0
    for killed in range(10):
        writer = spawn("write_forever", tmp_path / "store", payload)
        assert writer.stdout.readline() == "writing\n"
        eventually(lambda least=whole + killed % 2: len(store.find("")) >= least)
        time.sleep(rng.uniform(0.0, 0.05))
        writer.kill()
        writer.wait()
        found = ArtifactStore(str(tmp_path / "store")).find("")
        assert all(store.get(ReportRecord, digest) is not None for _, digest in found)
        assert len(found) >= whole + killed % 2
        whole = len(found)
    with store.scratch() as scratch:
        assert [entry.name for entry in scratch.parent.iterdir()] == [scratch.name]


def test_a_reader_never_sees_half_of_a_replaced_document(tmp_path: Path, spawn) -> None:
    writer = spawn("rewrite_forever", tmp_path / "store", tmp_path)
    assert writer.stdout.readline() == "writing\n"
    documents = ArtifactStore(str(tmp_path / "store")).documents("ledger")
    seen: set[str] = set()
    deadline = time.monotonic() + 120
    while len(seen) < 5 and time.monotonic() < deadline:
        text = documents.get("trial") or ""
        assert text == text[:1] * 500_000
        seen.add(text[0])
    writer.kill()
    writer.wait()
    text = documents.get("trial") or ""
    assert text == text[:1] * 500_000
    assert documents.names() == ["trial"]
    assert len(seen) >= 5

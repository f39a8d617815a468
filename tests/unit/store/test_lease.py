"""What every lease does, whatever its store lies on."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time

import pytest

from podium.keys import Key
from podium.store.store import ArtifactStore
from tests.support import eventually

SILENCE_SECONDS = 2.5
"""Long enough for a heartbeat on a machine that is busy with other work."""


def lease_file(key: Key, generation: int) -> str:
    return f"leases/{key.kind}/{key.digest}/{generation:08d}.json"


class Conformance:
    """Subclasses say where the store is by a `uri` fixture."""

    @pytest.fixture
    def store(self, uri: str) -> ArtifactStore:
        return ArtifactStore(uri, heartbeat_seconds=0.05, silence_seconds=SILENCE_SECONDS)

    def test_a_lease_has_one_holder_at_a_time(self, uri: str) -> None:
        store = ArtifactStore(uri, heartbeat_seconds=0.05, silence_seconds=30)
        key, inside, most, entered = Key.of("report", work=1), 0, 0, 0
        guard = threading.Lock()

        def work() -> None:
            nonlocal inside, most, entered
            with store.lease(key):
                with guard:
                    inside, entered, most = inside + 1, entered + 1, max(most, inside + 1)
                time.sleep(0.02)
                with guard:
                    inside -= 1

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (entered, most) == (5, 1)

    def test_a_lease_is_released_when_the_work_fails(
        self, store: ArtifactStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        key = Key.of("report", work=1)
        with pytest.raises(ZeroDivisionError), store.lease(key):
            raise ZeroDivisionError
        with caplog.at_level(logging.WARNING), store.lease(key):
            assert caplog.text == ""
        assert len(store._files.names(f"leases/{key}")) == 1

    def test_a_living_holder_is_waited_for_longer_than_the_silence_threshold(
        self, store: ArtifactStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        key, order = Key.of("report", work=1), []
        held = threading.Event()

        def hold() -> None:
            with store.lease(key):
                held.set()
                time.sleep(1.4 * SILENCE_SECONDS)
                order.append("holder done")

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        with caplog.at_level(logging.WARNING), store.lease(key):
            order.append("waiter in")
        thread.join()
        assert order == ["holder done", "waiter in"]
        assert f"waiting for report/{key.short}: process {os.getpid()} on {socket.gethostname()}" in caplog.text
        assert caplog.text.count("waiting for") == 1

    @pytest.mark.parametrize("content", [b"", None])
    def test_a_silent_holder_on_another_host_is_taken_over_by_one_waiter(
        self, store: ArtifactStore, caplog: pytest.LogCaptureFixture, content: bytes | None
    ) -> None:
        key = Key.of("report", work=1)
        elsewhere = {"owner": {"host": "elsewhere/boot/pid", "pid": os.getpid(), "started": 1.0}, "beats": 3}
        store._files.write(lease_file(key, 7), json.dumps(elsewhere).encode() if content is None else content)
        started, entered = time.monotonic(), []

        def work() -> None:
            with store.lease(key):
                entered.append(time.monotonic() - started)
                time.sleep(0.1)

        threads = [threading.Thread(target=work) for _ in range(3)]
        with caplog.at_level(logging.WARNING):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert min(entered) > SILENCE_SECONDS
        assert len(entered) == 3
        assert caplog.text.count("taking over") == 1
        assert "gave no sign of life for " in caplog.text

    def test_a_dead_holder_on_this_host_is_taken_over_at_once(
        self, uri: str, store: ArtifactStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        key = Key.of("report", work=1)
        with store.lease(key):
            state = json.loads(store._files.read(lease_file(key, 1)) or b"")
        for fault in ({"pid": 2**22 - 1}, {"started": state["owner"]["started"] - 1000}):
            newest = store._files.names(f"leases/{key}")[-1]
            dead = {"owner": {**state["owner"], **fault}, "beats": 3}
            store._files.write(f"leases/{key}/{newest}", json.dumps(dead).encode())
            with ArtifactStore(uri).lease(key):
                pass
        assert caplog.text.count("ended without finishing it") == 2 and "sign of life" not in caplog.text

    def test_a_replaced_holder_says_so_and_leaves_the_lease_to_its_successor(
        self, store: ArtifactStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        key = Key.of("report", work=1)
        with caplog.at_level(logging.WARNING), store.lease(key):
            store._files.write(lease_file(key, 2), b"")
            eventually(lambda: "lost the lease" in caplog.text)
        assert store._files.read(lease_file(key, 2)) == b""


class TestLocalLease(Conformance):
    @pytest.fixture
    def uri(self, file_uri: str) -> str:
        return file_uri


class TestMemoryLease(Conformance):
    @pytest.fixture
    def uri(self, memory_uri: str) -> str:
        return memory_uri


@pytest.mark.slow
class TestS3Lease(Conformance):
    @pytest.fixture
    def uri(self, s3_uri: str) -> str:
        return s3_uri

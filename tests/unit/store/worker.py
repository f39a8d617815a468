"""What the tests of the store run in processes of their own: `worker.py COMMAND STORE ARGUMENT`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from podium.keys import Key
from podium.records import ReportRecord
from podium.store.store import ArtifactStore


def compute_once(store: ArtifactStore, log: Path) -> None:
    """Compute one result under its lease, noting each computation in `log`."""
    key = Key.of("report", work="once")
    with store.lease(key):
        if store.get(ReportRecord, key.digest) is None:
            with log.open("a") as stream:
                stream.write(f"{os.getpid()}\n")
            time.sleep(0.3)
            store.put(key, ReportRecord(key=key.digest, summary={}))


def hold(store: ArtifactStore, _: Path) -> None:
    """Hold a lease until killed."""
    with store.lease(Key.of("report", work="held")):
        print("holding", flush=True)
        time.sleep(60)


def write_forever(store: ArtifactStore, payload: Path) -> None:
    """Store ever new results until killed, each with an artifact."""
    print("writing", flush=True)
    number = 0
    while True:
        number += 1
        (payload / "number.txt").write_text(f"{os.getpid()} {number}")
        ref = store.put_artifact("payload", payload)
        key = Key.of("report", process=os.getpid(), number=number)
        store.put(key, ReportRecord(key=key.digest, summary={"number": number}, artifacts={"payload": ref}))


def rewrite_forever(store: ArtifactStore, _: Path) -> None:
    """Replace one document until killed, by one letter repeated."""
    documents = store.documents("ledger")
    documents.put("trial", "a" * 500_000)
    print("writing", flush=True)
    while True:
        for letter in "abcdefgh":
            documents.put("trial", letter * 500_000)


if __name__ == "__main__":
    commands = {command.__name__: command for command in (compute_once, hold, write_forever, rewrite_forever)}
    commands[sys.argv[1]](ArtifactStore(sys.argv[2], heartbeat_seconds=0.1, silence_seconds=20.0), Path(sys.argv[3]))

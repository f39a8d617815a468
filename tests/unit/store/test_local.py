"""What only a store on a mounted file system does."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from podium.errors import StoreError
from podium.keys import Key
from podium.records import ReportRecord
from podium.store.process import ProcessIdentity
from podium.store.store import ArtifactStore


def put(store: ArtifactStore, folder: Path, number: int, size: int = 10) -> Key:
    payload = folder / f"payload-{number}"
    payload.mkdir(exist_ok=True)
    (payload / "data").write_bytes(bytes([number]) * size)
    key = Key.of("report", number=number)
    artifacts = {"payload": store.put_artifact("payload", payload)}
    store.put(key, ReportRecord(key=key.digest, summary={}, artifacts=artifacts))
    return key


def test_the_uri_of_a_directory_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = ArtifactStore("out/store")
    assert store.uri == str(tmp_path / "out" / "store")
    put(store, tmp_path, 1)
    assert len(ArtifactStore(store.uri).find("")) == 1


def test_a_fetched_artifact_is_the_stored_one_and_read_only(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    (tmp_path / "file").write_text("x")
    path = store.fetch(store.put_artifact("file", tmp_path / "file"))
    assert path.is_relative_to(tmp_path / "store" / "artifacts")
    assert (path / "file").stat().st_mode & 0o222 == 0
    assert (tmp_path / "file").stat().st_mode & 0o200


def test_scratch_files_are_linked_and_others_copied(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    shared = tmp_path / "shared"
    shared.write_text("shared")
    with store.scratch() as scratch:
        (scratch / "own").write_text("own")
        (scratch / "link").hardlink_to(shared)
        (scratch / "symlink").symlink_to(shared)
        (scratch / "alias").symlink_to(scratch / "own")
        path = store.fetch(store.put_artifact("mixed", scratch))
        assert (path / "own").samefile(scratch / "own")
        assert not (path / "link").samefile(shared)
        assert not (path / "symlink").is_symlink()
    assert {file.name: file.read_text() for file in path.iterdir()} == {
        "own": "own", "alias": "own", "link": "shared", "symlink": "shared"
    }  # fmt: skip
    assert shared.stat().st_mode & 0o200


def test_a_file_system_without_links_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    store = ArtifactStore(str(tmp_path / "store"))
    monkeypatch.setattr(os, "link", refuse)
    with store.scratch() as scratch:
        (scratch / "own").write_text("own")
        ref = store.put_artifact("own", scratch)
    assert (store.fetch(ref) / "own").read_text() == "own"


def test_leftovers_are_cleared_only_when_their_process_is_dead(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    owner = ProcessIdentity.current()
    names = {
        "dead": f"{owner.host_mark}-{2**22 - 1}-1.00-abc",
        "reused pid": f"{owner.host_mark}-{owner.pid}-1.00-abc",
        "alive": f"{owner.host_mark}-{owner.pid}-{owner.started:.2f}-abc",
        "elsewhere": "0123456789ab-1-1.00-abc",
        "elsewhere, old": "0123456789ab-1-1.00-def",
    }
    for name in names.values():
        (tmp_path / "store" / "tmp" / name).mkdir()
        (tmp_path / "store" / "tmp" / name / "file").write_text("x")
    os.utime(tmp_path / "store" / "tmp" / names["elsewhere, old"], (1, 1))
    with store.scratch() as scratch:
        left = {entry.name for entry in scratch.parent.iterdir()} - {scratch.name}
    assert left == {names["alive"], names["elsewhere"]}


def test_a_source_that_changes_while_it_is_stored_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    store = ArtifactStore(str(tmp_path / "store"))
    (tmp_path / "file").write_text("before")
    copy = shutil.copyfile

    def change_then_copy(source: Path, target: Path) -> None:
        source.write_text("after!")
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", change_then_copy)
    with pytest.raises(StoreError, match="must not change while it is stored"):
        store.put_artifact("file", tmp_path / "file")
    assert store._files.names("artifacts") == []


def test_a_full_disk_keeps_earlier_results_and_says_what_to_do(tiny_disk: Path, tmp_path: Path) -> None:
    store = ArtifactStore(str(tiny_disk / "store"))
    earlier = put(store, tmp_path, 1, size=300_000)
    with pytest.raises(StoreError, match=r"is full .*; free some space, or set store=DIRECTORY") as caught:
        put(store, tmp_path, 2, size=900_000)
    assert str(tiny_disk / "store") in str(caught.value)
    assert store.get(ReportRecord, earlier.digest) is not None
    assert store.find("") == [("report", earlier.digest)]
    assert list((tiny_disk / "store" / "tmp").iterdir()) == []
    put(store, tmp_path, 3, size=300_000)


def test_a_record_and_a_document_on_a_full_disk_keep_their_old_content(tiny_disk: Path, tmp_path: Path) -> None:
    store = ArtifactStore(str(tiny_disk / "store"))
    key = put(store, tmp_path, 1)
    store.documents("ledger").put("trial", "old")
    with (tiny_disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
        while True:
            filler.write(bytes(4096))
    with pytest.raises(StoreError, match="is full"):
        store.documents("ledger").put("trial", "new" * 1000)
    with pytest.raises(StoreError, match="is full"):
        store.put(key, ReportRecord(key=key.digest, summary={"newer": True}))
    assert ArtifactStore(str(tiny_disk / "store")).documents("ledger").get("trial") == "old"
    record = store.get(ReportRecord, key.digest)
    assert record is not None and record.summary == {}


def test_a_read_only_store_says_so(tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(StoreError, match="must be readable and writable") as caught:
        ArtifactStore(str(tiny_disk / "store"))
    assert str(tiny_disk / "store") in str(caught.value)


def test_a_store_below_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="must be readable and writable"):
        ArtifactStore(str(tmp_path / "file" / "store"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_without_permission_says_so(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="must be readable and writable"):
        ArtifactStore(str(tmp_path / "store"))

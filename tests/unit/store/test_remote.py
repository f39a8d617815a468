"""What only a store without a mounted file system does."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from podium.errors import InputError, StoreError
from podium.store.store import ArtifactStore


def put(store: ArtifactStore, tmp_path: Path, text: str):
    (tmp_path / "file").write_text(text)
    return store.put_artifact("file", tmp_path / "file")


def count_downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    downloads: list[str] = []
    original = MemoryFileSystem.get_file

    def counted(self, path: str, *arguments, **keywords):
        downloads.append(path)
        return original(self, path, *arguments, **keywords)

    monkeypatch.setattr(MemoryFileSystem, "get_file", counted)
    return downloads


def test_a_verified_copy_is_downloaded_once(memory_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads = count_downloads(monkeypatch)
    ref = put(ArtifactStore(memory_uri), tmp_path, "text")
    paths = {ArtifactStore(memory_uri).fetch(ref) for _ in range(3)}
    assert len(paths) == 1 and (paths.pop() / "file").read_text() == "text"
    assert len(downloads) == 1


def test_a_damaged_copy_is_downloaded_again(
    memory_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = ArtifactStore(memory_uri)
    ref = put(store, tmp_path, "text")
    copy = store.fetch(ref) / "file"
    copy.chmod(0o644)
    copy.write_text("tXxt")
    downloads = count_downloads(monkeypatch)
    assert (store.fetch(ref) / "file").read_text() == "text"
    assert len(downloads) == 1
    assert "downloading it again" in caplog.text


def test_an_upload_cut_short_is_completed_by_the_next_one(
    memory_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(memory_uri)
    ref = put(store, tmp_path, "text")
    folder = f"artifacts/{ref.digest}"
    store._files.remove(f"{folder}/manifest.json")
    store._files.write(f"{folder}/files/file", b"te")
    store._files.write(f"{folder}/files/stray", b"from another life")
    assert not store._artifacts.contains(ref.digest)
    put(store, tmp_path, "text")
    assert [file.name for file in store.fetch(ref).iterdir()] == ["file"]


def test_a_large_file_is_streamed(memory_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podium.store.artifacts._SINGLE_PUT_BYTES", 3)
    streamed: list[str] = []
    original = MemoryFileSystem.put_file

    def noted(self, source: str, target: str, **keywords):
        streamed.append(Path(target).name)
        return original(self, source, target, **keywords)

    monkeypatch.setattr(MemoryFileSystem, "put_file", noted)
    store = ArtifactStore(memory_uri)
    assert (store.fetch(put(store, tmp_path, "text")) / "file").read_text() == "text"
    assert streamed == ["file"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full"),
        (PermissionError("Access Denied"), "must be readable and writable"),
        (ConnectionError("no route"), "ConnectionError: no route"),
        (ValueError("signature does not match"), "ValueError: signature does not match"),
    ],
)
def test_a_failing_store_names_the_place_and_keeps_earlier_results(
    memory_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, message: str
) -> None:
    store = ArtifactStore(memory_uri)
    earlier = put(store, tmp_path, "earlier")
    original = MemoryFileSystem.pipe_file

    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", fail)
    with pytest.raises(StoreError, match=message) as caught:
        put(store, tmp_path, "later")
    assert memory_uri.removeprefix("memory:/") in str(caught.value)
    with pytest.raises(StoreError, match=message):
        ArtifactStore(memory_uri)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", original)
    assert (store.fetch(earlier) / "file").read_text() == "earlier"


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(InputError, match="a store is a path or an fsspec URI"):
        ArtifactStore("ftq://host/store")


def test_a_protocol_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.url_to_fs", absent)
    with pytest.raises(InputError, match=r"`pip install 'podium\[s3\]'`"):
        ArtifactStore("s3://bucket/store")

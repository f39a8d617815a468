"""What every artifact store does, whatever it lies on."""

from __future__ import annotations

import json
import logging
import math
import threading
from pathlib import Path

import pytest

from podium.errors import DamagedArtifact, InputError, StoreError
from podium.keys import Key, canonical_json, digest_bytes
from podium.records import ArtifactRef, ReportRecord
from podium.store.store import ArtifactStore


def rewrite(store: ArtifactStore, name: str, data: bytes) -> None:
    store._files.remove(name)
    store._files.write(name, data)


class Conformance:
    """Subclasses say where the store is by a `uri` fixture."""

    @pytest.fixture
    def store(self, uri: str) -> ArtifactStore:
        return ArtifactStore(uri, heartbeat_seconds=0.05, silence_seconds=0.5)

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        tree = tmp_path / "tree"
        (tree / "sub").mkdir(parents=True)
        (tree / "one.txt").write_text("one")
        (tree / "sub" / "two.bin").write_bytes(bytes(range(256)) * 1000)
        (tree / "empty").write_bytes(b"")
        return tree

    @staticmethod
    def stored(store: ArtifactStore, tree: Path) -> tuple[Key, ReportRecord]:
        key = Key.of("report", seed=13, nested={"rate": 0.1})
        ref = store.put_artifact("report", tree)
        record = ReportRecord(key=key.digest, summary={"score": 0.1 + 0.2}, artifacts={"report": ref})
        store.put(key, record)
        return key, record

    def test_an_artifact_comes_back_as_it_was(self, store: ArtifactStore, tree: Path) -> None:
        ref = store.put_artifact("tree", tree)
        path = store.fetch(ref)
        found = {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
        assert found == {
            "one.txt": b"one", "sub/two.bin": bytes(range(256)) * 1000, "empty": b""
        }  # fmt: skip
        assert (ref.name, ref.files, ref.size_bytes) == ("tree", 3, 256_003)

    def test_a_single_file_is_fetched_as_a_directory_that_holds_it(self, store: ArtifactStore, tree: Path) -> None:
        path = store.fetch(store.put_artifact("one", tree / "one.txt"))
        assert [file.name for file in path.iterdir()] == ["one.txt"]

    def test_storing_twice_gives_one_artifact(self, store: ArtifactStore, tree: Path) -> None:
        first = store.put_artifact("tree", tree)
        assert store.put_artifact("other name", tree).digest == first.digest
        assert store._files.names("artifacts") == [first.digest]

    def test_storing_again_heals_a_truncated_artifact(self, store: ArtifactStore, tree: Path) -> None:
        ref = store.put_artifact("tree", tree)
        rewrite(store, f"artifacts/{ref.digest}/files/one.txt", b"on")
        store.put_artifact("tree", tree)
        assert (store.fetch(ref) / "one.txt").read_text() == "one"

    def test_concurrent_writers_of_one_artifact_leave_it_whole(self, uri: str, tree: Path) -> None:
        stores = [ArtifactStore(uri) for _ in range(4)]
        refs: list[ArtifactRef] = []
        threads = [threading.Thread(target=lambda s=s: refs.append(s.put_artifact("tree", tree))) for s in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({ref.digest for ref in refs}) == 1 and len(refs) == 4
        assert (stores[0].fetch(refs[0]) / "one.txt").read_text() == "one"

    def test_nothing_to_store_is_refused(self, store: ArtifactStore, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="there is nothing at"):
            store.put_artifact("absent", tmp_path / "absent")
        (tmp_path / "hollow").mkdir()
        with pytest.raises(StoreError, match="at least one file"):
            store.put_artifact("hollow", tmp_path / "hollow")

    def test_a_linked_directory_is_refused_and_a_linked_file_is_followed(
        self, store: ArtifactStore, tree: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / "one.txt").symlink_to(tree / "one.txt")
        assert (store.fetch(store.put_artifact("linked", tmp_path / "linked")) / "one.txt").read_text() == "one"
        (tmp_path / "linked" / "sub").symlink_to(tree / "sub")
        with pytest.raises(StoreError, match="is neither"):
            store.put_artifact("linked", tmp_path / "linked")

    def test_a_record_comes_back_equal(self, uri: str, store: ArtifactStore, tree: Path) -> None:
        key, record = self.stored(store, tree)
        assert ArtifactStore(uri).get(ReportRecord, key.digest) == record
        assert store.parts("report", key.digest) == {"seed": 13, "nested": {"rate": 0.1}}

    def test_an_absent_record_is_none(self, store: ArtifactStore) -> None:
        assert store.get(ReportRecord, "0" * 64) is None
        with pytest.raises(InputError, match="there is no result"):
            store.parts("report", "0" * 64)

    def test_a_newer_record_replaces_an_older_one(self, store: ArtifactStore, tree: Path) -> None:
        key, record = self.stored(store, tree)
        newer = record.model_copy(update={"summary": {"score": 1.0}})
        store.put(key, newer)
        assert store.get(ReportRecord, key.digest) == newer

    def test_a_record_that_json_changes_is_refused(self, store: ArtifactStore) -> None:
        key = Key.of("report", seed=1)
        with pytest.raises(StoreError, match="not finite"):
            store.put(key, ReportRecord(key=key.digest, summary={"score": math.nan}))
        assert store.get(ReportRecord, key.digest) is None

    @pytest.mark.parametrize(
        "damage", ["changed", "truncated", "missing", "extra", "manifest changed", "no manifest", "forged"]
    )
    def test_a_damaged_artifact_is_never_served(
        self, store: ArtifactStore, tree: Path, caplog: pytest.LogCaptureFixture, damage: str
    ) -> None:
        key, record = self.stored(store, tree)
        ref = record.artifacts["report"]
        assert store.get(ReportRecord, key.digest) is not None
        folder = f"artifacts/{ref.digest}"
        data = store._files.read(f"{folder}/files/sub/two.bin")
        assert data is not None
        if damage == "changed":
            rewrite(store, f"{folder}/files/sub/two.bin", data[:500] + bytes([data[500] ^ 1]) + data[501:])
        elif damage == "truncated":
            rewrite(store, f"{folder}/files/sub/two.bin", data[:-1])
        elif damage == "missing":
            store._files.remove(f"{folder}/files/empty")
        elif damage == "extra":
            store._files.write(f"{folder}/files/sub/cache.arrow", b"left here by a reader")
        elif damage == "manifest changed":
            rewrite(store, f"{folder}/manifest.json", canonical_json({"one.txt": "0" * 64}))
        elif damage == "forged":
            manifest = json.loads(store._files.read(f"{folder}/manifest.json") or b"")
            rewrite(store, f"{folder}/files/one.txt", b"two")
            rewrite(store, f"{folder}/manifest.json", canonical_json({**manifest, "one.txt": digest_bytes(b"two")}))
        else:
            store._files.remove(f"{folder}/manifest.json")

        with pytest.raises(DamagedArtifact, match=ref.digest):
            store.fetch(ref)
        with caplog.at_level(logging.WARNING):
            assert store.get(ReportRecord, key.digest) is None
        assert ref.digest in caplog.text and "computed anew" in caplog.text
        assert store.find("") == []
        assert not store._artifacts.contains(ref.digest)
        caplog.clear()
        assert store.get(ReportRecord, key.digest) is None
        assert caplog.text == ""
        self.stored(store, tree)
        assert store.get(ReportRecord, key.digest) is not None

    @pytest.mark.parametrize("damage", ["bit", "truncated", "empty", "not json"])
    def test_a_damaged_record_is_never_served(
        self, store: ArtifactStore, tree: Path, caplog: pytest.LogCaptureFixture, damage: str
    ) -> None:
        key, _ = self.stored(store, tree)
        name = f"records/report/{key.digest}.json"
        data = store._files.read(name)
        assert data is not None and b'"seed": 13' in data
        damaged = {
            "bit": data.replace(b'"seed": 13', b'"seed": 12'),
            "truncated": data[:-20],
            "empty": b"",
            "not json": b"[]",
        }
        rewrite(store, name, damaged[damage])
        with pytest.raises(StoreError, match="is damaged"):
            store.parts("report", key.digest)
        with caplog.at_level(logging.WARNING):
            assert store.get(ReportRecord, key.digest) is None
        assert "is damaged" in caplog.text
        assert store.find("") == []

    def test_a_whole_record_of_another_version_is_left_to_be_replaced(
        self, store: ArtifactStore, tree: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        key, record = self.stored(store, tree)
        name = f"records/report/{key.digest}.json"
        body = json.loads(store._files.read(name) or b"")
        del body["sha256"]
        body["record"]["field_of_the_future"] = 1
        rewrite(store, name, json.dumps({**body, "sha256": digest_bytes(canonical_json(body))}).encode())
        with caplog.at_level(logging.WARNING):
            assert store.get(ReportRecord, key.digest) is None
        assert "cannot be read" in caplog.text
        assert store.find("") == [("report", key.digest)]
        store.fetch(record.artifacts["report"])

    @pytest.mark.parametrize("outside", ["../escape", "/etc/escape", "sub/../../escape", "a\\..\\escape", "./escape"])
    def test_a_manifest_that_names_a_path_outside_is_refused(self, store: ArtifactStore, outside: str) -> None:
        manifest = canonical_json({outside: digest_bytes(b"evil")})
        digest = digest_bytes(manifest)
        store._files.write(f"artifacts/{digest}/files/escape", b"evil")
        store._files.write(f"artifacts/{digest}/manifest.json", manifest)
        with pytest.raises(DamagedArtifact, match="inside its artifact"):
            store.fetch(ArtifactRef(name="evil", digest=digest, files=1, size_bytes=4))

    def test_a_name_that_is_no_name_is_refused(self, store: ArtifactStore) -> None:
        with pytest.raises(InputError, match="64 lower-case hexadecimal"):
            store.get(ReportRecord, "../" * 21 + "x")
        with pytest.raises(InputError, match="a cache name"):
            store.cache("../escape")
        with pytest.raises(InputError, match="a document prefix"):
            store.documents("ledger/../..")

    def test_prefixes_find_and_resolve_results(self, store: ArtifactStore) -> None:
        keys = [Key.of("report", seed=seed) for seed in range(20)]
        for key in keys:
            store.put(key, ReportRecord(key=key.digest, summary={}))
        assert store.find("") == sorted((key.kind, key.digest) for key in keys)
        wanted = keys[7]
        assert store.resolve(wanted.short) == ("report", wanted.digest)
        assert store.resolve(f"report/{wanted.digest[:20].upper()}") == ("report", wanted.digest)
        assert store.find(f"study/{wanted.short}") == []
        several = next(digit for digit in "0123456789abcdef" if sum(key.digest[0] == digit for key in keys) > 1)
        candidates = [key for key in keys if key.digest[0] == several]
        with pytest.raises(InputError, match=f"names {len(candidates)}; give more digits") as caught:
            store.resolve(several)
        assert all(str(key) in str(caught.value) for key in candidates)
        with pytest.raises(InputError, match="it holds 20 results"):
            store.resolve("0" * 64)
        with pytest.raises(InputError, match="first digits of its digest"):
            store.resolve("../secrets")

    def test_documents_are_replaced_and_listed(self, store: ArtifactStore) -> None:
        documents = store.documents("study/abc")
        assert documents.names() == [] and documents.get("trial-0.json") is None
        documents.put("trial-1.json", '{"status": "running"}')
        documents.put("trial-0.json", "ä")
        documents.put("trial-1.json", "{}")
        assert documents.names() == ["trial-0.json", "trial-1.json"]
        assert [documents.get(name) for name in documents.names()] == ["ä", "{}"]
        assert store.documents("study/ab").names() == []

    def test_scratch_is_empty_and_goes_away(self, store: ArtifactStore) -> None:
        with pytest.raises(RuntimeError), store.scratch() as path:
            assert list(path.iterdir()) == []
            (path / "file").write_text("x")
            raise RuntimeError
        assert not path.exists()

    def test_a_cache_persists(self, uri: str, store: ArtifactStore) -> None:
        (store.cache("tokens") / "file").write_text("x")
        assert (ArtifactStore(uri).cache("tokens") / "file").read_text() == "x"


class TestLocalStore(Conformance):
    @pytest.fixture
    def uri(self, file_uri: str) -> str:
        return file_uri


class TestMemoryStore(Conformance):
    @pytest.fixture
    def uri(self, memory_uri: str) -> str:
        return memory_uri


@pytest.mark.slow
class TestS3Store(Conformance):
    @pytest.fixture
    def uri(self, s3_uri: str) -> str:
        return s3_uri

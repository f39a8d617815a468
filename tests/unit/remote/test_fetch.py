"""What a fetch leaves in the cache, and what it does when it was cut off, or the other side changed or lies."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from podium.config.paths import locate
from podium.config.schema import DatasetConfig
from podium.data.formats import fingerprint
from podium.data.infer import infer
from podium.errors import InputError, ModelError, StoreError
from podium.models.backbone import locate_backbone
from podium.remote import fetch as module
from podium.remote.fetch import fetch
from tests.support import eventually

from ..data.conftest import labelled, write_jsonl
from .conftest import WebServer

LARGE = bytes(range(256)) * 40


@pytest.fixture
def memory() -> str:
    return f"memory://{uuid4().hex}"


def put(uri: str, data: bytes | str) -> None:
    fsspec.filesystem("memory").pipe_file(uri, data.encode() if isinstance(data, str) else data)


@pytest.fixture
def in_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Files are read in pieces of 1000 bytes."""
    monkeypatch.setattr(module, "_CHUNK", 1000)
    return 1000


def forget() -> None:
    """What a new process knows."""
    fetch.cache_clear()


def test_a_file_keeps_its_name(memory: str) -> None:
    put(f"{memory}/a b/news.csv", "text,label\n")
    path = fetch(f"{memory}/a b/news.csv")
    assert (path.name, path.read_text()) == ("news.csv", "text,label\n")


def test_a_folder_keeps_its_tree_and_a_file_of_it_is_not_fetched_twice(memory: str) -> None:
    put(f"{memory}/set/pos/1.txt", "good")
    put(f"{memory}/set/neg/1.txt", "bad")
    tree = fetch(f"{memory}/set")
    assert tree.name == "set"
    assert {file.relative_to(tree).as_posix(): file.read_text() for file in tree.rglob("*.txt")} == {
        "pos/1.txt": "good",
        "neg/1.txt": "bad",
    }
    assert fetch(f"{memory}/set/pos/1.txt").samefile(tree / "pos" / "1.txt")


def test_a_folder_that_cannot_be_put_in_its_place_is_an_error_unless_another_process_did(
    memory: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(f"{memory}/set/1.txt", "one")
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if target.parent.name == "trees":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(StoreError, match=r"the disk .* is full"):
        fetch(f"{memory}/set")

    def late(path: Path, target: Path) -> Path:
        if target.parent.name == "trees":
            shutil.copytree(path, target)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    assert (fetch(f"{memory}/set") / "1.txt").read_text() == "one"
    assert len(list((cache / "trees").iterdir())) == 1, "what this process made is gone"


def test_only_the_files_of_the_patterns_are_fetched(memory: str) -> None:
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "runs/old/config.json"):
        put(f"{memory}/model/{name}", name)
    found = locate_backbone(f"{memory}/model")
    assert sorted(file.name for file in found.rglob("*")) == ["config.json", "model.safetensors"]
    whole = locate_backbone(f"{memory}/model", patterns=())
    assert sum(file.is_file() for file in whole.rglob("*")) == 4
    with pytest.raises(InputError, match=r"must hold files named \*\.onnx, but has config\.json, "):
        fetch(f"{memory}/model", ("*.onnx",))


def test_the_same_rows_have_the_same_fingerprint_wherever_they_lie(memory: str, web: WebServer, tmp_path: Path) -> None:
    local = write_jsonl(tmp_path / "rows.jsonl", labelled(good=3, bad=3))
    put(f"{memory}/rows.jsonl", local.read_bytes())
    web.files["/rows.jsonl"] = local.read_bytes()
    digests = [
        fingerprint(DatasetConfig(name="test", path=str(place), task="text-classification"))
        for place in (local, f"{memory}/rows.jsonl", f"{web.url}/rows.jsonl")
    ]
    assert digests[0] == digests[1] == digests[2]


def test_splits_in_a_remote_folder_are_named_by_their_uris(memory: str) -> None:
    for split in ("train", "test"):
        rows = "".join(f"a long enough text number {n},{'good' if n % 2 else 'bad'}\n" for n in range(40))
        put(f"{memory}/set/{split}.csv", f"text,label\n{rows}")
    found = infer(locate(f"{memory}/set"), uri=f"{memory}/set")
    values = {one.path[1]: one.value for one in found.given.assignments}
    assert (values["name"], values["path"]) == ("set", f"{memory}/set/train.csv")
    assert values["test_path"] == f"{memory}/set/test.csv"
    assert found.lines[0].startswith(f"data: {memory}/set (its copy is ")


def test_what_is_there_is_not_fetched_again_and_a_change_is_seen(web: WebServer) -> None:
    web.files["/news.csv"] = b"old"
    url = f"{web.url}/news.csv"
    fetch(url)
    fetch(url)
    assert (web.count("HEAD"), web.count("GET")) == (1, 1)
    forget()
    fetch(url)
    assert (web.count("HEAD"), web.count("GET")) == (2, 1)
    web.files["/news.csv"], web.tag = b"new", {"Last-Modified": "Mon, 30 Nov 2026 00:00:00 GMT"}
    forget()
    assert fetch(url).read_bytes() == b"new"
    assert web.count("GET") == 2


def test_a_query_names_the_content_and_not_the_copy(web: WebServer) -> None:
    web.files["/news.csv"] = b"x"
    assert fetch(f"{web.url}/news.csv?download=1").name == "news.csv"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://h/a%20b/news.csv", "news.csv"),
        ("https://h/%2e%2e", "data"),
        ("https://h/a/..%2f..", "data"),
        ("https://h/%5cevil", "data"),
        ("https://h", "data"),
        ("s3://b/x?y.csv", "x?y.csv"),
        ("s3://b/..", "data"),
    ],
)
def test_a_copy_never_leaves_the_cache(address: str, name: str) -> None:
    assert module._name(address) == name


def test_a_file_that_was_cut_off_is_gone_on_with(web: WebServer, in_chunks: int, cache: Path) -> None:
    web.files["/weights.bin"], web.cut = LARGE, 300
    url = f"{web.url}/weights.bin"
    with pytest.raises(InputError, match=f"{url} "):
        fetch(url)
    assert [file.suffix for file in (cache / "files").iterdir() if file.is_file()].count(".partial") == 1
    assert not any(file.is_dir() for file in (cache / "files").iterdir())
    web.cut = None
    before = len(web.requests)
    forget()
    assert fetch(url).read_bytes() == LARGE
    assert min(first for method, _, first in web.requests[before:] if method == "GET") == 1000


def test_a_server_without_ranges_gives_the_whole_file(web: WebServer, in_chunks: int) -> None:
    web.files["/weights.bin"], web.ranges = LARGE, False
    assert fetch(f"{web.url}/weights.bin").read_bytes() == LARGE


FETCH = """
import sys
from podium.remote import fetch as module
module._CHUNK = 1000
print(module.fetch(sys.argv[1]), flush=True)
"""


def start(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", FETCH, url], stdout=subprocess.PIPE, text=True)


def test_a_killed_process_leaves_what_the_next_one_goes_on_with(web: WebServer, in_chunks: int, cache: Path) -> None:
    web.files["/weights.bin"], web.cut, web.held = LARGE, 10, True
    process = start(f"{web.url}/weights.bin")
    assert web.waiting.wait(300)
    process.kill()
    process.communicate()
    assert not list((cache / "files").glob("*/*"))
    (partial,) = (cache / "files").glob("*.partial")
    assert partial.read_bytes() == LARGE[:1000]
    web.cut = None
    web.go_on.set()
    before = len(web.requests)
    assert fetch(f"{web.url}/weights.bin").read_bytes() == LARGE
    assert min(first for method, _, first in web.requests[before:] if method == "GET") == 1000
    assert [file.name for file in (cache / "files").rglob("*") if file.is_file()] == ["weights.bin"]


def test_processes_that_want_the_same_file_fetch_it_once(web: WebServer) -> None:
    web.files["/weights.bin"], web.cut, web.held = LARGE, 10, True
    url = f"{web.url}/weights.bin"
    processes = [start(url), start(url)]
    assert web.waiting.wait(300)
    eventually(lambda: web.count("HEAD") >= 2)
    web.go_on.set()
    paths = {process.communicate()[0] for process in processes}
    assert len(paths) == 1 and Path(paths.pop().strip()).read_bytes() == LARGE
    assert sorted(first for method, _, first in web.requests if method == "GET") == [
        *range(0, len(LARGE), 1000),
    ]


def test_a_damaged_file_is_refused_and_not_kept(memory: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(f"{memory}/x.csv", "text")
    monkeypatch.setattr(module, "_digest", lambda fs, info: ("md5", "0" * 32))
    with pytest.raises(InputError, match=r"x\.csv did not arrive as it is there: its md5 is \w+ instead of 0+; run"):
        fetch(f"{memory}/x.csv")
    assert not [file for file in (cache / "files").iterdir() if file.suffix != ".lock"]


def test_a_file_that_changes_while_it_is_fetched_is_refused(
    memory: str, in_chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(f"{memory}/x.bin", LARGE)
    copy = module._copy

    def slow(*arguments: Any) -> None:
        copy(*arguments)
        put(f"{memory}/x.bin", LARGE)

    monkeypatch.setattr(module, "_copy", slow)
    with pytest.raises(InputError, match="it was changed meanwhile"):
        fetch(f"{memory}/x.bin")


def test_a_server_that_shows_no_change_is_refused(web: WebServer) -> None:
    web.files["/x.csv"], web.tag = b"x", {}
    with pytest.raises(InputError, match="must have an entity tag or the time of its last change"):
        fetch(f"{web.url}/x.csv")


def test_names_outside_the_folder_are_refused(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(f"{memory}/set/x.csv", "x")
    fs = fsspec.filesystem("memory")
    found = {f"/{memory.removeprefix('memory://')}/set/../../evil": {"type": "file", "name": "evil", "created": 1}}
    monkeypatch.setattr(type(fs), "find", lambda *_, **__: found)
    with pytest.raises(InputError, match=r"holds '\.\./\.\./evil'"):
        fetch(f"{memory}/set")


def test_a_file_is_no_folder(web: WebServer) -> None:
    web.files["/data"] = b"<html>"
    with pytest.raises(InputError, match="https has only a file there; name one file"):
        fetch(f"{web.url}/data/")


def test_progress_is_reported(
    memory: str, in_chunks: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(f"{memory}/x.bin", LARGE)
    monkeypatch.setattr(module, "_PROGRESS_SECONDS", -1.0)
    caplog.set_level("INFO")
    fetch(f"{memory}/x.bin")
    assert f'fetching {{"uri": "{memory}/x.bin", "done": 1000, "total": {len(LARGE)}}}' in caplog.text
    assert "may be deleted" in caplog.text


def test_a_backbone_that_is_not_there_is_named(memory: str) -> None:
    with pytest.raises(ModelError, match=f"{memory}/none does not exist"):
        locate_backbone(f"{memory}/none")


def test_the_hub_is_read_by_its_digests(web: WebServer, cache: Path) -> None:
    small, large = b"text,label\n", b"weights" * 1000
    listed = [
        {"type": "file", "path": "data/train.csv", "size": len(small), "oid": "1" * 40},
        {
            "type": "file",
            "path": "data/model.safetensors",
            "size": len(large),
            "oid": "2" * 40,
            "lfs": {"oid": hashlib.sha256(large).hexdigest(), "size": len(large), "pointerSize": 100},
        },
    ]
    web.files |= {
        "/api/datasets/org/name": json.dumps({"id": "org/name"}).encode(),
        "/api/datasets/org/name/tree/main": json.dumps(
            [{"type": "directory", "path": "data", "oid": "3" * 40}]
        ).encode(),
        "/api/datasets/org/name/tree/main/data": json.dumps(listed).encode(),
        "/datasets/org/name/resolve/main/data/train.csv": small,
        "/datasets/org/name/resolve/main/data/model.safetensors": large,
    }
    environment = {**os.environ, "HF_ENDPOINT": web.url, "HF_HUB_OFFLINE": "0"}

    def run(uri: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", FETCH, uri]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert Path(run("hf://datasets/org/name/data/train.csv").stdout.strip()).read_bytes() == small
    tree = Path(run("hf://datasets/org/name/data").stdout.strip())
    assert (tree / "model.safetensors").read_bytes() == large
    gets = [path for method, path, _ in web.requests if method == "GET" and "/resolve/" in path]
    assert gets.count("/datasets/org/name/resolve/main/data/train.csv") == 1
    web.files["/datasets/org/name/resolve/main/data/model.safetensors"] = large[::-1]
    shutil.rmtree(cache)
    said = run("hf://datasets/org/name/data").stderr
    assert "model.safetensors of hf://datasets/org/name/data did not arrive as it is there: its sha256" in said

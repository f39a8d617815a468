"""Data and models in a real S3 server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

from conftest import podium_here
from podium.config.schema import DatasetConfig
from podium.data.formats import fingerprint
from podium.errors import InputError
from podium.models.backbone import backbone_digest, locate_backbone
from podium.remote import fetch as module
from podium.remote.fetch import fetch

from ..data.conftest import labelled, write_jsonl

pytestmark = pytest.mark.slow


@pytest.fixture
def s3(s3_uri: str) -> Iterator[Any]:
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    fs.clear_instance_cache()
    yield fs
    fs.clear_instance_cache()


def keys(output: str) -> list[str]:
    return re.findall(r"^prepare +run +(\w+)", output, re.MULTILINE)


def test_a_run_of_remote_data_is_the_run_of_the_same_local_data(s3: Any, s3_uri: str, tmp_path: Path) -> None:
    local = write_jsonl(tmp_path / "rows.jsonl", labelled(good=20, bad=20))
    s3.put_file(str(local), f"{s3_uri}/rows.jsonl")
    of = ("run", "--entrant", "linear", "--dry-run", "--data")
    here, there = podium_here(tmp_path, *of, str(local)), podium_here(tmp_path, *of, f"{s3_uri}/rows.jsonl")
    assert (here.code, there.code) == (0, 0), there.output
    assert len(keys(here.output)) == 1 and keys(here.output) == keys(there.output)
    assert f"fetching {s3_uri}/rows.jsonl (files: 1, " in there.output
    assert f"data: {s3_uri}/rows.jsonl (its copy is " in there.output


def test_folders_of_labels_and_of_shards(s3: Any, s3_uri: str, tmp_path: Path) -> None:
    for number in range(20):
        file = tmp_path / "folders" / ("good" if number % 2 else "bad") / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"text {number}")
    (tmp_path / "shards").mkdir()
    for number in range(3):
        write_jsonl(tmp_path / "shards" / f"{number}.jsonl", labelled(good=2, bad=number + 1))
    for name in ("folders", "shards"):
        s3.put(str(tmp_path / name), f"{s3_uri}/{name}", recursive=True)
        here, there = (
            fingerprint(DatasetConfig(name="test", path=path, task="text-classification"))
            for path in (str(tmp_path / name), f"{s3_uri}/{name}")
        )
        assert here == there


def test_a_backbone(s3: Any, s3_uri: str, toy: Path) -> None:
    s3.put(str(toy), f"{s3_uri}/encoder", recursive=True)
    s3.pipe_file(f"{s3_uri}/encoder/pytorch_model.bin", b"x")
    assert backbone_digest(locate_backbone(f"{s3_uri}/encoder")) == backbone_digest(toy)


def test_an_object_uploaded_in_parts_has_no_digest_and_is_fetched(s3: Any, s3_uri: str) -> None:
    data = bytes(range(256)) * (80 << 10)
    with s3.open(f"{s3_uri}/weights.bin", "wb", block_size=8 << 20) as stream:
        stream.write(data)
    assert "-" in s3.info(f"{s3_uri}/weights.bin")["ETag"]
    assert fetch(f"{s3_uri}/weights.bin").read_bytes() == data


@pytest.mark.parametrize("encryption", ["AES256", "aws:kms"])
def test_an_entity_tag_is_no_md5_under_a_key_of_kms(
    s3: Any, s3_uri: str, encryption: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.pipe_file(f"{s3_uri}/x.csv", b"text", ServerSideEncryption=encryption)
    found = module._file

    def strange(*arguments: Any) -> Any:
        file = found(*arguments)
        assert file.digest == ("md5", hashlib.md5(b"text").hexdigest())
        return replace(file, digest=("md5", "0" * 32))

    monkeypatch.setattr(module, "_file", strange)
    if encryption == "AES256":
        with pytest.raises(InputError, match="did not arrive as it is there"):
            fetch(f"{s3_uri}/x.csv")
    else:
        assert fetch(f"{s3_uri}/x.csv").read_bytes() == b"text"


def test_what_is_missing_is_named(s3: Any, s3_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"{s3_uri}/none\.csv does not exist"):
        fetch(f"{s3_uri}/none.csv")
    with pytest.raises(InputError, match=r"s3://no-such-bucket/x\.csv does not exist \(The specified bucket does not"):
        fetch("s3://no-such-bucket/x.csv")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3.clear_instance_cache()
    with pytest.raises(InputError, match=r"needs credentials, but none were found .*AWS_PROFILE, ~/\.aws"):
        fetch(f"{s3_uri}/x.csv")

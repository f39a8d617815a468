"""The errors when a URI cannot be opened or read."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from podium.config.compose import compose
from podium.errors import ConfigError, InputError, StoreError
from podium.remote import filesystems
from podium.remote.fetch import fetch
from podium.remote.filesystems import refuse_credentials

from .conftest import WebServer


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, r"needs credentials, but none were found or accepted \(.*\); give them by ~/\.netrc"),
        (403, "may not be read with the credentials in use"),
        (404, "does not exist"),
        (500, "cannot be read"),
    ],
)
def test_the_answer_of_a_server_is_explained(web: WebServer, status: int, says: str) -> None:
    web.files["/x.csv"], web.status = b"x", status
    with pytest.raises(InputError, match=f"^{web.url}/x.csv {says}"):
        fetch(f"{web.url}/x.csv")


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"^http://127\.0\.0\.1:9/x\.csv cannot be reached .* check the address"):
        fetch("http://127.0.0.1:9/x.csv")


def test_the_hub_is_not_asked_offline() -> None:
    with pytest.raises(InputError, match="because HF_HUB_OFFLINE is set; unset it, or give a local path"):
        fetch("hf://datasets/org/name/x.csv")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.url_to_fs", missing)
    with pytest.raises(InputError, match=r"'s3://b/x' needs a package .*: Install s3fs.*`pip install 'podium\[s3\]'`"):
        fetch("s3://b/x")


class NoCredentialsError(Exception): ...


class ClientError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__("An error occurred (AccessDenied)")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NoCredentialsError("Unable to locate credentials"), "needs credentials.*AWS_ACCESS_KEY_ID"),
        (ClientError(403), "may not be read with the credentials in use"),
        (PermissionError("Access Denied"), "may not be read"),
        (FileNotFoundError("bucket/x"), "does not exist"),
        (TimeoutError("slow"), "cannot be reached"),
        (OSError("https://u:secret@h/x?token=secret"), "cannot be read"),
    ],
)
def test_what_libraries_raise_is_explained(error: Exception, says: str, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=f"^s3://bucket/x {says}") as caught,
        filesystems.explained("s3://bucket/x", tmp_path),
    ):
        raise error
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, r"cannot fetch s3://bucket/x: the disk that holds .* is full .* or set XDG_CACHE_HOME to"),
        (errno.EACCES, r"cannot fetch s3://bucket/x: .* must be writable, .*; set XDG_CACHE_HOME to"),
    ],
)
def test_a_cache_that_cannot_be_written_is_named(number: int, says: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=says), filesystems.explained("s3://bucket/x", tmp_path):
        raise OSError(number, "not possible", str(tmp_path / "files"))


@pytest.mark.parametrize(
    "uri",
    [
        "https://me:secret@host/x.csv",
        "https://bucket.s3.amazonaws.com/x.csv?X-Amz-Credential=secret&X-Amz-Signature=secret",
        "https://account.blob.core.windows.net/c/x.csv?sv=1&sig=secret",
        "s3://key:secret@bucket/x.csv",
    ],
)
@pytest.mark.parametrize("field", ["dataset.path", "dataset.test_path", "entrants.mine.path"])
def test_a_uri_with_credentials_is_refused_before_it_is_recorded(uri: str, field: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must hold no credentials") as caught:
        compose([f"{field}={uri}"], tmp_path)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"\*\*\*"):
        fetch(uri)


@pytest.mark.parametrize("uri", ["https://h/x.csv?download=1", "hf://org/name@main", "postgresql://me:pw@host/db"])
def test_other_uris_pass(uri: str) -> None:
    refuse_credentials(uri)

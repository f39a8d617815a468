from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from podium.config.paths import is_uri, locate, resolve
from podium.errors import ConfigError, InputError


def test_a_relative_path_starts_at_the_given_directory_not_at_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert resolve("data/a.csv", tmp_path) == str(tmp_path / "data/a.csv")
    assert resolve("../a.csv", tmp_path / "b") == str(tmp_path / "a.csv")
    assert resolve("/data/a.csv", tmp_path) == "/data/a.csv"


def test_a_relative_directory_is_taken_from_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve("a.csv", Path("sub")) == str(tmp_path / "sub/a.csv")


def test_home_and_environment_variables_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("PLACE", "there")
    assert resolve("~/a", tmp_path) == "/home/someone/a"
    assert resolve("$PLACE/a", tmp_path) == str(tmp_path / "there/a")
    assert resolve("/x/${PLACE}s/a", tmp_path) == "/x/theres/a"
    assert resolve("s3://$PLACE/a", tmp_path) == "s3://there/a"
    assert resolve("price$$.csv", tmp_path) == str(tmp_path / "price$.csv")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("$PODIUM_UNDEFINED/a", "PODIUM_UNDEFINED is not defined"),
        ("${PODIUM_UNDEFINED}/a", "PODIUM_UNDEFINED is not defined"),
        ("cost$/a", r"write \$\$ for a dollar"),
        ("${oc.env:HOME}", r"write \$\$ for a dollar"),
        ("~no-such-user-here/a", "home directory"),
        ("", "must not be empty"),
        ("pkg:name", "pkg:NAME/PATH"),
        ("pkg:/path", "pkg:NAME/PATH"),
        ("pkg:name/../../etc/passwd", "pkg:NAME/PATH"),
    ],
)
def test_what_cannot_be_resolved_is_refused(value: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        resolve(value, tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        "s3://bucket/key",
        "gs://bucket/key",
        "https://host/path?x=1",
        "file:///data/x",
        "postgresql://user@host/db",
        "postgresql+psycopg://host/db",
        "memory://x",
        "sqlite:////data/runs.db",
        "sqlite:///:memory:",
        "sqlite://",
        "pkg:name/inner/path",
    ],
)
def test_uris_and_packaged_paths_stay_as_they_are(value: str, tmp_path: Path) -> None:
    assert resolve(value, tmp_path) == value


def test_a_relative_sqlite_file_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert resolve("sqlite:///runs.db", tmp_path) == f"sqlite:///{tmp_path}/runs.db"
    assert resolve("sqlite:///../runs.db?timeout=5", tmp_path / "a") == f"sqlite:///{tmp_path}/runs.db?timeout=5"
    assert resolve("sqlite:///~/runs.db", tmp_path) == "sqlite:////home/someone/runs.db"


def test_a_hub_id_is_kept_unless_such_a_path_exists(tmp_path: Path) -> None:
    assert resolve("google/bert_uncased", tmp_path, hub=True) == "google/bert_uncased"
    assert resolve("bert-base-uncased", tmp_path, hub=True) == "bert-base-uncased"
    (tmp_path / "google/bert_uncased").mkdir(parents=True)
    assert resolve("google/bert_uncased", tmp_path, hub=True) == str(tmp_path / "google/bert_uncased")


@pytest.mark.parametrize("value", ["./org/name", "a/b/c", "../name", "/org/name"])
def test_what_cannot_be_a_hub_id_is_a_path(value: str, tmp_path: Path) -> None:
    assert Path(resolve(value, tmp_path, hub=True)).is_absolute()


def test_a_resolved_value_resolves_to_itself(tmp_path: Path) -> None:
    for value in ("a b.csv", "sqlite:///x.db", "s3://b/k", "pkg:n/p", "org/name"):
        once = resolve(value, tmp_path, hub=True)
        assert resolve(once, Path("/elsewhere"), hub=True) == once


def test_locate_gives_existing_files(tmp_path: Path) -> None:
    file = tmp_path / "a b.csv"
    file.write_text("x")
    assert locate(str(file)) == file
    assert locate(file.as_uri()) == file


def test_locate_finds_what_a_distribution_brought() -> None:
    found = locate("pkg:pydantic/pydantic/main.py")
    assert found == Path(str(importlib.metadata.distribution("pydantic").locate_file("pydantic/main.py")))
    assert found.is_file()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("/no/such/file.csv", "/no/such/file.csv does not exist"),
        ("file:///no/such/file.csv", "does not exist"),
        ("s4://bucket/key", "an fsspec URI such as s3://bucket/path, but got 's4://bucket/key'"),
        ("pkg:no-such-distribution/x", "`pip install no-such-distribution`"),
        ("pkg:pydantic/pydantic/none.py", r"pydantic \d+.* has no pydantic/none.py"),
        ("org/name", "does not exist"),
    ],
)
def test_locate_says_what_is_missing_and_what_to_do(value: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        locate(value)


def test_a_windows_drive_is_no_uri() -> None:
    assert not is_uri("c://x")
    assert is_uri("gs://x")

"""Digests of trees and keys say what, not in which order it came."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.errors import StoreError
from podium.keys import Key, digest_bytes, digest_manifest
from podium.remote.fetch import is_inside
from podium.store.artifacts import read_source
from podium.store.store import ArtifactStore

names = st.text("abcdefgh.-_ä ", min_size=1, max_size=8).filter(lambda name: name.strip(". ") == name)
trees = st.dictionaries(st.tuples(names, names).map("/".join), st.binary(max_size=50), min_size=1, max_size=6)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def write(root: Path, files: list[tuple[str, bytes]]) -> Path:
    for name, data in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=40, deadline=None)
@given(trees, st.randoms(use_true_random=False))
def test_a_tree_has_one_digest_in_whatever_order_it_is_written(files: dict[str, bytes], rng) -> None:
    order = list(files.items())
    shuffled = rng.sample(order, len(order))
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        first, second = read_source(write(Path(a), order)), read_source(write(Path(b), shuffled))
    assert first == second == {name: digest_bytes(data) for name, data in files.items()}
    assert digest_manifest(dict(rng.sample(list(first.items()), len(first)))) == digest_manifest(second)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=4), values, max_size=4))
def test_a_key_does_not_depend_on_the_order_of_its_parts(parts: dict[str, Any]) -> None:
    key = Key.of("report", **parts)
    assert Key.of("report", **reordered(parts)) == key
    assert Key.of("report", **{**parts, "more": 1}).digest != key.digest


@settings(max_examples=60, deadline=None)
@given(trees, st.data())
def test_one_changed_byte_or_name_changes_the_digest(files: dict[str, bytes], data) -> None:
    manifest = {name: digest_bytes(content) for name, content in files.items()}
    name = data.draw(st.sampled_from(sorted(files)))
    changed = {**manifest, name: digest_bytes(files[name] + b"!")}
    renamed = {(f"{name}x" if entry == name else entry): digest for entry, digest in manifest.items()}
    assert len({digest_manifest(entry) for entry in (manifest, changed, renamed)}) == 3


@pytest.mark.parametrize("name", ["a", "a/b", "a b/ä.txt", "..a", "a..b/c"])
def test_a_path_inside_is_accepted(name: str) -> None:
    assert is_inside(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "/a", "../a", "a/../b", "a/..", "./a", "a//b", "a/", "a\\b", "a\0"]
)
def test_a_path_outside_or_not_in_normal_form_is_refused(name: str) -> None:
    assert not is_inside(name)


def test_a_file_name_with_a_backslash_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a\\b").write_text("x")
    with pytest.raises(StoreError, match="no backslash"):
        ArtifactStore(str(tmp_path / "store")).put_artifact("tree", tmp_path / "tree")

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from podium import keys
from podium.keys import (
    Key,
    NotKeyed,
    canonical_json,
    digest_file,
    digest_manifest,
    digest_tree,
    keyed,
    manifest_of,
)

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
PARTS = st.dictionaries(st.from_regex(r"[a-j]{1,5}", fullmatch=True), VALUES, max_size=5)


class Inner(BaseModel):
    count: int = 8
    rate: float = 0.5
    note: Annotated[str, NotKeyed("only shown")] = ""


class Outer(BaseModel):
    inner: Inner = Inner()
    many: dict[str, Inner] = {}
    where: Annotated[Inner, NotKeyed("a place")] = Inner()


def reversed_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reversed_order(item) for name, item in reversed(value.items())}
    return [reversed_order(item) for item in value] if isinstance(value, list) else value


@given(PARTS)
def test_order_of_names_does_not_matter(parts: dict[str, Any]) -> None:
    assert Key.of("trial", **reversed_order(parts)) == Key.of("trial", **parts)


@given(PARTS)
def test_a_tuple_is_a_list(parts: dict[str, Any]) -> None:
    as_tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in parts.items()}
    assert Key.of("trial", **as_tuples).digest == Key.of("trial", **parts).digest


@given(PARTS, PARTS)
def test_keys_are_equal_exactly_when_their_json_is(left: dict[str, Any], right: dict[str, Any]) -> None:
    same = _canonical(left) == _canonical(right)
    assert (Key.of("trial", **left).digest == Key.of("trial", **right).digest) == same


def _canonical(value: Any) -> Any:
    """Equality of JSON values by hand: types tell 1, 1.0 and True apart; -0.0 is 0.0; names are unordered."""
    if isinstance(value, dict):
        return ("dict", frozenset((name, _canonical(item)) for name, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(_canonical(item) for item in value))
    return (type(value).__name__, value)


@given(PARTS)
def test_kind_and_schema_version_are_part_of_the_key(parts: dict[str, Any]) -> None:
    key = Key.of("trial", **parts)
    assert Key.of("study", **parts).digest != key.digest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "SCHEMA_VERSION", keys.SCHEMA_VERSION + 1)
        assert Key.of("trial", **parts).digest != key.digest


@given(VALUES)
def test_canonical_json_is_json_of_the_same_value(value: Any) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 2))
def test_what_is_not_finite_is_refused(value: float, depth: int) -> None:
    nested: Any = value
    for _ in range(depth):
        nested = {"x": [nested]}
    with pytest.raises(ValueError, match="must be finite"):
        Key.of("trial", part=nested)


@pytest.mark.parametrize("value", [Path("/x"), {1, 2}, b"x", object(), 1 + 2j])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="must be JSON-like"):
        Key.of("trial", part=[value])


@given(st.integers(-(2**53), 2**53))
def test_numbers_are_normalised_by_their_declared_type(number: int) -> None:
    as_float = Inner(count=float(number), rate=number)  # type: ignore[arg-type]
    as_int = Inner(count=number, rate=float(number))
    assert Key.of("x", part=as_float).digest == Key.of("x", part=as_int).digest
    assert type(keyed(as_float)["count"]) is int
    assert type(keyed(as_float)["rate"]) is float


def test_undeclared_numbers_of_different_types_are_different_values() -> None:
    digests = {Key.of("x", part=value).digest for value in (8, 8.0, True, 1, "8", None, [8], {"8": None})}
    assert len(digests) == 8


def test_negative_zero_is_zero() -> None:
    assert Key.of("x", part=-0.0).digest == Key.of("x", part=0.0).digest


@given(st.text())
def test_marked_fields_do_not_shape_the_key_at_any_depth(note: str) -> None:
    plain = Outer(many={"a": Inner()})
    noted = Outer(inner=Inner(note=note), many={"a": Inner(note=note)}, where=Inner(count=9, note=note))
    assert (
        keyed(noted) == keyed(plain) == {"inner": {"count": 8, "rate": 0.5}, "many": {"a": {"count": 8, "rate": 0.5}}}
    )
    assert keyed(Outer(many={"a": Inner(count=9)})) != keyed(plain)


def test_a_key_keeps_its_parts_and_shows_itself_shortly() -> None:
    key = Key.of("trial", b=(1, 2), a=Inner())
    assert key.parts == {"b": [1, 2], "a": {"count": 8, "rate": 0.5}}
    assert str(key) == f"trial/{key.digest}"
    assert key.digest.startswith(key.short)
    assert len(key.short) == 12


def test_a_known_key_stays_what_it_is() -> None:
    golden = "4e1e4e2cfcdf3dc15f1d6f84f8d3352d9f2efc33d575606997e1a38fdb8df21d"
    assert Key.of("trial", text="é", number=1, real=0.1, none=None, flags=[True, False]).digest == golden


def test_files_are_keyed_by_their_bytes_and_relative_names(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place / "sub").mkdir(parents=True)
        (tmp_path / place / "a.txt").write_bytes(b"x" * (1 << 20) + b"y")
        (tmp_path / place / "sub" / "b.txt").write_text("b")
    assert list(manifest_of(tmp_path / "one")) == ["a.txt", "sub/b.txt"]
    assert digest_tree(tmp_path / "one") == digest_tree(tmp_path / "two")
    assert digest_tree(tmp_path / "one") == digest_manifest(dict(reversed(manifest_of(tmp_path / "two").items())))
    assert manifest_of(tmp_path / "one" / "a.txt") == {"a.txt": digest_file(tmp_path / "two" / "a.txt")}
    (tmp_path / "two" / "sub" / "b.txt").write_text("c")
    assert digest_tree(tmp_path / "one") != digest_tree(tmp_path / "two")
    (tmp_path / "two" / "sub" / "b.txt").write_text("b")
    (tmp_path / "two" / "sub" / "b.txt").rename(tmp_path / "two" / "sub" / "c.txt")
    assert digest_tree(tmp_path / "one") != digest_tree(tmp_path / "two")

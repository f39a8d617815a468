"""Explains why a result has its key: the parts behind one key, and what differs between two."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from podium.store.store import ArtifactStore


def explain_key(store: ArtifactStore, prefix: str) -> str:
    """The parts of the key that `ArtifactStore.resolve` finds for `prefix`, one nested path per line."""
    kind, digest = store.resolve(prefix)
    lines = [f"{kind}/{digest}"]
    lines += [f"  {path}: {_show(value)}" for path, value in _leaves(store.parts(kind, digest))]
    return "\n".join(lines)


def explain_difference(store: ArtifactStore, a: str, b: str) -> str:
    """Which parts differ between two keys that `ArtifactStore.resolve` finds, each with both values."""
    first, second = store.resolve(a), store.resolve(b)
    names = ["/".join(name) for name in (first, second)]
    if first == second:
        return f"{names[0]} is compared with itself: nothing differs"
    lines = [f"a: {names[0]}", f"b: {names[1]}"]
    if first[0] != second[0]:
        lines.append(f"  the kinds differ: a is {first[0]}, b is {second[0]}")
    differing = differences(store.parts(*first), store.parts(*second))
    lines += [f"  {path}: a = {a}, b = {b}" for path, a, b in differing]
    if first[0] == second[0] and not differing:
        lines.append("  all parts are equal: the keys were made under different schema versions")
    return "\n".join(lines)


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The nested paths at which the parts of two keys differ, each with both values as text."""
    first, second = ({path: _show(value) for path, value in _leaves(parts)} for parts in (a, b))
    pairs = [(path, first.get(path, "(absent)"), second.get(path, "(absent)")) for path in {**first, **second}]
    return [(path, one, other) for path, one, other in pairs if one != other]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every innermost value with its path; an empty mapping or list counts as innermost."""
    if isinstance(value, Mapping) and value:
        for name in sorted(value):
            step = name if name.isidentifier() else f"[{_show(name)}]"
            yield from _leaves(value[name], f"{path}.{step}" if path and step is name else path + step)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def _show(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

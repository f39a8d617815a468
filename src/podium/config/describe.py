"""What the fields of the config mean, and the values of one config, in words."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from podium.config.compose import Composed
from podium.config.fields import FieldPath, child_of, leaves, node_at, schema_paths
from podium.config.schema import PodiumConfig
from podium.errors import ConfigError
from podium.keys import NotKeyed
from podium.text import did_you_mean

_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_WIDTH = 96
_WIDEST = 56
"""Values longer than this push their origin to the right rather than all others."""


@dataclass(frozen=True)
class FieldDescription:
    """One field of the config in words.

    Attributes:
        name: dotted; `NAME` where the user chooses a name.
        default: in the command line's syntax, or `required`.
        meaning: Markdown, with the allowed values where they are listed.
        not_keyed: why the field does not change keys; empty where it does.
    """

    name: str
    default: str
    meaning: str
    not_keyed: str


def describe_fields() -> list[FieldDescription]:
    """Every field of the config, in the order of the schema."""
    return [_describe(path, field) for path in schema_paths() if isinstance(field := node_at(path), FieldInfo)]


def explain_fields(prefix: str = "") -> str:
    """The fields at or below a dotted name, for a terminal.

    Raises:
        ConfigError: the config has no such field or section.
    """
    described, wanted = describe_fields(), prefix.split(".") if prefix else []
    lines = []
    for one in described:
        pairs = list(zip_longest(one.name.split("."), wanted))
        if any(name not in (asked, "NAME") for name, asked in pairs[: len(wanted)]):
            continue
        default = one.default if one.default == "required" else f"default {one.default}"
        key = f"not part of any key: {one.not_keyed}" if one.not_keyed else "changes keys"
        meaning = _LINK.sub(r"\1", one.meaning).replace("`", "")
        body = textwrap.wrap(meaning, _WIDTH) + textwrap.wrap(f"{default}; {key}", _WIDTH)
        lines += [one.name, *(f"    {line}" for line in body)]
    if not lines:
        names = {".".join(one.name.split(".")[:end]) for one in described for end in (1, 2, 3)}
        hint = did_you_mean(prefix, sorted(names)) or "; `podium config explain` lists all of them"
        raise ConfigError(f"the config has no field or section {prefix!r}{hint}")
    return "\n".join(lines)


def render_config(composed: Composed) -> str:
    """Lines of dotted key, value in the command line's syntax and origin, in schema order, aligned."""
    rows = [(".".join(path), value_text(value)) for path, value in leaves(composed.config)]
    keys = max(len(key) for key, _ in rows)
    values = max(len(value) for _, value in rows if len(value) <= _WIDEST)
    return "\n".join(f"{key:<{keys}}  {value:<{values}}  {composed.origins[key]}" for key, value in rows)


def value_text(value: Any) -> str:
    """A value in the command line's syntax."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(value_text(item) for item in value)}]"
    return "{}" if value == {} else str(value) or "''"


def _describe(path: FieldPath, field: FieldInfo) -> FieldDescription:
    default = "required" if field.is_required() else value_text(field.get_default(call_default_factory=True))
    choices, meaning = list(dict.fromkeys(_choices(field.annotation))), field.description or ""
    if not all(f"`{choice}`" in meaning for choice in choices if choice != default):
        meaning = f"{meaning} One of {', '.join(f'`{choice}`' for choice in choices)}.".strip()
    return FieldDescription(".".join(path).replace("*", "NAME"), default, meaning, _not_keyed(path))


def _choices(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from (str(choice) for choice in get_args(annotation))
    for part in get_args(annotation):
        yield from _choices(part)


def _not_keyed(path: FieldPath) -> str:
    """The reason of the field, or of a section around it."""
    node: Any = PodiumConfig
    for name in path:
        marks = node.model_fields[name].metadata if isinstance(node, type) else ()  # type: ignore[attr-defined]
        reason = next((mark.reason for mark in marks if isinstance(mark, NotKeyed)), "")
        if reason:
            return str(reason)
        node = child_of(node, name)
    return ""

"""What every config field means, in words: the guide's table and `podium config explain` are made from the schema."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from podium.config.fields import FieldPath, child_of, node_at, schema_paths
from podium.config.schema import PodiumConfig
from podium.config.show import value_text
from podium.errors import ConfigError
from podium.keys import NotKeyed
from podium.text import did_you_mean

_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_WIDTH = 96


@dataclass(frozen=True)
class FieldDescription:
    """One field of the config in words.

    Attributes:
        name: dotted; `NAME` where the user chooses a name.
        default: in the command line's syntax, or `required`.
        choices: the values that are allowed, where they are listed.
        meaning: Markdown.
        not_keyed: why the field does not change keys; empty where it does.
    """

    name: str
    default: str
    choices: tuple[str, ...]
    meaning: str
    not_keyed: str


def describe_fields() -> list[FieldDescription]:
    """Every field of the config, in the order of the schema."""
    return [_describe(path, field) for path in schema_paths() if isinstance(field := node_at(path), FieldInfo)]


def markdown_table() -> str:
    """The table of config values in the user guide."""
    lines = ["| field | default | meaning | key |", "| --- | --- | --- | --- |"]
    for one in describe_fields():
        default = one.default if one.default == "required" else f"`{one.default}`"
        meaning = f"{one.meaning} {_choice_sentence(one)}".strip()
        lines.append(f"| `{one.name}` | {default} | {meaning} | {'–' if one.not_keyed else 'yes'} |")
    return "\n".join(lines)


def explain_fields(prefix: str = "") -> str:
    """The fields at or below a dotted name, for a terminal.

    Raises:
        ConfigError: the config has no such field or section.
    """
    described = describe_fields()
    found = [one for one in described if _is_below(one.name, prefix)]
    if not found:
        names = {".".join(one.name.split(".")[:end]) for one in described for end in (1, 2, 3)}
        hint = did_you_mean(prefix, sorted(names)) or "; `podium config explain` lists all of them"
        raise ConfigError(f"the config has no field or section {prefix!r}{hint}")
    return "\n".join(line for one in found for line in _lines(one))


def _describe(path: FieldPath, field: FieldInfo) -> FieldDescription:
    required = field.is_required()
    return FieldDescription(
        name=".".join(path).replace("*", "NAME"),
        default="required" if required else value_text(field.get_default(call_default_factory=True)),
        choices=tuple(dict.fromkeys(_choices(field.annotation))),
        meaning=field.description or "",
        not_keyed=_not_keyed(path),
    )


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


def _choice_sentence(one: FieldDescription) -> str:
    """The allowed values, where the meaning does not name them all."""
    if all(f"`{choice}`" in one.meaning for choice in one.choices if choice != one.default):
        return ""
    return f"One of {', '.join(f'`{choice}`' for choice in one.choices)}."


def _is_below(name: str, prefix: str) -> bool:
    wanted, given = (prefix.split(".") if prefix else []), name.split(".")
    return len(wanted) <= len(given) and all(
        part in (asked, "NAME") for part, asked in zip(given, wanted, strict=False)
    )


def _lines(one: FieldDescription) -> list[str]:
    plain = _LINK.sub(r"\1", f"{one.meaning} {_choice_sentence(one)}").replace("`", "").strip()
    default = "required" if one.default == "required" else f"default {one.default}"
    key = f"not part of any key: {one.not_keyed}" if one.not_keyed else "changes keys"
    body = textwrap.wrap(plain, _WIDTH) + textwrap.wrap(f"{default}; {key}", _WIDTH)
    return [one.name, *(f"    {line}" for line in body)]

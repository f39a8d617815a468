"""The command line's `key=value` syntax: Hydra's grammar, except that text fields take text as it stands.

A field that the schema declares as text (a path, a name, a URI) needs no quoting beyond the shell's:
`dataset.path=/data/my file (1).csv` works. Everything else is parsed by Hydra.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

from podium.config.fields import FieldPath, is_text, node_at
from podium.config.problems import suggestion
from podium.config.schema import NAME_PATTERN, PodiumConfig
from podium.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

Groups = Mapping[str, Sequence[str]]
"""Options of every config group, by group."""

_PLAIN = re.compile(r"(?P<mark>~|\+{0,2})(?P<key>[^=@\s]+)(?:=(?P<value>.*))?", re.DOTALL)
_GENERIC = {"model", "models", "checkpoint", "best", "final", "latest", "last", "output", "weights", "backbone"}


@dataclass(frozen=True)
class Assignment:
    """One value to set at `path`, or, with `delete`, one entry to take away."""

    path: FieldPath
    value: Any = None
    delete: bool = False


@dataclass
class Parsed:
    """What changes a config: choices of group options, in Hydra's syntax, and assignments, in order."""

    groups: dict[str, str] = field(default_factory=dict)
    assignments: list[Assignment] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, other: Parsed) -> None:
        """Apply `other` after this."""
        self.groups |= other.groups
        self.assignments += other.assignments


def literal(value: str) -> str:
    """The text that composition takes for exactly `value`, also where that holds `${`."""
    return re.sub(r"(\\*)(\$\{)", lambda match: match[1] * 2 + "\\" + match[2], value)


def literal_path(path: PurePath) -> str:
    """The text of a path field that means exactly `path`: `$$` is a dollar there, because `$NAME` is a variable."""
    dollars = str(path).replace("$", "$$")
    return re.sub(r"(\\*)(\$\{(?![A-Za-z_]\w*\}))", lambda match: match[1] * 2 + "\\" + match[2], dollars)


def parse_overrides(overrides: Sequence[str], groups: Groups) -> Parsed:
    """Sort overrides into choices and assignments; what cannot be understood is listed in `problems`."""
    parsed = Parsed()
    for text in overrides:
        try:
            _parse_one(text, groups, parsed)
        except ConfigError as error:
            parsed.problems.append(str(error))
    return parsed


def choice_of(group: str, value: Any, groups: Groups) -> str:
    """The choice of one option, or of a list of them, in Hydra's syntax.

    Raises:
        ConfigError: an option does not exist, or several are given where one is expected.
    """
    if isinstance(value, list) and group in PodiumConfig.model_fields:
        raise ConfigError(f"{group} takes one option, but got [{', '.join(map(str, value))}]; write {group}=OPTION")
    for option in value if isinstance(value, list) else [value]:
        if option not in groups[group]:
            hint = suggestion(str(option), groups[group])
            raise ConfigError(
                f"{group} has no option {option!r}; its options are {', '.join(groups[group])}"
                + (f" ({hint})" if hint else "")
            )
    return f"{group}=[{','.join(value)}]" if isinstance(value, list) else f"{group}={value}"


def backbone_choice(paths: Sequence[str]) -> Parsed:
    """The choice that exactly these backbones compete, under readable names made from their paths.

    Args:
        paths: directories, `pkg:NAME/PATH` or hub ids, as a user wrote them.
    """
    names: list[str] = []
    for path in paths:
        slug = _slug(path)
        numbered = (f"{slug[:36].rstrip('-')}-{number}" for number in count(2))
        names.append(next(name for name in chain([slug], numbered) if name not in names))
    assigned = [Assignment(("backbones", name, "path"), path) for name, path in zip(names, paths, strict=True)]
    return Parsed({"model": "model=[]"}, assigned)


def _slug(path: str) -> str:
    if path.startswith("pkg:"):
        readable = path.removeprefix("pkg:").split("/")[0]
    else:
        parts = [part for part in PurePosixPath(path).parts if part not in {"/", ".", "..", "~"}] or ["model"]
        generic = parts[-1].lower() in _GENERIC or parts[-1].lower().startswith("checkpoint-")
        readable = "-".join(parts[-2:]) if generic else parts[-1]
    slug = re.sub(r"[^a-z0-9]+", "-", readable.lower()).strip("-")
    slug = (slug if slug[:1].isalpha() else f"m-{slug}")[:40].strip("-")
    if not NAME_PATTERN.fullmatch(slug):
        raise AssertionError(f"{slug!r}, made from {path!r}, is not a backbone name")
    return slug


def _parse_one(text: str, groups: Groups, parsed: Parsed) -> None:
    match = _PLAIN.fullmatch(text.strip())
    if match and match["mark"] != "~" and match["value"] is not None:
        path = tuple(match["key"].split("."))
        value = match["value"].strip()
        if is_text(node_at(path)) and value.lower() != "null" and value[:1] not in ("'", '"'):
            parsed.assignments.append(Assignment(path, value))
            return
    override = _parse_by_hydra(text)
    value = override.value()
    group = override.key_or_group
    if group in groups and not (isinstance(value, dict) and group in PodiumConfig.model_fields):
        if override.get_key_element() != group:
            raise ConfigError(f"options of {group} are chosen as {group}=OPTION, but got {text!r}")
        parsed.groups[group] = choice_of(group, value, groups)
    elif override.is_delete():
        parsed.assignments.append(Assignment(tuple(group.split(".")), delete=True))
    else:
        parsed.assignments.append(Assignment(tuple(group.split(".")), value))


def _parse_by_hydra(text: str) -> Override:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if "=" not in text and not text.startswith("~"):
        raise ConfigError(f"an override is written key=value, but got {text!r}")
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"{text!r} cannot be read as key=value: {reason}; put the value in quotes if it is text"
        ) from error
    if override.is_sweep_override():
        raise ConfigError(f"one value per key is expected, but got {text!r}; write a list as [a,b]")
    return override

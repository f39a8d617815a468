"""What a user gives: `key=value` on the command line, and YAML files of values.

The command line's syntax is Hydra's grammar, except that text fields take text as it stands: a field that the schema
declares as text (a path, a name, a URI) needs no quoting beyond the shell's, so `dataset.path=/data/my file (1).csv`
works. In a file, numbers and truth values follow YAML 1.2, so that `1e-4` is a number and `off` is text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

from podium.config.entrants import ENTRANTS
from podium.config.fields import FieldPath, config_error, group_options, is_text, node_at, suggestion
from podium.config.schema import NAME_PATTERN, EntrantConfig, PodiumConfig
from podium.errors import ConfigError, InputError
from podium.strict_yaml import Yaml12, read_yaml

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

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

    def add(self, other: Parsed) -> None:
        self.groups |= other.groups
        self.assignments += other.assignments


def literal(value: str) -> str:
    """The text that composition takes for exactly `value`, also where that holds `${`."""
    return re.sub(r"(\\*)(\$\{)", lambda match: match[1] * 2 + "\\" + match[2], value)


def literal_path(path: PurePath | str) -> str:
    """The text of a path field that means exactly `path`: `$$` is a dollar there, because `$NAME` is a variable."""
    dollars = str(path).replace("$", "$$")
    return re.sub(r"(\\*)(\$\{(?![A-Za-z_]\w*\}))", lambda match: match[1] * 2 + "\\" + match[2], dollars)


def parse_overrides(overrides: Sequence[str]) -> Parsed:
    """Sort overrides into choices and assignments.

    Raises:
        ConfigError: some cannot be understood; the message lists all of them.
    """
    parsed, problems = Parsed(), []
    for text in overrides:
        try:
            _parse_one(text, parsed)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise config_error(problems)
    return parsed


def choice_of(group: str, value: Any) -> str:
    """The choice of one option, or of a list of them, in Hydra's syntax.

    Raises:
        ConfigError: an option does not exist, or several are given where one is expected.
    """
    known = group_options()[group]
    if isinstance(value, list) and group in PodiumConfig.model_fields:
        raise ConfigError(f"{group} takes one option, but got [{', '.join(map(str, value))}]; write {group}=OPTION")
    for option in value if isinstance(value, list) else [value]:
        if option not in known:
            hint = suggestion(str(option), known)
            raise ConfigError(
                f"{group} has no option {option!r}; its options are {', '.join(known)}" + (f" ({hint})" if hint else "")
            )
    return f"{group}=[{','.join(value)}]" if isinstance(value, list) else f"{group}={value}"


def entrant_choice(named: Sequence[str]) -> Parsed:
    """The choice that exactly these entrants compete, pretrained models under readable names made from their paths.

    Args:
        named: as a user wrote them: `linear`, or another kind that starts from nothing; or the directory,
            `pkg:NAME/PATH` or hub id of a pretrained model.
    """
    assigned: dict[str, Assignment] = {}
    for one in named:
        if one in ENTRANTS.names() and ENTRANTS.get(one).check_entry(EntrantConfig(kind=one)) is None:
            assigned[one] = Assignment(("entrants", one, "kind"), one)
            continue
        slug = _slug(one)
        numbered = (f"{slug[:36].rstrip('-')}-{number}" for number in count(2))
        name = next(name for name in chain([slug], numbered) if name not in assigned and name not in ENTRANTS.names())
        assigned[name] = Assignment(("entrants", name, "path"), one)
    return Parsed({"entrant": "entrant=[]"}, list(assigned.values()))


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
        raise AssertionError(f"{slug!r}, made from {path!r}, is no name of an entrant")
    return slug


def _parse_one(text: str, parsed: Parsed) -> None:
    match = _PLAIN.fullmatch(text.strip())
    if match and match["mark"] != "~" and match["value"] is not None:
        path, value = tuple(match["key"].split(".")), match["value"].strip()
        if is_text(node_at(path)) and value.lower() != "null" and value[:1] not in ("'", '"'):
            parsed.assignments.append(Assignment(path, value))
            return
    override = _parse_by_hydra(text)
    value, group = override.value(), override.key_or_group
    if group in group_options() and not (isinstance(value, dict) and group in PodiumConfig.model_fields):
        if override.get_key_element() != group:
            raise ConfigError(f"options of {group} are chosen as {group}=OPTION, but got {text!r}")
        parsed.groups[group] = choice_of(group, value)
    else:
        removed = override.is_delete()
        parsed.assignments.append(Assignment(tuple(group.split(".")), None if removed else value, delete=removed))


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


@dataclass(frozen=True)
class ConfigFile:
    """One file: chosen options by group, in Hydra's syntax, the values, and the place of each as `FILE:LINE`."""

    name: str
    groups: dict[str, str]
    values: dict[str, Any]
    places: dict[FieldPath, str]


def read_file(path: Path) -> ConfigFile:
    """Read a user's file: values, and under `defaults` the options of groups that it chooses.

    Raises:
        InputError: the file cannot be read.
        ConfigError: it is not a YAML mapping, holds a key twice, or chooses an unknown option.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the configuration file {path} cannot be read: {error}") from error
    documents = read_yaml(text, Yaml12, path.name)
    if not documents:
        return ConfigFile(path.name, {}, {}, {})
    if len(documents) > 1 or not isinstance(documents[0].value, dict):
        raise ConfigError(f"{path}: a configuration file is a mapping of keys to values")
    values = documents[0].value
    places = {key: f"{path.name}:{line}" for key, line in documents[0].lines.items()}
    place, defaults = places.get(("defaults",), path.name), values.pop("defaults", [])
    entries = defaults if isinstance(defaults, list) else [defaults]
    if not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{place}: defaults is a list of `- GROUP: OPTION`, but got {defaults!r}")
    chosen = {}
    for group, value in (item for entry in entries for item in entry.items()):
        if group not in group_options():
            raise ConfigError(f"{place}: there is no group {group!r}; the groups are {', '.join(group_options())}")
        try:
            chosen[group] = choice_of(group, value)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from error
    return ConfigFile(path.name, chosen, values, {at: place for at, place in places.items() if at[0] != "defaults"})

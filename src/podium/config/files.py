"""A user's own YAML file: values, and under `defaults` the options of groups that it chooses.

Numbers and truth values follow YAML 1.2, so that `1e-4` is a number and `off` is text; every value's line is
kept, so that an error can name it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from podium.config.fields import FieldPath
from podium.config.overrides import Groups, choice_of
from podium.errors import ConfigError, InputError


@dataclass(frozen=True)
class ConfigFile:
    """One file: chosen options by group, in Hydra's syntax, the values, and the place of each as `FILE:LINE`."""

    name: str
    groups: dict[str, str]
    values: dict[str, Any]
    places: dict[FieldPath, str]


class _Loader(yaml.SafeLoader):
    """SafeLoader with the numbers and truth values of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[1] in {"null", "merge"}]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z", re.IGNORECASE), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z"),
    list("-+.0123456789"),
)


def read_file(path: Path, groups: Groups) -> ConfigFile:
    """Read a user's file.

    Raises:
        InputError: the file cannot be read.
        ConfigError: it is not a YAML mapping, holds a key twice, or chooses an unknown option.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the configuration file {path} cannot be read: {error}") from error
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return ConfigFile(path.name, {}, {}, {})
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}: a configuration file is a mapping of keys to values")
        places: dict[FieldPath, str] = {}
        _collect(node, (), path.name, places)
        values = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path.name}{line}: not valid YAML: {error.problem}") from error
    finally:
        loader.dispose()
    chosen = _choices(values.pop("defaults", []), groups, places.get(("defaults",), path.name))
    return ConfigFile(path.name, chosen, values, {at: place for at, place in places.items() if at[0] != "defaults"})


def _collect(node: yaml.MappingNode, path: FieldPath, name: str, places: dict[FieldPath, str]) -> None:
    for key, value in node.value:
        here, place = (*path, str(key.value)), f"{name}:{key.start_mark.line + 1}"
        if here in places:
            raise ConfigError(f"{place}: {'.'.join(here)} is given twice, first at {places[here]}; remove one")
        places[here] = place
        if isinstance(value, yaml.MappingNode):
            _collect(value, here, name, places)


def _choices(defaults: Any, groups: Groups, place: str) -> dict[str, str]:
    entries = defaults if isinstance(defaults, list) else [defaults]
    if not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{place}: defaults is a list of `- GROUP: OPTION`, but got {defaults!r}")
    chosen = {}
    for group, value in (item for entry in entries for item in entry.items()):
        if group not in groups:
            raise ConfigError(f"{place}: there is no group {group!r}; the groups are {', '.join(groups)}")
        try:
            chosen[group] = choice_of(group, value, groups)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from error
    return chosen

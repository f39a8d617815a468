"""A user's own YAML file: values, and under `defaults` the options of groups that it chooses.

Numbers and truth values follow YAML 1.2, so that `1e-4` is a number and `off` is text; every value's line is
kept, so that an error can name it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.config.fields import FieldPath
from podium.config.overrides import Groups, choice_of
from podium.errors import ConfigError, InputError
from podium.strict_yaml import Yaml12, read_yaml


@dataclass(frozen=True)
class ConfigFile:
    """One file: chosen options by group, in Hydra's syntax, the values, and the place of each as `FILE:LINE`."""

    name: str
    groups: dict[str, str]
    values: dict[str, Any]
    places: dict[FieldPath, str]


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
    documents = read_yaml(text, Yaml12, path.name)
    if not documents:
        return ConfigFile(path.name, {}, {}, {})
    if len(documents) > 1 or not isinstance(documents[0].value, dict):
        raise ConfigError(f"{path}: a configuration file is a mapping of keys to values")
    values = documents[0].value
    places = {key: f"{path.name}:{line}" for key, line in documents[0].lines.items()}
    chosen = _choices(values.pop("defaults", []), groups, places.get(("defaults",), path.name))
    return ConfigFile(path.name, chosen, values, {at: place for at, place in places.items() if at[0] != "defaults"})


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

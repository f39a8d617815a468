"""From a command line to one validated config, and where each of its values came from.

Layers, later over earlier: defaults of the schema, options of the groups, the preset, the user's files, the
command line. Hydra chooses and composes the options; pydantic validates; paths are resolved here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from podium.config.fields import (
    CONF,
    FieldPath,
    OneOf,
    config_error,
    defining_names,
    explain,
    given_leaves,
    leaves,
    node_at,
    origin_of,
    suggestion,
)
from podium.config.overrides import Assignment, ConfigFile, Parsed, parse_overrides, read_file
from podium.config.paths import PACKAGE, is_uri, resolve
from podium.config.plan import PLANNED
from podium.config.schema import PodiumConfig
from podium.config.section import Place
from podium.errors import ConfigError
from podium.remote.filesystems import refuse_credentials

COMMAND_LINE = "command line"
SCHEMA_DEFAULT = "schema default"
_VARIABLE = re.compile(r"\$\{(?=[A-Za-z_]\w*\})")


@dataclass(frozen=True)
class Composed:
    """A validated config.

    Attributes:
        config: all values, with paths resolved.
        origins: for every leaf, by dotted name: `command line`, the conf file below `config/conf/`, the user's file
            with its line, or `schema default`.
        inferred: lines that say what was inferred from the data.
    """

    config: PodiumConfig
    origins: dict[str, str]
    inferred: tuple[str, ...] = ()


def compose(
    overrides: Sequence[str],
    directory: Path,
    files: Sequence[Path] = (),
    given: Parsed | None = None,
    preset: str = "preset=quickstart",
) -> Composed:
    """Compose and validate the configuration of a run.

    Args:
        overrides: `key=value` as on the command line; `group=option`; `~key` takes an entry away.
        directory: where relative paths start.
        files: YAML files of the user's own, applied in order between the preset and what is `given`.
        given: choices and values that are no text to parse, applied before the overrides.
        preset: the choice where neither a file nor what is given makes one.

    Raises:
        ConfigError: keys, options or values that are not valid; the message lists every one.
        InputError: a file cannot be read.
    """
    asked = Parsed()
    asked.add(given or Parsed())
    asked.add(parse_overrides(overrides))
    read = [read_file(directory / path) for path in files]
    chosen = {"preset": preset}
    chosen |= {group: choice for source in read for group, choice in source.groups.items()} | asked.groups
    layers = _compose_groups([*chosen.values()])
    for source in read:
        layers.add_file(source)
    for assignment in asked.assignments:
        layers.assign(assignment)
    return _validated(layers, directory.absolute())


class _Layers:
    """Plain values merged in order, and the origin of each."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.origins: dict[FieldPath, str] = {}

    def merge(self, path: FieldPath, value: Any, origin: str) -> None:
        """Set `value` at `path`: mappings merge, except that one which names a whole entry replaces it."""
        if isinstance(value, Mapping) and not _is_leaf(path):
            if _is_whole_entry(path, value):
                self.remove(path)
            self._mapping(path)
            for name, item in value.items():
                self.merge((*path, str(name)), item, origin)
        else:
            self._mapping(path[:-1])[path[-1]] = value
            self.origins[path] = origin

    def add_file(self, source: ConfigFile) -> None:
        self.merge((), source.values, source.name)
        self.origins |= {path: place for path, place in source.places.items() if path in self.origins}

    def assign(self, assignment: Assignment) -> None:
        """Apply one override of the command line.

        Raises:
            ConfigError: there is nothing to take away.
        """
        if not assignment.delete:
            self.merge(assignment.path, assignment.value, COMMAND_LINE)
        elif not self.remove(assignment.path):
            *parent, name = assignment.path
            there = self.find(tuple(parent))
            given = tuple(there) if isinstance(there, dict) else ()
            near = suggestion(name, given, "~" + "".join(f"{part}." for part in parent))
            hint = near or f"set are {', '.join(given)}"
            raise ConfigError(f"~{'.'.join(assignment.path)} takes nothing away: nothing is set there; {hint}")

    def find(self, path: FieldPath) -> Any:
        node: Any = self.tree
        for name in path:
            node = node.get(name) if isinstance(node, dict) else None
        return node

    def remove(self, path: FieldPath) -> bool:
        """Forget what is at `path`; false when nothing is."""
        for other in [other for other in self.origins if other[: len(path)] == path]:
            del self.origins[other]
        parent = self.find(path[:-1])
        if not isinstance(parent, dict) or path[-1] not in parent:
            return False
        del parent[path[-1]]
        return True

    def _mapping(self, path: FieldPath) -> dict[str, Any]:
        """The mapping at `path`, made where there is none."""
        node = self.tree
        for name in path:
            if not isinstance(node.get(name), dict):
                node[name] = {}
            node = node[name]
        return node


def _is_leaf(path: FieldPath) -> bool:
    node = node_at(path)
    return node is not None and not isinstance(node, (type, dict, OneOf))


def _is_whole_entry(path: FieldPath, value: Mapping[str, Any]) -> bool:
    """Whether `value` states what an entry of a dict of sections cannot be without: it is not a change to it."""
    entry = node_at(path) if path and isinstance(node_at(path[:-1]), dict) else None
    return any(name in value for name in defining_names(entry))


def _compose_groups(choices: list[str]) -> _Layers:
    """Let Hydra compose the chosen options, and note which file each value is from."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    layers = _Layers()
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            composed = hydra.compose("config", choices)
            defaults = GlobalHydra.instance().config_loader().compute_defaults_list("config", choices, RunMode.RUN)
    except (HydraException, ValueError) as error:
        raise ConfigError(f"the options {choices} cannot be composed: {error}") from error
    layers.tree = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=False))
    for default in defaults.defaults:
        if default.config_path and not default.config_path.startswith("hydra/"):
            file = f"{default.config_path}.yaml"
            package = tuple(default.package.split(".")) if default.package else ()
            layers.origins |= dict.fromkeys(_paths_given(_read_option(file), package), file)
    return layers


@cache
def _read_option(file: str) -> Mapping[str, Any]:
    values = yaml.safe_load((CONF / file).read_text(encoding="utf-8")) or {}
    return {name: value for name, value in values.items() if name != "defaults"}


def _paths_given(value: Any, path: FieldPath) -> Iterator[FieldPath]:
    if isinstance(value, Mapping) and not _is_leaf(path):
        for name, item in value.items():
            yield from _paths_given(item, (*path, name))
    else:
        yield path


def _validated(layers: _Layers, directory: Path) -> Composed:
    tree = _interpolated(layers.tree)
    tree.setdefault("entrants", {})
    problems = list(_resolve_places(tree, layers.origins, directory))
    try:
        config = PodiumConfig.model_validate(tree)
    except ValidationError as error:
        problems += explain(error, layers.origins)
    if problems:
        raise config_error(problems)
    origins = {".".join(path): origin_of(path, layers.origins) or SCHEMA_DEFAULT for path, _ in leaves(config)}
    return _planned_around(Composed(config, origins))


def _planned_around(composed: Composed) -> Composed:
    """The config with the fields that the user has set fixed, so that a plan leaves them as they are."""
    config, ours = composed.config, (SCHEMA_DEFAULT, *_own_files())
    fixed = [name for name in PLANNED if composed.origins[name] not in ours and name not in config.plan.fixed]
    plan = config.plan.model_copy(update={"fixed": (*config.plan.fixed, *fixed)})
    return replace(composed, config=config.model_copy(update={"plan": plan}))


@cache
def _own_files() -> tuple[str, ...]:
    return tuple(str(file.relative_to(CONF)) for file in CONF.rglob("*.yaml"))


def _interpolated(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with OmegaConf's interpolations replaced and what was left open (`???`) taken out.

    In a path, `${NAME}` is an environment variable, which path resolution replaces.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for parent, path, _ in _places(tree):
        parent[path[-1]] = _VARIABLE.sub(r"\\${", parent[path[-1]])
    try:
        plain = OmegaConf.to_container(OmegaConf.create(tree), resolve=True)
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(
            f"{key}{str(error.msg).splitlines()[0]}; ${{...}} names another key, such as ${{dataset.name}}"
        ) from error
    return cast(dict[str, Any], _without_open(plain))


def _without_open(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_open(item) for name, item in value.items() if item != "???"}
    return value


def _resolve_places(tree: dict[str, Any], origins: Mapping[FieldPath, str], directory: Path) -> Iterator[str]:
    """Resolve every path in the tree and fill those that follow from `output`; yields what is wrong with them."""
    tree.setdefault("output", PodiumConfig.model_fields["output"].default)
    for parent, path, place in _places(tree):
        try:
            parent[path[-1]] = resolved = resolve(parent[path[-1]], directory, hub=place.hub)
            if place.recorded and is_uri(resolved):
                refuse_credentials(resolved)
        except ConfigError as error:
            origin = origin_of(path, origins)
            yield f"{'.'.join(path)}: {error}" + (f" ({origin})" if origin else "")
    output = tree["output"]
    if not isinstance(output, str):
        return
    if is_uri(output) or output.startswith(PACKAGE):
        yield f"output must be a directory of this machine, but got {output}; keep results elsewhere with store=URI"
        return
    if tree.get("store") is None:
        tree["store"] = str(Path(output) / "store")
    tracking = tree.setdefault("tracking", {})
    if isinstance(tracking, dict) and tracking.get("uri") is None:
        tracking["uri"] = f"sqlite:///{Path(output) / 'mlflow.db'}"


def _places(tree: dict[str, Any]) -> list[tuple[dict[str, Any], FieldPath, Place]]:
    """Every path that is given as text: the mapping that holds it, its name, and its mark."""
    return [
        (parent, path, mark)
        for parent, path, field in given_leaves(tree)
        for mark in field.metadata
        if isinstance(mark, Place) and isinstance(parent[path[-1]], str)
    ]

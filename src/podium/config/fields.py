"""Walks over the schema: which keys exist, what they hold, and which values a config has.

A path is a tuple of names. Sections and dicts of sections are inner nodes; every other field is a leaf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from podium.config.schema import TUNABLE, PodiumConfig
from podium.config.section import Section

FieldPath = tuple[str, ...]
Node = type[Section] | FieldInfo | dict[str, type[Section]] | None
"""What a path leads to: a section, a leaf field, a dict of sections (its entry type under `*`), or nothing."""


def node_at(path: FieldPath) -> Node:
    """What the schema has at `path`; None where it has nothing."""
    node: Node = PodiumConfig
    for name in path:
        node = child_of(node, name)
    return node


def child_of(node: Node, name: str) -> Node:
    """The node below `node` called `name`; entries of a dict of sections may have any name."""
    if isinstance(node, dict):
        return node["*"]
    if not isinstance(node, type):
        return None
    field = node.model_fields.get(name)
    if field is None:
        return None
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    entry = get_args(annotation)[1] if get_origin(annotation) is dict else None
    if isinstance(entry, type) and issubclass(entry, Section):
        return {"*": entry}
    return field


def is_text(node: Node) -> bool:
    """Whether a node is a leaf that holds text, or text or null."""
    if not isinstance(node, FieldInfo):
        return False
    return node.annotation is str or set(get_args(node.annotation)) == {str, type(None)}


def schema_paths(node: Node = PodiumConfig, path: FieldPath = ()) -> Iterator[FieldPath]:
    """Path of every field of the schema, sections included; entries of a dict of sections appear as `*`."""
    for name in ("*",) if isinstance(node, dict) else node.model_fields if isinstance(node, type) else ():
        here = (*path, name)
        yield here
        yield from schema_paths(child_of(node, name), here)


def known_names(path: FieldPath) -> tuple[str, ...]:
    """Names that may stand below `path`, as far as they are known."""
    node = node_at(path)
    if path == ("hpo", "space"):
        return TUNABLE
    return tuple(node.model_fields) if isinstance(node, type) else ()


def leaves(config: Section, path: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    """Every leaf of a config with its value; entries of a free dict are leaves of their own."""
    for name in type(config).model_fields:
        yield from _leaves(getattr(config, name), (*path, name))


def given_leaves(tree: Mapping[str, Any], node: Node = PodiumConfig) -> Iterator[tuple[FieldPath, FieldInfo]]:
    """Leaf fields of the schema that a plain tree gives a value for."""
    for name, value in tree.items():
        child = child_of(node, name)
        if isinstance(child, FieldInfo):
            yield (name,), child
        elif isinstance(value, Mapping):
            yield from (((name, *path), field) for path, field in given_leaves(value, child))


def _leaves(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, Any]]:
    if isinstance(value, Section):
        yield from leaves(value, path)
    elif isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _leaves(item, (*path, name))
    else:
        yield path, value

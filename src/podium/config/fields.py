"""Walks over the schema: which groups and keys exist, what they hold, and which values a config has.

A path is a tuple of names. Sections, choices of sections and dicts of either are inner nodes; every other field is a
leaf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from podium.config.schema import PodiumConfig
from podium.config.section import DeferredSection, Section

FieldPath = tuple[str, ...]

CONF = Path(__file__).parent / "conf"


@cache
def group_options() -> Mapping[str, tuple[str, ...]]:
    """Names of the options of every config group."""
    groups = sorted(group for group in CONF.iterdir() if group.is_dir())
    return {group.name: tuple(sorted(file.stem for file in group.glob("*.yaml"))) for group in groups}


@dataclass(frozen=True)
class OneOf:
    """One of several sections.

    Attributes:
        sections: which ones.
        by: name of the field whose value chooses; empty where a field beside this one does.
        default: value of that field where it is not given; empty where it must be.
    """

    sections: tuple[type[Section], ...]
    by: str = ""
    default: str = ""

    def chosen(self, tag: str) -> type[Section] | None:
        fields = ((section, section.model_fields.get(self.by)) for section in self.sections)
        return next((section for section, field in fields if field and tag in get_args(field.annotation)), None)


Node = type[Section] | OneOf | FieldInfo | dict[str, "type[Section] | OneOf"] | None
"""What a path leads to: one or several sections, a leaf field, a dict of sections (its entry type under `*`), or
nothing.
"""


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
    if isinstance(node, OneOf):
        return _child_of_one(node, name)
    field = node.model_fields.get(name) if isinstance(node, type) else None
    if field is None:
        return None
    if deferred := [mark for mark in field.metadata if isinstance(mark, DeferredSection)]:
        return deferred[0].section()
    entry = get_args(field.annotation)[1] if get_origin(field.annotation) is dict else None
    if (inner := _sections_of(entry)) is not None:
        return {"*": inner}
    by = str(field.discriminator or "")
    return _sections_of(field.annotation, by, getattr(field.default, by, "")) or field


def _child_of_one(node: OneOf, name: str) -> Node:
    children = [child for section in node.sections if (child := child_of(section, name)) is not None]
    fields = [child for child in children if isinstance(child, FieldInfo)]
    if fields:
        return _merged(fields, node.default) if name == node.by else fields[0]
    sections = tuple(dict.fromkeys(child for child in children if isinstance(child, type)))
    return OneOf(sections) if len(sections) > 1 else children[0] if children else None


def _merged(fields: list[FieldInfo], default: str) -> FieldInfo:
    """One field that takes what any of these takes."""
    field = copy(fields[0])
    field.annotation = Union[tuple(one.annotation for one in fields)]  # type: ignore[assignment]  # noqa: UP007
    field.default = default or PydanticUndefined
    return field


def _sections_of(annotation: Any, by: str = "", default: str = "") -> type[Section] | OneOf | None:
    if get_origin(annotation) is Annotated:
        annotation, *marks = get_args(annotation)
        by = next((str(mark.discriminator) for mark in marks if isinstance(mark, FieldInfo)), "")
    if get_origin(annotation) in (Union, UnionType) and by:
        return OneOf(get_args(annotation), by, default)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def is_text(node: Node) -> bool:
    """Whether a node is a leaf that holds text, or text or null."""
    if not isinstance(node, FieldInfo):
        return False
    return node.annotation is str or set(get_args(node.annotation)) == {str, type(None)}


def schema_paths(node: Node = PodiumConfig, path: FieldPath = ()) -> Iterator[FieldPath]:
    """Path of every field of the schema, sections included; entries of a dict of sections appear as `*`."""
    for name in names_below(node):
        here = (*path, name)
        yield here
        yield from schema_paths(child_of(node, name), here)


def names_below(node: Node) -> tuple[str, ...]:
    """Names of the fields below a node; `*` for the entries of a dict."""
    if isinstance(node, dict):
        return ("*",)
    sections = node.sections if isinstance(node, OneOf) else (node,) if isinstance(node, type) else ()
    return tuple(dict.fromkeys(name for section in sections for name in section.model_fields))


def defining_names(node: Node) -> tuple[str, ...]:
    """Fields that state what an entry of a dict is: those without a default, and the one that chooses a section."""
    if isinstance(node, OneOf):
        return (node.by,)
    return tuple(n for n, f in node.model_fields.items() if f.is_required()) if isinstance(node, type) else ()


def leaves(value: Any, path: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    """Every leaf of a config with its value; entries of a free dict are leaves of their own."""
    if isinstance(value, Section):
        for name in type(value).model_fields:
            yield from leaves(getattr(value, name), (*path, name))
    elif isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    else:
        yield path, value


def given_leaves(
    tree: dict[str, Any], node: Node = PodiumConfig, path: FieldPath = ()
) -> Iterator[tuple[dict[str, Any], FieldPath, FieldInfo]]:
    """Leaf fields of the schema that a plain tree gives a value for, each with the mapping that holds it."""
    for name, value in tree.items():
        child, here = child_of(node, name), (*path, name)
        if isinstance(child, FieldInfo):
            yield tree, here, child
        elif isinstance(value, dict):
            yield from given_leaves(value, child, here)

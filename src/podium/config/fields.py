"""Walks over the schema: which groups and keys exist, what they hold, and what is wrong with a config, in words.

A path is a tuple of names. Sections, choices of sections and dicts of either are inner nodes; every other field is a
leaf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from podium.config.schema import PodiumConfig
from podium.config.section import DeferredSection, Defining, Section
from podium.errors import ConfigError
from podium.text import nearest

FieldPath = tuple[str, ...]

CONF = Path(__file__).parent / "conf"


@cache
def group_options() -> Mapping[str, tuple[str, ...]]:
    """Names of the options of every config group."""
    groups = sorted(group for group in CONF.iterdir() if group.is_dir())
    return {group.name: tuple(sorted(file.stem for file in group.glob("*.yaml"))) for group in groups}


def shipped_data() -> tuple[str, ...]:
    """Names of the data sets that come with Podium."""
    return tuple(name for name in group_options()["dataset"] if name != "custom")


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
    """Fields that state what an entry of a dict is: those without a default, marked ones, or what chooses a section."""
    if isinstance(node, OneOf):
        return (node.by,)
    fields = node.model_fields.items() if isinstance(node, type) else ()
    return tuple(n for n, f in fields if f.is_required() or any(isinstance(mark, Defining) for mark in f.metadata))


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


_EXPECTED = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping"),
    "finite_number": "a finite number",
    "string_type": "text",
    "string_too_short": "a text that is not empty",
    "tuple_type": "a list",
}


def suggestion(name: str, known: Sequence[str], prefix: str = "") -> str:
    """`did you mean X?` for the known name closest to `name`, or nothing when none is close."""
    near = nearest(name, known)
    return f"did you mean {prefix}{near}?" if near else ""


def config_error(problems: Sequence[str]) -> ConfigError:
    """One error that lists all problems."""
    if len(problems) == 1:
        return ConfigError(problems[0])
    return ConfigError(f"the configuration has {len(problems)} errors:\n" + "\n".join(f"  - {p}" for p in problems))


def explain(
    error: ValidationError, origins: Mapping[FieldPath, str] = MappingProxyType({}), root: Node = PodiumConfig
) -> list[str]:
    """One sentence per finding, in schema order, each with the place its value came from.

    Args:
        origins: where the value at each path was set.
        root: what was validated; None for a value outside the config.
    """
    groups = tuple(group_options()) if root is PodiumConfig else ()
    sentences: dict[tuple[FieldPath, str], list[str]] = {}
    for finding in error.errors(include_url=False):
        path, tail, parent = _split(finding["loc"], root)
        if (path, tail) not in sentences:
            origin = origin_of(path, origins)
            place = f" ({origin})" if origin else ""
            sentences[path, tail] = list(_explain(finding, path, tail, parent, place, groups))
    return [line for lines in sentences.values() for line in lines]


def origin_of(path: FieldPath, origins: Mapping[FieldPath, str]) -> str | None:
    """Where the value at `path` was set: itself, with an enclosing value, or by its first entry."""
    for end in range(len(path), 0, -1):
        if path[:end] in origins:
            return origins[path[:end]]
    return next((origin for other, origin in origins.items() if other[: len(path)] == path), None)


def _unknown_key(path: FieldPath, parent: Node, groups: Sequence[str], place: str) -> str:
    """`unknown key A.B`, with the nearest key that exists; `place` says where it was given."""
    name = path[-1]
    prefix = "".join(f"{part}." for part in path[:-1])
    siblings = tuple(dict.fromkeys((*names_below(parent), *(groups if not prefix else ()))))
    elsewhere = {other[-1]: ".".join(other) for other in reversed([*schema_paths()]) if "*" not in other}
    hint = "" if name in elsewhere else suggestion(name, siblings, prefix)
    if not hint:
        near = nearest(name, elsewhere, cutoff=0.8)
        known = f"known keys are {', '.join(siblings)}" if siblings else f"{prefix.removesuffix('.')} takes no keys"
        hint = f"did you mean {elsewhere[near]}?" if near else known
    return f"unknown key {prefix}{name}{place}; {hint}"


def _split(loc: Sequence[int | str], root: Node) -> tuple[FieldPath, str, Node]:
    """The schema path of a finding, the index within a list, and the node above; tags of a union are left out."""
    if root is None:
        return tuple(str(part) for part in loc), "", None
    path: list[str] = []
    node, parent = cast(Node, root), cast(Node, root)
    for position, part in enumerate(loc):
        if isinstance(node, OneOf) and isinstance(part, str) and (chosen := node.chosen(part)) is not None:
            node = chosen
            continue
        if not (isinstance(node, (type, dict, OneOf)) and isinstance(part, str)):
            tail = f"[{part}]" if isinstance(part, int) else f".{part}" if position < len(loc) - 1 else ""
            return tuple(path), tail, parent
        path.append(part)
        node, parent = child_of(node, part), node
    return tuple(path), "", parent


def _explain(
    finding: ErrorDetails, path: FieldPath, tail: str, parent: Node, place: str, groups: Sequence[str]
) -> Iterator[str]:
    kind, message, name = finding["type"], finding["msg"], ".".join(path) + tail
    if kind == "extra_forbidden":
        yield _unknown_key(path, parent, groups, place)
    elif kind == "missing":
        yield f"{name} must be given; set {name}=..."
    elif kind == "value_error":
        yield from (f"{name}: {line}" if name else line for line in message.removeprefix("Value error, ").splitlines())
    elif kind == "literal_error":
        allowed = finding.get("ctx", {})["expected"]
        yield f"{name} must be {allowed}, but got {finding['input']!r}{place}"
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        yield _wrong_tag(finding, name, place)
    elif tail and kind.startswith(("bool", "int", "float")):
        expected = "a number, text or true/false" if kind.startswith("bool") else "a number"
        yield f"{name} must be {expected}, but got {finding['input']!r}{place}"
    else:
        expected = _EXPECTED.get(kind) or message.removeprefix("Input should be ").removeprefix("Input should ")
        hint = _mapping_hint(path, groups) if _EXPECTED.get(kind) == "a mapping" else ""
        yield f"{name or 'the document'} must be {expected}, but got {finding['input']!r}{place}{hint}"


def _wrong_tag(finding: ErrorDetails, name: str, place: str) -> str:
    context = finding["ctx"]
    field = f"{name}.{context['discriminator']}".replace("'", "").removeprefix(".")
    if "tag" not in context:
        return f"{field} must be given; set {field}=..."
    known = context["expected_tags"].replace("'", "").split(", ")
    near = suggestion(context["tag"], known)
    hint = f"; {near}" if near else ""
    return f"{field} must be one of {', '.join(known)}, but got {context['tag']!r}{place}{hint}"


def _mapping_hint(path: FieldPath, groups: Sequence[str]) -> str:
    if len(path) == 1 and path[0] in groups:
        return f"; to choose an option of the group in a file, write it under `defaults`: `- {path[0]}: OPTION`"
    if len(path) == 2 and path[0] == "entrants":
        return f"; set {'.'.join(path)}.path or {'.'.join(path)}.kind"
    return ""

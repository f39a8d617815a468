"""What is wrong with a config, in words: pydantic's findings as sentences that name key, value and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from podium.config.fields import FieldPath, Node, OneOf, child_of, group_options, names_below, schema_paths
from podium.config.schema import PodiumConfig
from podium.errors import ConfigError
from podium.text import nearest

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

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
    error: ValidationError,
    origins: Mapping[FieldPath, str] = MappingProxyType({}),
    root: Node = PodiumConfig,
) -> list[str]:
    """One sentence per finding, in schema order, each with the place its value came from.

    Args:
        error: what pydantic found.
        origins: where the value at each path was set.
        root: what was validated; None for a value outside the config.
    """
    groups = tuple(group_options()) if root is PodiumConfig else ()
    sentences: dict[tuple[FieldPath, str], list[str]] = {}
    for finding in error.errors(include_url=False):
        path, tail, parent = _split(finding["loc"], root)
        if (path, tail) not in sentences:
            sentences[path, tail] = list(_explain(finding, path, tail, parent, origins, groups))
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
    hint = suggestion(name, siblings, prefix)
    if not hint:
        elsewhere = {other[-1]: ".".join(other) for other in reversed([*schema_paths()]) if "*" not in other}
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
            return tuple(path), f"[{part}]" if isinstance(part, int) else _tail(loc[position:]), parent
        path.append(part)
        node, parent = child_of(node, part), node
    return tuple(path), "", parent


def _tail(rest: Sequence[int | str]) -> str:
    return f".{rest[0]}" if len(rest) > 1 else ""


def _explain(
    finding: ErrorDetails,
    path: FieldPath,
    tail: str,
    parent: Node,
    origins: Mapping[FieldPath, str],
    groups: Sequence[str],
) -> Iterator[str]:
    kind, message = finding["type"], finding["msg"]
    origin = origin_of(path, origins)
    place = f" ({origin})" if origin else ""
    name = ".".join(path) + tail
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
    if len(path) == 2 and path[0] == "backbones":
        return f"; set {'.'.join(path)}.path"
    return ""

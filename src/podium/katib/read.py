"""Strict reading of Katib's resources: what the generated models of Katib's API would ignore is an error here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from podium.config.problems import explain
from podium.errors import ConfigError
from podium.strict_yaml import KubernetesYaml, read_yaml
from podium.text import hint

_INDEX = re.compile(r"\[\d+\]")
_DIGITS = 30
"""More than a number of 64 bits has, but for leading zeros."""
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


_SHOWN = 100


def load(source: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """The one YAML (or JSON) document of a text; a mapping is taken as it is.

    Raises:
        ConfigError: the text is not YAML, has a key twice, or is not one mapping.
    """
    if not isinstance(source, str):
        return source
    documents = read_yaml(source, KubernetesYaml)
    if len(documents) != 1:
        raise ConfigError(
            f"one document with one Experiment is expected, but got {len(documents)} documents; give each Experiment a "
            "file of its own"
        )
    document: Mapping[str, Any] = documents[0].value
    if not isinstance(document, Mapping):
        raise ConfigError(f"one document with the fields of an Experiment is expected, but got {shown(document)}")
    return document


def check_fields(model: type[BaseModel], value: object, path: str, refused: Mapping[str, str]) -> None:
    """Check that `value` has only fields of a generated model, at any depth, of the declared types.

    Args:
        model: of the generated API.
        value: as loaded; null counts as absent.
        path: where `value` stands, dotted; empty for the whole resource.
        refused: why a field cannot be expressed here, by its dotted path without list indices.

    Raises:
        ConfigError: an unknown field (with the nearest known), a value of another type, or a refused field.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path or 'the document'}: fields are expected, but got {shown(value)}")
    known = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    for name, item in value.items():
        here = f"{path}.{name}" if path else str(name)
        if name not in known:
            raise ConfigError(f"{here}: no such field{hint(str(name), known)}")
        if item is None:
            continue
        reason = refused.get(_INDEX.sub("", here))
        if reason is not None:
            raise ConfigError(f"{here}: {reason}")
        _check_value(known[name], item, here, refused)


def _check_value(annotation: Any, value: object, path: str, refused: Mapping[str, str]) -> None:
    inner = next((item for item in get_args(annotation) if item is not type(None)), annotation)
    inner = annotation if get_origin(annotation) in (list, dict) else inner
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        check_fields(inner, value, path, refused)
    elif get_origin(inner) is list:
        if not isinstance(value, list):
            raise ConfigError(f"{path}: a list is expected, but got {shown(value)}")
        for index, item in enumerate(value):
            _check_value(get_args(inner)[0], item, f"{path}[{index}]", refused)
    else:
        try:
            TypeAdapter(annotation).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f".{part}" for part in first["loc"] if isinstance(part, str) and part in _keys(value))
            got = first["input"]
            raise ConfigError(
                f"{path}{where}: {first['msg']}, but got {shown(got)}{_remedy(got, first['type'])}"
            ) from error


def _remedy(value: object, problem: str) -> str:
    """What to do about a number that is a text, or the other way round."""
    if problem == "string_type" and isinstance(value, (bool, int, float)):
        return f'; write it in quotes: "{value}"'
    if problem in ("int_type", "float_type") and isinstance(value, str) and _NUMBER.fullmatch(value):
        return f"; write it without quotes: {value}"
    return ""


def shown(value: object) -> str:
    """A value as it stands in a message: what is long loses its middle."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}"


def _keys(value: object) -> Iterable[object]:
    return value if isinstance(value, Mapping) else ()


@contextmanager
def at(path: str) -> Iterator[None]:
    """Put the path of a field before the message of an error about it."""
    try:
        yield
    except ValidationError as error:
        raise ConfigError(f"{path}: {'; '.join(explain(error, root=None))}") from error
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


def required(value: Any, path: str) -> Any:
    """`value`, unless it is absent or an empty text.

    Raises:
        ConfigError: it is.
    """
    if value is None or value == "":
        raise ConfigError(f"{path}: must be given")
    return value


def one_of(value: Any, known: Iterable[str], path: str) -> str:
    """`value`, one of the `known` words.

    Raises:
        ConfigError: it is absent or another one; the message names the nearest.
    """
    names = list(known)
    word: str = required(value, path)
    if not isinstance(word, str):
        raise ConfigError(f"{path}: a text is expected, but got {word!r}")
    if word not in names:
        raise ConfigError(f"{path}: {word!r} is not expected{hint(word, names)}")
    return word


def whole_number(text: str) -> int:
    """A whole number of 64 bits, written as Go reads it: no blanks, no underscores, no fraction.

    Raises:
        ValueError: it is not one.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"a whole number is expected, but got {shown(text)}")
    if len(text) > _DIGITS or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"a whole number of 64 bits is expected, but got {shown(text)}")
    return int(text)


def number(text: str) -> float:
    """A finite decimal number.

    Raises:
        ValueError: it is not one.
    """
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(f"a finite number is expected, but got {shown(text)}")
    return float(text)

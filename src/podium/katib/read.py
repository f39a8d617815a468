"""Strict reading of Katib's resources: what the generated models of Katib's API would ignore is an error here."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from podium.config.fields import explain
from podium.errors import ConfigError
from podium.strict_yaml import KubernetesYaml, read_yaml
from podium.text import hint

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SHOWN = 100
_KATIB_NAMES = {
    "low": "min",
    "high": "max",
    "direction": "type",
    "metric": "objectiveMetricName",
    "additional_metrics": "additionalMetricNames",
    "strategies": "metricStrategies",
    "max_trials": "maxTrialCount",
    "parallel_trials": "parallelTrialCount",
    "resume_policy": "resumePolicy",
}
_FIELD = re.compile(r"[\w.]+ must be ")
_NEUTRAL = re.compile(rf"(?<![\w'])({'|'.join(_KATIB_NAMES)})(?= must| [<>-]|=|\.)")
"""A field of the neutral experiment in a sentence about it, such as `low must be ...` or `low <= high must hold`."""

_NUMBER_OR_TEXT = ("IoK8sApimachineryPkgApiResourceQuantity", "IoK8sApimachineryPkgUtilIntstrIntOrString")
"""Generated models that wrap a number or a text, which pydantic does not validate by itself."""


def load(source: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """The one mapping that is written in a text as YAML (or JSON); a mapping is returned as it is."""
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


def check_model(model: type[BaseModel], value: Any, path: str = "") -> None:
    """Check that `value` has only fields of a generated model, of the declared types.

    Args:
        value: as loaded; null counts as absent.
        path: where `value` is found, dotted; empty for the whole resource.

    Raises:
        ConfigError: at any depth, an unknown field (the message has the nearest known) or a value of another type.
    """
    try:
        model.model_validate(value, extra="forbid", by_alias=True, by_name=False)
    except ValidationError as error:
        for problem in error.errors():
            if problem.get("ctx", {}).get("class_name") not in _NUMBER_OR_TEXT:
                raise ConfigError(_message(model, problem, value, path)) from error


def _message(model: Any, problem: Any, value: Any, path: str) -> str:
    """A problem that pydantic found in `value`: the path of the field, what is wrong, and what to do."""
    got, kind = problem["input"], problem["type"]
    known: dict[str, Any] = {}
    for part in problem["loc"]:
        if isinstance(part, int):
            path, value = f"{path}[{part}]", value[part]
        elif isinstance(value, Mapping):
            path, value = f"{path}.{part}" if path else part, value.get(part)
            known = {
                field.alias or name: field.annotation for name, field in getattr(model, "model_fields", {}).items()
            }
            model = _model_in(known.get(part))
    if kind == "extra_forbidden":
        return f"{path}: no such field{hint(path.rpartition('.')[2], known)}"
    if kind == "missing":
        return f"{path}: must be given"
    if kind in ("model_type", "dict_type"):
        return f"{path or 'the document'}: fields are expected, but got {shown(got)}"
    remedy = ""
    if kind == "string_type" and isinstance(got, (bool, int, float)):
        remedy = f'; write it in quotes: "{json.dumps(got)}"'
    elif kind in ("int_type", "float_type") and isinstance(got, str) and _NUMBER.fullmatch(got):
        remedy = f"; write it without quotes: {got}"
    return f"{path}: {problem['msg']}, but got {shown(got)}{remedy}"


def _model_in(annotation: Any) -> Any:
    """The model of a field that holds one or a list of them; None for other fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def given(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields that are not null, which counts as absent."""
    return {name: value for name, value in (fields or {}).items() if value is not None}


def shown(value: object) -> str:
    """A value as messages show it: a long one without its middle."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}"


@contextmanager
def at(path: str) -> Iterator[None]:
    """Put the path of a field before the message of an error about it, and call fields as Katib does."""
    try:
        yield
    except ValidationError as error:
        text = _NEUTRAL.sub(lambda match: _KATIB_NAMES[match[0]], "; ".join(explain(error, root=None)))
        raise ConfigError(f"{path}{'.' if _FIELD.match(text) else ': '}{text}") from error
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


def required(value: Any, path: str) -> Any:
    """`value`; a ConfigError where it is absent or an empty text."""
    if value is None or value == "":
        raise ConfigError(f"{path}: must be given")
    return value


def one_of(value: Any, known: Iterable[str], path: str) -> str:
    """`value`; a ConfigError that names the nearest of the `known` words where it is none of them."""
    names = list(known)
    word: str = required(value, path)
    if word not in names:
        raise ConfigError(f"{path}: {word!r} is not expected{hint(str(word), names)}")
    return word


def whole_number(text: str) -> int:
    """A whole number of 64 bits, without blanks, underscores or a fraction; a ValueError for any other text."""
    if not _WHOLE.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"a whole number of 64 bits is expected, but got {shown(text)}")
    return int(text)


def number(text: str) -> float:
    """A finite decimal number; a ValueError for any other text."""
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(f"a finite number is expected, but got {shown(text)}")
    return float(text)

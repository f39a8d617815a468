"""Search spaces and the values of trials as Katib writes them: every number is a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podium.config.parameters import (
    AnyParameter,
    CategoricalParameter,
    DiscreteParameter,
    FloatParameter,
    IntParameter,
    Parameter,
)
from podium.errors import ConfigError
from podium.hpo.space import Params, Space
from podium.katib.read import at, number, one_of, required, whole_number
from podium.records import Scalar

_TYPES = ("double", "int", "discrete", "categorical")
_DISTRIBUTIONS = ("uniform", "logUniform", "normal", "logNormal")


def to_text(value: Scalar) -> str:
    """The text that replaces `${trialParameters.x}` for a value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def from_text(parameter: Parameter, text: str) -> Scalar:
    """The value of a parameter whose text Katib gives.

    Raises:
        ValueError: it is no value of the parameter.
    """
    match parameter:
        case CategoricalParameter():
            by_text: dict[str, Scalar] = {to_text(choice): choice for choice in parameter.choices}
            if text not in by_text:
                raise ValueError(f"one of {sorted(by_text)} is expected, but got {text!r}")
            return by_text[text]
        case IntParameter():
            return parameter.normalise(whole_number(text))
    return parameter.normalise(number(text))


def params_from_texts(space: Space, texts: Mapping[str, str]) -> Params:
    """The params of a trial from the texts that a search on a cluster assigns to them.

    A number off the grid or out of range becomes the nearest value of its parameter, in the pod and in the ledger
    alike: the grid of hyperopt, which Katib's tpe and random use, begins at 0 and not at `min`, and its normal
    distributions have no bounds.

    Raises:
        ConfigError: a parameter is missing or unknown, or has a text that is none of its values.
    """
    params: dict[str, Scalar] = dict(texts)
    for name, parameter in space.parameters.items():
        if name in texts:
            with at(f"parameter {name!r}"):
                params[name] = _nearest(parameter, texts[name])
    return space.normalise(params)


def _nearest(parameter: Parameter, text: str) -> Scalar:
    try:
        return from_text(parameter, text)
    except ValueError:
        if not isinstance(parameter, (FloatParameter, IntParameter)):
            raise
        value = min(max(number(text), parameter.low), parameter.high)
        return parameter.quantile(min(max(parameter.share(value), 0.0), 1.0))


def space_from_katib(parameters: list[Mapping[str, Any]], path: str) -> Space:
    """The space that the `parameters` of an Experiment describe.

    Raises:
        ConfigError: with the path of the field that is unknown, absent, no number or contradicts another.
    """
    named: dict[str, AnyParameter] = {}
    for index, spec in enumerate(parameters):
        here = f"{path}[{index}]"
        name = required(spec.get("name"), f"{here}.name")
        if name in named:
            raise ConfigError(f"{here}.name: parameter names must differ, but {name!r} is given twice")
        named[name] = _parameter(spec, here)
    return Space(parameters=named)


def _parameter(spec: Mapping[str, Any], path: str) -> AnyParameter:
    kind = one_of(spec.get("parameterType"), _TYPES, f"{path}.parameterType")
    here = f"{path}.feasibleSpace"
    feasible = required(spec.get("feasibleSpace"), here)
    distribution = one_of(feasible.get("distribution") or "uniform", _DISTRIBUTIONS, f"{here}.distribution")
    if kind in ("discrete", "categorical"):
        return _listed(kind, feasible, distribution, here)
    if feasible.get("list"):
        raise ConfigError(f"{here}.list: a parameter of type {kind} has min and max, but got {feasible['list']}")
    read = whole_number if kind == "int" else number
    fields: dict[str, Any] = {
        "log": distribution in ("logUniform", "logNormal"),
        "distribution": "normal" if distribution in ("normal", "logNormal") else "uniform",
    }
    for name, field in (("min", "low"), ("max", "high"), ("step", "step")):
        text = feasible.get(name)
        if field != "step":
            required(text, f"{here}.{name}")
        if text:
            with at(f"{here}.{name}"):
                fields[field] = read(text)
    with at(here):
        return (IntParameter if kind == "int" else FloatParameter)(**fields)


def _listed(kind: str, feasible: Mapping[str, Any], distribution: str, path: str) -> AnyParameter:
    for name in ("min", "max", "step"):
        if feasible.get(name):
            raise ConfigError(f"{path}.{name}: a parameter of type {kind} has a list, and no min, max or step")
    if distribution != "uniform":
        raise ConfigError(
            f"{path}.distribution: a parameter of type {kind} has no scale, so that Katib ignores {distribution!r}; "
            "leave it out"
        )
    texts = feasible.get("list")
    if not texts:
        raise ConfigError(f"{path}.list: must be given for a parameter of type {kind}")
    if kind == "categorical":
        with at(f"{path}.list"):
            return CategoricalParameter(choices=tuple(texts))
    values: list[int | float] = []
    for index, text in enumerate(texts):
        with at(f"{path}.list[{index}]"):
            value = number(text)
            values.append(int(text) if text.lstrip("+-").isdigit() else value)
    with at(f"{path}.list"):
        return DiscreteParameter(choices=tuple(values))


def space_to_katib(space: Space, path: str) -> list[dict[str, Any]]:
    """The `parameters` of the Experiment that searches a space, in order of its names.

    Raises:
        ConfigError: two choices have the same text, or a parameter is conditional or of a kind unknown to Katib.
    """
    if space.conditional:
        raise ConfigError(
            f"{path}: Katib searches every parameter in every trial, but {space.conditional[0]!r} is conditional; "
            "use the embedded engine, or leave out its condition (when)"
        )
    specs = []
    for index, (name, parameter) in enumerate(space.parameters.items()):
        kind, feasible = _feasible(parameter, f"{path}[{index}]")
        specs.append({"name": name, "parameterType": kind, "feasibleSpace": feasible})
    return specs


def _feasible(parameter: AnyParameter, path: str) -> tuple[str, dict[str, Any]]:
    match parameter:
        case CategoricalParameter():
            texts = [to_text(choice) for choice in parameter.choices]
            if len(set(texts)) != len(texts):
                raise ConfigError(f"{path}: choices must differ as texts, but got {list(parameter.choices)}")
            return "categorical", {"list": texts}
        case DiscreteParameter():
            return "discrete", {"list": [to_text(value) for value in parameter.choices]}
        case FloatParameter() | IntParameter():
            normal = parameter.distribution == "normal"
            feasible = {
                "min": to_text(parameter.low),
                "max": to_text(parameter.high),
                "distribution": _DISTRIBUTIONS[parameter.log + 2 * normal],
            }
            if parameter.step is not None and (normal or not parameter.log):
                feasible["step"] = to_text(parameter.step)
            return "int" if isinstance(parameter, IntParameter) else "double", feasible

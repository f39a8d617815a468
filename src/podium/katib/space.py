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


def space_from_katib(parameters: list[Any], path: str) -> Space:
    """The space that a list of `V1beta1ParameterSpec` describes.

    Raises:
        ConfigError: with the path of the field that is unknown, absent, no number or contradicts another.
    """
    named: dict[str, AnyParameter] = {}
    for index, spec in enumerate(parameters):
        here = f"{path}[{index}]"
        name = required(spec.name, f"{here}.name")
        if name in named:
            raise ConfigError(f"{here}.name: parameter names must differ, but {name!r} is given twice")
        named[name] = _parameter(spec, here)
    return Space(parameters=named)


def _parameter(spec: Any, path: str) -> AnyParameter:
    kind = one_of(spec.parameter_type, _TYPES, f"{path}.parameterType")
    here = f"{path}.feasibleSpace"
    feasible = required(spec.feasible_space, here)
    distribution = one_of(feasible.distribution or "uniform", _DISTRIBUTIONS, f"{here}.distribution")
    if kind in ("discrete", "categorical"):
        return _listed(kind, feasible, distribution, here)
    if feasible.list:
        raise ConfigError(f"{here}.list: a parameter of type {kind} has min and max, but got {feasible.list}")
    read = whole_number if kind == "int" else number
    bounds: dict[str, Any] = {}
    for name in ("min", "max", "step"):
        text = getattr(feasible, name)
        if name != "step":
            required(text, f"{here}.{name}")
        with at(f"{here}.{name}"):
            bounds[name] = read(text) if text else None
    given = {"low": bounds["min"], "high": bounds["max"], "log": distribution in ("logUniform", "logNormal")}
    if bounds["step"] is not None:
        given["step"] = bounds["step"]
    shape = "normal" if distribution in ("normal", "logNormal") else "uniform"
    with at(here):
        return (IntParameter if kind == "int" else FloatParameter)(**given, distribution=shape)


def _listed(kind: str, feasible: Any, distribution: str, path: str) -> AnyParameter:
    for name in ("min", "max", "step"):
        if getattr(feasible, name):
            raise ConfigError(f"{path}.{name}: a parameter of type {kind} has a list, and no min, max or step")
    if distribution != "uniform":
        raise ConfigError(
            f"{path}.distribution: a parameter of type {kind} has no scale, so that Katib ignores {distribution!r}; "
            "leave it out"
        )
    if not feasible.list:
        raise ConfigError(f"{path}.list: must be given for a parameter of type {kind}")
    if kind == "categorical":
        with at(f"{path}.list"):
            return CategoricalParameter(choices=tuple(feasible.list))
    values: list[int | float] = []
    for index, text in enumerate(feasible.list):
        with at(f"{path}.list[{index}]"):
            values.append(_int_or_float(text))
    with at(f"{path}.list"):
        return DiscreteParameter(choices=tuple(values))


def _int_or_float(text: str) -> int | float:
    value = number(text)
    return int(text) if text.lstrip("+-").isdigit() else value


def space_to_katib(space: Space, path: str) -> list[Any]:
    """The list of `V1beta1ParameterSpec` that describes a space, in order of its names.

    Raises:
        ConfigError: two choices have the same text, or a parameter is conditional or of a kind unknown to Katib.
    """
    if space.conditional:
        raise ConfigError(
            f"{path}: Katib searches every parameter in every trial, but {space.conditional[0]!r} is conditional; "
            "use the embedded engine, or leave out its condition (when)"
        )
    from kubeflow_katib_api import models

    specs = []
    for index, (name, parameter) in enumerate(space.parameters.items()):
        kind, feasible = _feasible(parameter, f"{path}[{index}]")
        space_model = models.V1beta1FeasibleSpace(**feasible)
        specs.append(models.V1beta1ParameterSpec(name=name, parameter_type=kind, feasible_space=space_model))
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

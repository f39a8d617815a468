"""The params of a trial from the texts that a search on a cluster assigns to them."""

from __future__ import annotations

from collections.abc import Mapping

from podium.config.parameters import FloatParameter, IntParameter, Parameter
from podium.errors import ConfigError
from podium.hpo.space import Params, Space
from podium.katib.read import number
from podium.katib.space import from_text
from podium.records import Scalar


def assigned(space: Space, texts: Mapping[str, str]) -> Params:
    """The params that `texts` stand for, by name.

    A number off the grid or out of range becomes the nearest value of its parameter, on both sides of the wire alike:
    the grid of hyperopt, which Katib's tpe and random are, begins at 0 and not at `min`, and its normal distributions
    have no bounds.

    Raises:
        ConfigError: a parameter is missing or unknown, or has a text that is none of its values.
    """
    params: dict[str, Scalar] = {}
    for name, parameter in space.parameters.items():
        if name not in texts:
            continue
        try:
            params[name] = _value(parameter, texts[name])
        except ValueError as error:
            raise ConfigError(f"parameter {name!r}: {error}") from error
    return space.normalise({**{name: text for name, text in texts.items() if name not in params}, **params})


def _value(parameter: Parameter, text: str) -> Scalar:
    try:
        return from_text(parameter, text)
    except ValueError:
        if not isinstance(parameter, (FloatParameter, IntParameter)):
            raise
        value = min(max(number(text), parameter.low), parameter.high)
        return parameter.quantile(min(max(parameter.share(value), 0.0), 1.0))

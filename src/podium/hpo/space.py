"""The search space, in terms of no engine: what a trial may be given.

Parameters are kept in order of their names, so that two descriptions that differ only in order are the
same space and lead every engine to the same suggestions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from podium.config.search import ParameterConfig
from podium.errors import ConfigError
from podium.hpo.parameters import (
    CategoricalParameter,
    DiscreteParameter,
    FloatParameter,
    IntParameter,
    NormalParameter,
    Parameter,
    same,
)
from podium.records import Scalar

__all__ = [
    "CategoricalParameter",
    "Condition",
    "DiscreteParameter",
    "FloatParameter",
    "IntParameter",
    "NormalParameter",
    "Parameter",
    "Params",
    "Space",
]

Params = dict[str, Scalar]
"""Values of one trial, by parameter name."""


@dataclass(frozen=True)
class Condition:
    """`name` is searched only where `parent` is, and has one of `values`."""

    name: str
    parent: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Space:
    """The parameters of a search, in order of their names, and under which conditions some of them are searched.

    Raises:
        ConfigError: names are not different, or a condition names an unknown parameter, contradicts another one or
            lists no value of its parent.
    """

    parameters: tuple[tuple[str, Parameter], ...]
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        names = [name for name, _ in self.parameters]
        if not names:
            raise ConfigError("a search space must name at least one parameter, but it is empty; fill hpo.space")
        if len(set(names)) != len(names):
            raise ConfigError(f"parameter names must differ, but got {names}")
        object.__setattr__(self, "parameters", tuple(sorted(self.parameters, key=lambda item: item[0])))
        conditions = sorted(
            (self._checked(condition) for condition in self.conditions), key=lambda c: (c.name, c.parent)
        )
        object.__setattr__(self, "conditions", tuple(conditions))
        try:
            _ = self.parents_first
        except CycleError as error:
            circle = " <- ".join(repr(name) for name in error.args[1])
            raise ConfigError(f"conditions must not depend on each other, but got {circle}") from error

    @classmethod
    def of(cls, parameters: Mapping[str, Parameter], conditions: Iterable[Condition] = ()) -> Space:
        """A space from parameters by name."""
        return cls(tuple(parameters.items()), tuple(conditions))

    @classmethod
    def from_config(cls, config: Mapping[str, ParameterConfig]) -> Space:
        """The space that `hpo.space` describes.

        Raises:
            ConfigError: a parameter contradicts itself; the message names it.
        """
        return cls.of(
            {name: _from_config(name, parameter) for name, parameter in config.items()},
            [
                Condition(name, parent, values)
                for name, parameter in config.items()
                for parent, values in parameter.when.items()
            ],
        )

    @cached_property
    def parents_first(self) -> tuple[str, ...]:
        """The names, each after those its conditions name."""
        graph = {name: [c.parent for c in self.conditions if c.name == name] for name, _ in self.parameters}
        return tuple(TopologicalSorter(graph).static_order())

    def active(self, name: str, params: Mapping[str, Scalar]) -> bool:
        """Whether a parameter is searched, given values of those before it in `parents_first`."""
        return all(
            condition.parent in params and any(same(params[condition.parent], value) for value in condition.values)
            for condition in self.conditions
            if condition.name == name
        )

    def at(self, shares: Sequence[float]) -> Params:
        """The params at a point of the unit cube, one share for each parameter in order; see `Parameter.quantile`."""
        drawn = {
            name: parameter.quantile(share) for (name, parameter), share in zip(self.parameters, shares, strict=True)
        }
        params: Params = {}
        for name in self.parents_first:
            if self.active(name, params):
                params[name] = drawn[name]
        return self.normalise(params)

    def normalise(self, params: Mapping[str, Scalar]) -> Params:
        """`params` in the declared types, in order of the space: exactly those that are active.

        Raises:
            ConfigError: a parameter is missing, unknown, inactive, of the wrong type or outside its range.
        """
        known = dict(self.parameters)
        normal: Params = {}
        for name in self.parents_first:
            if self.active(name, normal):
                if name not in params:
                    raise self._other(params, [*normal, name])
                try:
                    normal[name] = known[name].normalise(params[name])
                except ValueError as error:
                    raise ConfigError(f"parameter {name!r}: {error}") from error
        if len(normal) != len(params):
            raise self._other(params, normal)
        return {name: normal[name] for name in known if name in normal}

    def _other(self, params: Mapping[str, Scalar], found: Iterable[str]) -> ConfigError:
        if not self.conditions:
            found = [name for name, _ in self.parameters]
        return ConfigError(
            f"a trial has exactly the {'active ' if self.conditions else ''}parameters of its space, {sorted(found)}, "
            f"but got {sorted(params)}; are these parameters of another study?"
        )

    def _checked(self, condition: Condition) -> Condition:
        """A condition with its values in the type of its parent."""
        here, known = f"condition of {condition.name!r} on {condition.parent!r}", dict(self.parameters)
        for name in (condition.name, condition.parent):
            if name not in known:
                raise ConfigError(
                    f"{here}: both must be parameters of the space, {sorted(known)}, but {name!r} is none"
                )
        if sum((c.name, c.parent) == (condition.name, condition.parent) for c in self.conditions) > 1:
            raise ConfigError(f"{here}: it must be given once; list all values in one")
        if not condition.values:
            raise ConfigError(f"{here}: at least one value must be listed, but got none")
        try:
            values = tuple(known[condition.parent].normalise(value) for value in condition.values)
        except ValueError as error:
            raise ConfigError(f"{here}: {error}") from error
        return Condition(condition.name, condition.parent, values)


def _from_config(name: str, config: ParameterConfig) -> Parameter:
    try:
        if config.type == "discrete":
            return DiscreteParameter(tuple(v for v in config.choices or () if not isinstance(v, (bool, str))))
        if config.choices is not None:
            return CategoricalParameter(config.choices)
        if config.low is None or config.high is None:
            raise ConfigError(f"low and high must be given, but got low={config.low}, high={config.high}")
        if config.distribution == "normal":
            return NormalParameter(config.low, config.high, config.log, config.step, whole=config.type == "int")
        if config.type == "int":
            return IntParameter(int(config.low), int(config.high), config.log, int(config.step or 1))
        return FloatParameter(config.low, config.high, config.log, config.step)
    except ConfigError as error:
        raise ConfigError(f"hpo.space.{name}: {error}") from error

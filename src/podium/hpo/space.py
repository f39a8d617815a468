"""The search space: the parameters of a trial, in the order of their names.

Two descriptions that differ only in order are the same space and lead every engine to the same suggestions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Self

from pydantic import model_validator

from podium.config.parameters import AnyParameter, Parameter, same
from podium.config.section import Section
from podium.errors import ConfigError
from podium.records import Scalar

Params = dict[str, Scalar]
"""Values of one trial, by parameter name."""


class Space(Section):
    """The parameters of a search by name, in order of their names; some of them may be conditional."""

    parameters: dict[str, AnyParameter]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.parameters:
            raise ValueError("a search space must name at least one parameter, but it is empty; fill hpo.space")
        ordered = {name: self._with_conditions(name) for name in sorted(self.parameters)}
        object.__setattr__(self, "parameters", ordered)
        try:
            _ = self.parents_first
        except CycleError as error:
            circle = " <- ".join(repr(name) for name in error.args[1])
            raise ValueError(f"conditions must not depend on each other, but got {circle}") from error
        return self

    @property
    def conditional(self) -> tuple[str, ...]:
        """Names of the parameters that are searched under a condition."""
        return tuple(name for name, parameter in self.parameters.items() if parameter.when)

    @cached_property
    def parents_first(self) -> tuple[str, ...]:
        """The names, each after those that its conditions name."""
        graph = {name: tuple(parameter.when) for name, parameter in self.parameters.items()}
        return tuple(TopologicalSorter(graph).static_order())

    def active(self, name: str, params: Mapping[str, Scalar]) -> bool:
        """Whether a parameter is searched, given the values of those before it in `parents_first`."""
        return all(
            parent in params and any(same(params[parent], value) for value in values)
            for parent, values in self.parameters[name].when.items()
        )

    def at(self, shares: Sequence[float]) -> Params:
        """The params at a point of the unit cube, one share for each parameter in order; see `Parameter.quantile`."""
        drawn = {
            name: parameter.quantile(share)
            for (name, parameter), share in zip(self.parameters.items(), shares, strict=True)
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
        normal: Params = {}
        for name in self.parents_first:
            if self.active(name, normal):
                if name not in params:
                    raise self._other_names(params, [*normal, name])
                try:
                    normal[name] = self.parameters[name].normalise(params[name])
                except ValueError as error:
                    raise ConfigError(f"parameter {name!r}: {error}") from error
        if len(normal) != len(params):
            raise self._other_names(params, normal)
        return {name: normal[name] for name in self.parameters if name in normal}

    def _other_names(self, params: Mapping[str, Scalar], expected: Iterable[str]) -> ConfigError:
        names = expected if self.conditional else self.parameters
        return ConfigError(
            f"a trial has exactly the {'active ' if self.conditional else ''}parameters of its space, {sorted(names)}, "
            f"but got {sorted(params)}; are these parameters of another study?"
        )

    def _with_conditions(self, name: str) -> Parameter:
        """A parameter with the values of its conditions in the types of the parameters that they are about."""
        parameter, when = self.parameters[name], {}
        for parent, values in parameter.when.items():
            here = f"{name}.when.{parent}"
            if parent not in self.parameters:
                raise ValueError(f"{here}: {parent!r} must be a parameter of the space, {sorted(self.parameters)}")
            if not values:
                raise ValueError(f"{here}: at least one value must be listed, but got none")
            try:
                when[parent] = tuple(self.parameters[parent].normalise(value) for value in values)
            except ValueError as error:
                raise ValueError(f"{here}: {error}") from error
        return parameter.model_copy(update={"when": when})

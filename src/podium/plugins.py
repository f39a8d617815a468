"""Implementations that are chosen by name: Podium's own, and those that other packages register as entry points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from podium.errors import InputError
from podium.text import did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """The implementations of one contract, by name; each is imported when it is asked for.

    Args:
        group: the entry point group that other packages register theirs in, such as `podium.tasks`.
        what: the word for one implementation in messages, such as "task".
        own: Podium's own implementations, as `module:attribute` by name.
    """

    def __init__(self, group: str, what: str, own: Mapping[str, str]) -> None:
        self.group = group
        self._what = what
        self._own = dict(own)
        self._loaded: dict[str, T] = {}

    def names(self) -> tuple[str, ...]:
        """All names: Podium's own in their order, then those of other packages in alphabetical order."""
        return (*self._own, *sorted(set(_entry_points(self.group)) - set(self._own)))

    def get(self, name: str) -> T:
        """The implementation registered under `name`.

        Raises:
            InputError: there is none of this name, or the package that registers it cannot be imported.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def all(self) -> list[T]:
        """Every implementation, in the order of `names`."""
        return [self.get(name) for name in self.names()]

    def _load(self, name: str) -> Any:
        if name in self._own:
            module, _, attribute = self._own[name].partition(":")
            return getattr(import_module(module), attribute)
        found = _entry_points(self.group).get(name)
        if found is None:
            names = ", ".join(self.names())
            raise InputError(f"{self._what} must be one of {names}, but got {name!r}{did_you_mean(name, self.names())}")
        try:
            return found.load()
        except Exception as error:
            raise InputError(
                f"{self._what} {name!r} is registered by {found.dist and found.dist.name}, but {found.value} cannot be "
                f"imported: {type(error).__name__}: {error}"
            ) from error


@cache
def _entry_points(group: str) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}

"""The base of every config section, and what its fields may be marked with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from podium.tasks import TASKS

P = TypeVar("P", str, int)

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]


def _known_task(name: str) -> str:
    names = TASKS.names()
    if name not in names:
        expected = ", ".join(repr(one) for one in names[:-1]) + f" or {names[-1]!r}"
        raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})
    return name


TaskName = Annotated[str, AfterValidator(_known_task)]
"""Name of a task of the registry."""


@dataclass(frozen=True)
class Place:
    """Marks a path, resolved against the caller's directory.

    Attributes:
        hub: whether a hub id that is no path stays as it is.
        recorded: whether it may be a URI of data or a model, which must hold no credentials, because it is recorded.
    """

    hub: bool = False
    recorded: bool = False


@dataclass(frozen=True)
class Defining:
    """Marks a field with a default that says what an entry of a dict is: a mapping with it is a whole entry."""


@dataclass(frozen=True)
class DeferredSection:
    """Marks a field whose section is known only when it is needed, because plugins contribute to it."""

    section: Callable[[], type[Section]]


class Section(BaseModel):
    """Base of every config section: frozen, and it refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _refuse_truth_for_numbers(cls, data: Any) -> Any:
        """Hand `true` on as text where a number is declared, so that it is refused and not taken as 1."""
        if not isinstance(data, dict):
            return data
        return {
            name: str(value).lower() if isinstance(value, bool) and _is_number(cls, name) else value
            for name, value in data.items()
        }


def unique(items: tuple[P, ...]) -> tuple[P, ...]:
    """Validates a field whose items must not repeat."""
    if len(set(items)) != len(items):
        raise ValueError(f"items must not repeat, but got {', '.join(str(item) for item in items)}")
    return items


def _is_number(kind: type[BaseModel], name: str) -> bool:
    field = kind.model_fields.get(name)
    types = set(_flat(field.annotation)) if field else set()
    return bool(types & {int, float}) and not types & {bool, str}


def _flat(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _flat(part)

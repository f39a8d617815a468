"""The parameters of a search space: which values each has, and how they are spread over the unit interval.

Algorithms that work in the unit cube share one mapping: `quantile` from the interval to values, and `share` back. A
uniform draw from the interval gives a draw from the parameter's distribution.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from fractions import Fraction
from statistics import NormalDist
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StrictFloat, StrictInt, model_validator

from podium.config.section import Section

Value = bool | int | float | str
"""A value of a parameter."""

_MOST_STEPS = 2**53
"""A float of 64 bits cannot tell more steps than this apart."""

_NORMAL = NormalDist()
_BELOW = _NORMAL.cdf(-3)
_WITHIN = _NORMAL.cdf(3) - _BELOW


class Parameter(Section):
    """One dimension of a search space; a conditional one is searched only where all that `when` names are as listed."""

    when: dict[str, tuple[Value, ...]] = Field(
        default_factory=dict,
        description="Search the parameter only where others have one of the values listed, as `{optimizer: [sgd]}`.",
    )

    @abstractmethod
    def normalise(self, value: Value) -> Value:
        """The same value in the declared type, so that equal values have one form.

        Raises:
            ValueError: the value is not of the declared type or lies outside the range.
        """

    @property
    @abstractmethod
    def cells(self) -> int | None:
        """How many values it has if all are equally likely; None for a continuum or unequal probabilities."""

    @abstractmethod
    def quantile(self, share: float) -> Value:
        """The smallest value for which a draw is not greater with a probability of at least `share`, in [0, 1]."""

    @abstractmethod
    def share(self, value: Value) -> float:
        """The share, in [0, 1], whose quantile is `value` up to rounding; the middle where several are."""


class _Range(Parameter):
    """A number in `[low, high]`, on the grid `low + k * step` where a step is given.

    With `distribution: normal` the number, or with `log` its logarithm, is normal and truncated to the range. Mean and
    deviation are Katib's: the middle of the range and a sixth of its width, so that the range is three deviations
    either side. A normal number is rounded to the grid after it is drawn.
    """

    low: float = Field(description="Lower bound of a `float` or `int`.")
    high: float = Field(description="Upper bound of a `float` or `int`.")
    step: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Distance between the values that are tried; that of an `int` is 1 by default."
    )
    log: bool = Field(False, description="Search on a logarithmic scale.")
    distribution: Literal["uniform", "normal"] = Field(
        "uniform", description="`normal`: around the middle of the range, which is three deviations either side."
    )

    _margin: ClassVar[float]
    _tolerance: ClassVar[float]
    """How far a value may lie from a bound (relative to it) or a grid point (in steps), because of rounding errors."""

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low <= high must hold, but got low={self.low}, high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low > 0 must hold on a log scale, but got low={self.low}")
        if self.distribution == "normal":
            if self.low == self.high:
                raise ValueError(
                    f"low < high must hold for a normal distribution, but got low={self.low}, high={self.high}"
                )
        elif self.log and self.step != type(self).model_fields["step"].default:
            raise ValueError(f"a log scale has no step, but got step={self.step}; leave out one of them")
        return self

    def normalise(self, value: Value) -> int | float:
        """See `Parameter`; a value within the tolerance of a bound or grid point becomes it."""
        number, slack = self._number(value), self._tolerance
        if not self.low - slack * abs(self.low) <= number <= self.top + slack * abs(self.top):
            raise ValueError(f"low <= value <= high must hold, but got {number} with low={self.low}, high={self.top}")
        if self.step is None:
            return min(max(number, self.low), self.high)
        steps = self._steps(number)
        if abs(steps - round(steps)) > slack * max(1.0, abs(float(steps))):
            raise ValueError(f"low + k * step must hold, but got {number} with low={self.low}, step={self.step}")
        return self._point(round(steps))

    @property
    def top(self) -> int | float:
        """The largest value that can be reached: `high`, or the last point of the grid at or below it."""
        return self.high if self.step is None else self._point(math.floor(self._steps(self.high)))

    @property
    def cells(self) -> int | None:
        if self.step is None or self.log or self.distribution == "normal":
            return None
        return math.floor(self._steps(self.high)) + 1

    def quantile(self, share: float) -> int | float:
        if self.cells is not None:
            return self._point(_cell(share, self.cells))
        low, high = self._ends()
        if self.distribution == "normal":
            deviations = _NORMAL.inv_cdf(_BELOW + min(max(share, 0.0), 1.0) * _WITHIN)
            scaled = low + (high - low) / 2 + (high - low) / 6 * deviations
        else:
            scaled = min(max(low * (1.0 - share) + high * share, low), high)
        value = min(max(math.exp(scaled) if self.log else scaled, self.low), self.top)
        return value if self.step is None else min(self._point(round((value - self.low) / self.step)), self.top)

    def share(self, value: Value) -> float:
        number = value if isinstance(value, int) else float(value)
        if self.cells is not None:
            return (round(self._steps(number)) + 0.5) / self.cells
        low, high = self._ends()
        scaled = math.log(number) if self.log else float(number)
        if self.distribution == "normal":
            # Not divided by a sixth of the width, which is 0 where the width is the smallest float there is.
            deviations = 6 * ((scaled - low) / (high - low) - 0.5)
            return min(max((_NORMAL.cdf(deviations) - _BELOW) / _WITHIN, 0.0), 1.0)
        return 0.5 if low == high else min(max((scaled - low) / (high - low), 0.0), 1.0)

    def _ends(self) -> tuple[float, float]:
        """The ends of the range, on its scale; those of a uniform `int` reach to where numbers are rounded to it."""
        margin = self._margin if self.distribution == "uniform" else 0.0
        low, high = self.low - margin, self.high + margin
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def _steps(self, value: float) -> Fraction:
        """How many steps a value lies above the lower bound, by the decimal figures as they are written."""
        return (Fraction(str(value)) - Fraction(str(self.low))) / Fraction(str(self.step))

    def _point(self, steps: int) -> int | float:
        return type(self.low)(Fraction(str(self.low)) + steps * Fraction(str(self.step)))

    @abstractmethod
    def _number(self, value: Value) -> int | float:
        """The value as a number of the declared type; a ValueError where it is none."""


class FloatParameter(_Range):
    """A real number in a range; see `distribution` and `step` for how it is drawn."""

    type: Literal["float"] = Field("float", description="Type of the parameter; `discrete` is a list of numbers.")

    _margin: ClassVar[float] = 0.0
    _tolerance: ClassVar[float] = 1e-9

    @model_validator(mode="after")
    def _check_grid(self) -> Self:
        if not math.isfinite(self.high - self.low):
            raise ValueError(f"high - low must be a finite number, but got low={self.low}, high={self.high}")
        if self.step is not None and self._steps(self.high) > _MOST_STEPS:
            raise ValueError(
                f"a range may have at most {_MOST_STEPS} steps, but got step={self.step} with low={self.low} and "
                f"high={self.high}"
            )
        return self

    def _number(self, value: Value) -> float:
        if isinstance(value, (bool, str)):
            raise ValueError(f"a number is expected, but got {value!r}")
        return float(value)


class IntParameter(_Range):
    """A whole number in a range; see `distribution` and `step` for how it is drawn."""

    type: Literal["int"] = "int"
    low: int
    high: int
    step: Annotated[int, Field(gt=0)] = 1

    _margin: ClassVar[float] = 0.5
    _tolerance: ClassVar[float] = 0

    def _number(self, value: Value) -> int:
        if isinstance(value, (bool, str)) or not math.isfinite(value) or value != int(value):
            raise ValueError(f"a whole number is expected, but got {value!r}")
        return int(value)


class _Listed(Parameter):
    """One of the listed values, all equally likely."""

    choices: tuple[Value, ...] = Field(description="Values of a `categorical` or `discrete` parameter.")

    @model_validator(mode="after")
    def _check_choices(self) -> Self:
        if not self.choices:
            raise ValueError("choices must list at least one value, but got none")
        for index, choice in enumerate(self.choices):
            if any(same(choice, other) for other in self.choices[:index]):
                raise ValueError(f"choices must differ, but {choice!r} is listed twice in {list(self.choices)}")
        return self

    def normalise(self, value: Value) -> Value:
        """See `Parameter`; 8.0 becomes the choice 8, and True never becomes 1."""
        for choice in self.choices:
            if same(choice, value):
                return choice
        raise ValueError(f"one of {list(self.choices)} is expected, but got {value!r}")

    @property
    def cells(self) -> int | None:
        return len(self.choices)

    def quantile(self, share: float) -> Value:
        return self.choices[_cell(share, len(self.choices))]

    def share(self, value: Value) -> float:
        index = next(index for index, choice in enumerate(self.choices) if same(choice, value))
        return (index + 0.5) / len(self.choices)


class CategoricalParameter(_Listed):
    """One of the listed choices; their order carries no meaning for the search."""

    type: Literal["categorical"] = "categorical"


class DiscreteParameter(_Listed):
    """One of the listed numbers, in the order given."""

    type: Literal["discrete"] = "discrete"
    choices: tuple[StrictInt | StrictFloat, ...]


AnyParameter = Annotated[
    FloatParameter | IntParameter | CategoricalParameter | DiscreteParameter, Field(discriminator="type")
]
"""A parameter of any kind; `type` says which."""


def same(left: Value, right: Value) -> bool:
    """Whether two values are equal and both or neither are truth values or texts: True is not 1."""
    if isinstance(left, (bool, str)) or isinstance(right, (bool, str)):
        return type(left) is type(right) and left == right
    return left == right


def _cell(share: float, cells: int) -> int:
    """Which of `cells` equal parts of the unit interval a share lies in."""
    return min(max(int(share * cells), 0), cells - 1)

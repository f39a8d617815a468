"""The dimensions of a search space: which values each has, and how they are spread over the unit interval.

Algorithms that think in the unit cube share one mapping: `quantile` from the interval to values, `share` back. A
uniform draw from the interval gives a draw from the parameter's distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Protocol

from podium.errors import ConfigError
from podium.records import Scalar

_MOST_STEPS = 2**53
"""More steps than this are not told apart by numbers of 64 bits."""

_TOLERANCE = 1e-9
"""How far off a bound (relative to it) or a grid point (in steps) a float may lie: what rounding can do to it."""


class Parameter(Protocol):
    """One dimension of a space: immutable, hashable, comparable."""

    def normalise(self, value: Scalar) -> Scalar:
        """The same value in the declared type, so that equal values have one form.

        Raises:
            ValueError: the value is not of the declared type or lies outside the dimension.
        """

    @property
    def cells(self) -> int | None:
        """How many values it has, all equally likely; None where they are not countable or not equally likely."""

    def quantile(self, share: float) -> Scalar:
        """The value below or at which a draw lies with probability `share`, in [0, 1]."""

    def share(self, value: Scalar) -> float:
        """The share, in [0, 1], whose quantile `value` is, but for rounding; the middle of several."""


@dataclass(frozen=True)
class FloatParameter:
    """A real number in `[low, high]`, on a grid `low + k * step` where a step is given."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ConfigError(f"low and high must be finite, but got low={self.low}, high={self.high}")
        _check_range(self.low, self.high, self.log, self.step)
        if not math.isfinite(self.high - self.low):
            raise ConfigError(f"high - low must be a finite number, but got low={self.low}, high={self.high}")
        if self.step is not None and self._steps(self.high) > _MOST_STEPS:
            raise ConfigError(
                f"a range may have at most {_MOST_STEPS} steps, but got step={self.step} with low={self.low} and "
                f"high={self.high}"
            )

    @property
    def top(self) -> float:
        """The largest value that can be reached: `high`, or the last point of the grid at or below it."""
        return self.high if self.step is None else self._point(math.floor(self._steps(self.high)))

    def normalise(self, value: Scalar) -> float:
        """See `Parameter`; a value within rounding of a bound or grid point becomes it."""
        if isinstance(value, (bool, str)):
            raise ValueError(f"a number is expected, but got {value!r}")
        number = float(value)
        if not self.low - _TOLERANCE * abs(self.low) <= number <= self.top + _TOLERANCE * abs(self.top):
            raise ValueError(f"low <= value <= high must hold, but got {number} with low={self.low}, high={self.top}")
        if self.step is None:
            return min(max(number, self.low), self.high)
        steps = float(self._steps(number))
        if abs(steps - round(steps)) > _TOLERANCE * max(1.0, abs(steps)):
            raise ValueError(f"low + k * step must hold, but got {number} with low={self.low}, step={self.step}")
        return self._point(round(steps))

    @property
    def cells(self) -> int | None:
        """See `Parameter`."""
        return None if self.step is None else math.floor(self._steps(self.high)) + 1

    def quantile(self, share: float) -> float:
        """See `Parameter`."""
        if self.cells is not None:
            return self._point(_cell(share, self.cells))
        return _between(self.low, self.high, self.log, share)

    def share(self, value: Scalar) -> float:
        """See `Parameter`."""
        if self.cells is not None:
            return (round(self._steps(float(value))) + 0.5) / self.cells
        return _share(self.low, self.high, self.log, float(value))

    def _steps(self, value: float) -> Decimal:
        return (Decimal(str(value)) - Decimal(str(self.low))) / Decimal(str(self.step))

    def _point(self, steps: int) -> float:
        return float(Decimal(str(self.low)) + steps * Decimal(str(self.step)))


@dataclass(frozen=True)
class IntParameter:
    """A whole number in `[low, high]`, on a grid `low + k * step`."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log, None if self.step == 1 else self.step)

    @property
    def top(self) -> int:
        """The largest value that can be reached."""
        return self.low + (self.high - self.low) // self.step * self.step

    def normalise(self, value: Scalar) -> int:
        """See `Parameter`; 8.0 becomes 8."""
        if isinstance(value, (bool, str)) or not math.isfinite(value) or value != int(value):
            raise ValueError(f"a whole number is expected, but got {value!r}")
        number = int(value)
        if not self.low <= number <= self.high:
            raise ValueError(f"low <= value <= high must hold, but got {number} with low={self.low}, high={self.high}")
        if (number - self.low) % self.step:
            raise ValueError(f"low + k * step must hold, but got {number} with low={self.low}, step={self.step}")
        return number

    @property
    def cells(self) -> int | None:
        """See `Parameter`; on a log scale the values are not equally likely."""
        return None if self.log else (self.high - self.low) // self.step + 1

    def quantile(self, share: float) -> int:
        """See `Parameter`; on a log scale every number stands for what rounds to it."""
        if self.cells is not None:
            return self.low + _cell(share, self.cells) * self.step
        return min(max(round(_between(self.low - 0.5, self.high + 0.5, True, share)), self.low), self.high)

    def share(self, value: Scalar) -> float:
        """See `Parameter`."""
        if self.cells is not None:
            return ((int(value) - self.low) // self.step + 0.5) / self.cells
        return _share(self.low - 0.5, self.high + 0.5, True, float(value))


@dataclass(frozen=True)
class CategoricalParameter:
    """One of the listed choices; their order carries no meaning for the search."""

    choices: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if not self.choices:
            raise ConfigError("a categorical parameter must have at least one choice, but got none")
        seen: list[Scalar] = []
        for choice in self.choices:
            if any(same(choice, other) for other in seen):
                raise ConfigError(f"choices must differ, but {choice!r} is listed twice in {list(self.choices)}")
            seen.append(choice)

    def normalise(self, value: Scalar) -> Scalar:
        """See `Parameter`; 8.0 becomes the choice 8, and True never becomes 1."""
        for choice in self.choices:
            if same(choice, value):
                return choice
        raise ValueError(f"one of {list(self.choices)} is expected, but got {value!r}")

    @property
    def cells(self) -> int | None:
        """See `Parameter`."""
        return len(self.choices)

    def quantile(self, share: float) -> Scalar:
        """See `Parameter`."""
        return self.choices[_cell(share, len(self.choices))]

    def share(self, value: Scalar) -> float:
        """See `Parameter`."""
        index = next(index for index, choice in enumerate(self.choices) if same(choice, value))
        return (index + 0.5) / len(self.choices)


@dataclass(frozen=True)
class DiscreteParameter:
    """One of the listed numbers, in the order given."""

    values: tuple[int | float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigError("a discrete parameter must have at least one value, but got none")
        wrong = [value for value in self.values if isinstance(value, (bool, str)) or not math.isfinite(value)]
        if wrong:
            raise ConfigError(f"the values of a discrete parameter must be finite numbers, but got {wrong}")
        if len(set(self.values)) != len(self.values):
            raise ConfigError(f"values must differ, but got {list(self.values)}")

    def normalise(self, value: Scalar) -> int | float:
        """See `Parameter`; 8.0 becomes the value 8."""
        for known in self.values:
            if same(known, value):
                return known
        raise ValueError(f"one of {list(self.values)} is expected, but got {value!r}")

    @property
    def cells(self) -> int | None:
        """See `Parameter`."""
        return len(self.values)

    def quantile(self, share: float) -> int | float:
        """See `Parameter`."""
        return self.values[_cell(share, len(self.values))]

    def share(self, value: Scalar) -> float:
        """See `Parameter`."""
        return (self.values.index(self.normalise(value)) + 0.5) / len(self.values)


_NORMAL = NormalDist()
_BELOW = _NORMAL.cdf(-3)
_WITHIN = _NORMAL.cdf(3) - _BELOW


@dataclass(frozen=True)
class NormalParameter:
    """A number in `[low, high]` that is normal, or whose logarithm is (`log`), truncated to that range.

    Mean and deviation are Katib's: the middle of the range and a sixth of its width, on the scale that is normal,
    so that the range is three deviations either side. Where a step is given or the number is whole, it is rounded
    to the grid `low + k * step` after it was drawn.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError(f"low < high must hold for a normal parameter, but got low={self.low}, high={self.high}")
        if self.log and self.low <= 0:
            raise ConfigError(f"low > 0 must hold on a log scale, but got low={self.low}")
        for value in (self.low, self.high, self.step):
            if self.whole and value is not None and value != int(value):
                raise ConfigError(f"a whole parameter must have whole low, high and step, but got {value}")
        FloatParameter(self.low, self.high, step=self.step)
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            object.__setattr__(self, name, int(value) if self.whole and value is not None else value)

    @property
    def grid(self) -> FloatParameter | IntParameter:
        """The values it may have, without their distribution."""
        if self.whole:
            return IntParameter(int(self.low), int(self.high), step=int(self.step or 1))
        return FloatParameter(float(self.low), float(self.high), step=self.step)

    def normalise(self, value: Scalar) -> int | float:
        """See `Parameter`; a value within rounding of a bound or grid point becomes it."""
        return self.grid.normalise(value)

    @property
    def cells(self) -> int | None:
        """See `Parameter`; no two values need be equally likely."""
        return None

    def quantile(self, share: float) -> int | float:
        """See `Parameter`; rounded to the grid."""
        low, width = self._scale(self.low), self._scale(self.high) - self._scale(self.low)
        drawn = low + width / 2 + width / 6 * _NORMAL.inv_cdf(_BELOW + min(max(share, 0.0), 1.0) * _WITHIN)
        grid = self.grid
        value = min(max(math.exp(drawn) if self.log else drawn, grid.low), grid.top)
        if grid.step is None:
            return value
        return grid.normalise(grid.low + round((value - grid.low) / grid.step) * grid.step)

    def share(self, value: Scalar) -> float:
        """See `Parameter`."""
        low, width = self._scale(self.low), self._scale(self.high) - self._scale(self.low)
        deviations = (self._scale(float(value)) - low - width / 2) / (width / 6)
        return min(max((_NORMAL.cdf(deviations) - _BELOW) / _WITHIN, 0.0), 1.0)

    def _scale(self, value: float) -> float:
        return math.log(value) if self.log else value


def _check_range(low: float, high: float, log: bool, step: float | None) -> None:
    if low > high:
        raise ConfigError(f"low <= high must hold, but got low={low}, high={high}")
    if log and low <= 0:
        raise ConfigError(f"low > 0 must hold on a log scale, but got low={low}")
    if log and step is not None:
        raise ConfigError(f"a log scale has no step, but got step={step}; leave out one of them")
    if step is not None and step <= 0:
        raise ConfigError(f"step > 0 must hold, but got step={step}")


def same(left: Scalar, right: Scalar) -> bool:
    """Whether two values are equal and both or neither are truth values or texts: True is not 1."""
    if isinstance(left, (bool, str)) or isinstance(right, (bool, str)):
        return type(left) is type(right) and left == right
    return left == right


def _cell(share: float, cells: int) -> int:
    """Which of `cells` equal parts of the unit interval a share lies in."""
    return min(max(int(share * cells), 0), cells - 1)


def _between(low: float, high: float, log: bool, share: float) -> float:
    """The number that lies `share` of the way from low to high."""
    if log:
        return min(max(math.exp(_between(math.log(low), math.log(high), False, share)), low), high)
    return min(max(low * (1.0 - share) + high * share, low), high)


def _share(low: float, high: float, log: bool, value: float) -> float:
    """How far from low to high a number lies; the middle where these are one."""
    if low == high:
        return 0.5
    if log:
        return _share(math.log(low), math.log(high), False, math.log(value))
    return min(max((value - low) / (high - low), 0.0), 1.0)

"""How numbers are written for people."""

from __future__ import annotations

import math
from functools import cache

from podium.records import Interval
from podium.tasks import TASKS

MISSING = "–"


@cache
def metric_name(metric: str) -> str:
    """Name of a metric in a sentence, as its task gives it; other names are returned as they are."""
    known = {one.name: one for task in TASKS.all() for one in task.metrics}
    return known[metric].title or metric.replace("_", " ") if metric in known else metric


def field_name(name: str) -> str:
    """Name of a config field in a sentence."""
    return name.replace("_", " ")


def score(value: float | None) -> str:
    """A metric with three decimals."""
    return MISSING if value is None else f"{value:.3f}"


def signed(value: float) -> str:
    """A difference of metrics, with its sign."""
    return f"{value:+.3f}".replace("-", "−")


def bounds(interval: Interval) -> str:
    """Lower and upper bound of a metric."""
    return f"{interval.low:.3f} to {interval.high:.3f}"


def signed_bounds(interval: Interval) -> str:
    """Lower and upper bound of a difference."""
    return f"{signed(interval.low)} to {signed(interval.high)}"


def difference(interval: Interval) -> str:
    """A difference with its bounds."""
    return f"{signed(interval.value)} ({signed_bounds(interval)})"


def figure(value: float | None, unit: str = "") -> str:
    """A quantity with three significant digits and no exponent."""
    if value is None:
        return MISSING
    exact = value == 0 or not math.isfinite(value)
    said = f"{value:g}" if exact else f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return f"{said} {unit}" if unit else said


def count(number: int) -> str:
    """A count of weights: in millions from there on, else in full."""
    return f"{number:,}" if number < 1e6 else f"{figure(number / 1e6)} M"


def parameter(value: bool | int | float | str | None) -> str:
    """A hyperparameter."""
    if value is None:
        return MISSING
    if isinstance(value, float):
        return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:.3g}"
    return str(value)


def p_value(value: float | None) -> str:
    """A p-value; small ones as a bound."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_equals(value: float) -> str:
    """A p-value after the letter p."""
    said = p_value(value)
    return said if said.startswith("<") else f"= {said}"


def duration(seconds: float) -> str:
    """A wall time."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"

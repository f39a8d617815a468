"""What a trial prints for Katib's metrics collector."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime


def metric_line(metrics: Mapping[str, float]) -> str:
    """The time and `name=value` of every metric, as the default filter of Katib's collectors reads a line of text.

    The filter (`pkg/metricscollector/v1beta1/common/const.go`) takes every `name=value` in a line; the time it begins
    with decides which line is the latest. Values are finite and written in full.
    """
    figures = (f"{name}={float(value)!r}" for name, value in metrics.items())
    return " ".join([datetime.now(UTC).isoformat(timespec="microseconds"), *figures])

"""What a trial prints for Katib's metrics collector."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime


def metric_line(metrics: Mapping[str, float]) -> str:
    """The time and `name=value` of every metric, as the default filter of Katib's collectors reads them.

    The filter (`pkg/metricscollector/v1beta1/common/const.go`) takes every `name=value` of a line. The time at the
    beginning decides which line is the latest. Values must be finite; they are written with all digits.
    """
    figures = (f"{name}={float(value)!r}" for name, value in metrics.items())
    return " ".join([datetime.now(UTC).isoformat(timespec="microseconds"), *figures])

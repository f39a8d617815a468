"""Reads the metrics of a trial from the lines of its output or file; docs/katib.md says what differs from Katib."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence

from podium.errors import ComputationFailed, MetricsUnavailable, NonFiniteLoss
from podium.katib.read import shown
from podium.katib.template import MetricsCollector, go_expression
from podium.records import Observed

DEFAULT_FILTER = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"
"""Finds `name=number`, in Katib's words."""

_DEFAULT_FILTER = r"(?i)([\w|-]+)\s*=\s*([+-]?(?:(?:nan|inf(?:inity)?)\b|\d*(?:\.\d+)?(?:e[+-]?\d+)?))"
"""The same, which also finds the values that are not finite."""


class MetricReader:
    """Takes the lines of one trial, one after another, and says what was observed."""

    def __init__(self, collector: MetricsCollector, metrics: Sequence[str]) -> None:
        """Start before the first line.

        Args:
            collector: format and filters.
            metrics: names of the metrics to collect, the objective first.
        """
        self._json = collector.format == "JSON"
        self._place = collector.path if collector.kind == "File" else "the output"
        self._filters = [
            go_expression(_DEFAULT_FILTER if expression == DEFAULT_FILTER else expression)
            for expression in collector.metrics_format or (DEFAULT_FILTER,)
        ]
        self._metrics = tuple(metrics)
        self._objective = metrics[0]
        self._observed: dict[str, Observed] = {}
        self._lines = 0
        self._no_number = ""

    def take(self, line: str) -> list[float]:
        """Take a line, and return the values of the objective in it.

        Raises:
            NonFiniteLoss: a value of the objective is NaN or infinite.
            ComputationFailed: the format is JSON, and the line is not a JSON object.
        """
        self._lines += 1
        values = []
        for metric, text in self._in_json(line) if self._json else self._in_text(line):
            value = self._number(metric, text)
            if value is None:
                continue
            old = self._observed.get(metric, Observed.of([value]))
            self._observed[metric] = Observed(min=min(old.min, value), max=max(old.max, value), latest=value)
            if metric == self._objective:
                values.append(value)
        return values

    def observed(self) -> dict[str, Observed]:
        """What was reported so far, by metric, without those that were not reported."""
        return {metric: self._observed[metric] for metric in self._metrics if metric in self._observed}

    def unavailable(self) -> MetricsUnavailable:
        """The error of a trial that ended without a value of its objective."""
        return MetricsUnavailable(
            f"a trial must report its objective {self._objective!r}, but {self._place} has {self._lines} lines and no "
            f"value of it{self._no_number}"
        )

    def _in_text(self, line: str) -> Iterator[tuple[str, str]]:
        if not any(metric in line for metric in self._metrics):
            return
        for pattern in self._filters:
            for match in pattern.finditer(line):
                name = (match[1] or "").strip()
                if name in self._metrics:
                    yield name, (match[2] or "").strip()

    def _in_json(self, line: str) -> Iterator[tuple[str, str]]:
        """Only texts are values, as in Katib."""
        if not line.strip():
            return
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise ComputationFailed(
                f"every line of {self._place} must be a JSON object, but line {self._lines} is {shown(line)}"
            )
        for metric in self._metrics:
            value = fields.get(metric)
            if isinstance(value, str):
                yield metric, value.strip()
            elif value is not None and metric == self._objective:
                self._no_number = (
                    f" that is a text: line {self._lines} has {shown(value)}; Katib reads it in quotes only"
                )

    def _number(self, metric: str, text: str) -> float | None:
        """The value of a text; None where it is not a number, or an additional metric is not finite."""
        try:
            value = float(text)
        except ValueError:
            if metric == self._objective:
                self._no_number = f" that is a number: line {self._lines} has {shown(text)}"
            return None
        if math.isfinite(value):
            return value
        if metric == self._objective:
            raise NonFiniteLoss(
                f"the objective must be finite, but line {self._lines} of {self._place} reports {metric}={text}"
            )
        return None

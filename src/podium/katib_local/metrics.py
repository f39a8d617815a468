"""What Katib's file-metricscollector reads from a trial's output or file: names, values and times of metrics.

Follows `pkg/metricscollector/v1beta1/file-metricscollector` and `getMetrics` of the trial controller; docs/katib.md
lists what is different.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NoReturn

from podium.errors import ComputationFailed, MetricsUnavailable, NonFiniteLoss
from podium.katib.read import number, shown
from podium.katib.template import MetricsCollector, compiled
from podium.records import Observed

DEFAULT_FILTER = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"
"""Finds `name=number`, as Katib does where an experiment gives no filter."""

Filter = Callable[[str], Iterator[re.Match[str]]]
"""Finds the matches of a regular expression in a line, one after another."""

_FROM_A_NAME = compiled(DEFAULT_FILTER)
_FROM_ITS_START = compiled(rf"(?<![\w|-]){DEFAULT_FILTER}")

NO_TIME = datetime.min.replace(tzinfo=UTC)
"""Go's zero time, which a value has that was reported without one: earlier than every other."""

_TIME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)T(?P<hour>\d{1,2}):(?P<rest>\d\d:\d\d)(?:[.,](?P<fraction>\d+))?"
    r"(?:Z|(?P<sign>[+-])(?P<hours>\d\d):(?P<minutes>\d\d))",
    re.ASCII,
)
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf(?:inity)?)(?![A-Za-z0-9_])", re.IGNORECASE | re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    """One value that was reported for a metric.

    Attributes:
        metric: its name.
        text: the value as it was reported.
        at: when; `NO_TIME` where the line does not say.
    """

    metric: str
    text: str
    at: datetime = NO_TIME


def parse_time(text: str) -> datetime | None:
    """An RFC 3339 time as Go's `time.Parse` reads it, cut to the microseconds that Katib's database keeps.

    None where it is none.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    offset = timedelta(hours=int(match["hours"] or 0), minutes=int(match["minutes"] or 0))
    microseconds = (match["fraction"] or "")[:6].ljust(6, "0")
    try:
        naive = datetime.fromisoformat(f"{match['date']}T{int(match['hour']):02}:{match['rest']}.{microseconds}")
        return naive.replace(tzinfo=timezone(-offset if match["sign"] == "-" else offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def unix_time(seconds: float) -> datetime | None:
    """A number of seconds as the collector reads it: the digits after the point are *counted* as nanoseconds.

    So 1.5 is 5 nanoseconds after 1; what was meant does not matter here, only that Katib orders by it.
    None where no date is that far away.
    """
    whole, _, fraction = format(Decimal(repr(seconds)), "f").removesuffix(".0").partition(".")
    try:
        return _EPOCH + timedelta(seconds=int(whole), microseconds=int(fraction or 0) // 1000)
    except OverflowError:
        return None


def parse_text(line: str, metrics: Sequence[str], filters: Sequence[Filter]) -> Iterator[Entry]:
    """The values in a line of TEXT, in the order in which the filters find them."""
    if not any(metric in line for metric in metrics):
        return
    first, blank, _ = line.partition(" ")
    at = (parse_time(first) if blank else None) or NO_TIME
    for matches in filters:
        for match in matches(line):
            name, value = (match[1] or "").strip(), (match[2] or "").strip()
            if name not in metrics:
                continue
            # The default filter takes no more than the sign of `loss=-inf`.
            spelt_out = _NOT_FINITE.match(line, match.start(2)) if match[2] is not None else None
            yield Entry(name, spelt_out[0] if spelt_out else value, at)


def parse_json(line: str, metrics: Sequence[str]) -> Iterator[Entry]:
    """The values in a line of JSON, in the order of `metrics`; only texts are values, as for Katib.

    Raises:
        ValueError: the line is not a JSON object.
    """
    if not line:
        return
    try:
        fields = json.loads(line, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if fields is None:
        return
    if not isinstance(fields, dict):
        raise ValueError("it must hold a JSON object")
    at = _json_time(fields.get("timestamp")) or NO_TIME
    for metric in metrics:
        value = fields.get(metric)
        if isinstance(value, str):
            yield Entry(metric, value, at)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _json_time(value: Any) -> datetime | None:
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return unix_time(float(value))
        except (OverflowError, ValueError):
            return None
    return None


def filters_of(collector: MetricsCollector) -> list[Filter]:
    """The filters of a collector."""
    return [
        _default_filter if expression == DEFAULT_FILTER else compiled(expression).finditer
        for expression in collector.metrics_format or (DEFAULT_FILTER,)
    ]


def _default_filter(line: str) -> Iterator[re.Match[str]]:
    """What `DEFAULT_FILTER` finds, in a time that grows with the line and not with its square, as Go's does.

    Where no match begins with the first letter of a name, none begins with another of its letters.
    """
    end = 0
    while match := _FROM_A_NAME.match(line, end) or _FROM_ITS_START.search(line, end):
        yield match
        end = match.end()


class Collection:
    """Takes in the lines of one trial, and says what was observed. To be used from one thread.

    Attributes:
        filtered: whether filters of the experiment search the lines, which may take any time.
    """

    def __init__(self, collector: MetricsCollector, metrics: Sequence[str]) -> None:
        """Start without a line.

        Args:
            collector: format and filters.
            metrics: names of what is collected, the objective first.
        """
        self.filtered = any(expression != DEFAULT_FILTER for expression in collector.metrics_format)
        self._json = collector.format == "JSON"
        self._place = collector.path if collector.kind == "File" else "the output"
        self._filters = filters_of(collector)
        self._metrics = tuple(metrics)
        self._observed: dict[str, Observed] = {}
        self._latest: dict[str, datetime] = {}
        self._lines = 0
        self._no_number = ""

    def take(self, line: str) -> list[float]:
        """Take in a line; returns the values of the objective in it.

        Raises:
            NonFiniteLoss: a value of the objective is NaN or infinite.
            ComputationFailed: the format is JSON, and the line is none.
        """
        self._lines += 1
        values = []
        for entry in self._entries(line):
            value = self._number(entry)
            if value is None:
                continue
            self._add(entry, value)
            if entry.metric == self._metrics[0]:
                values.append(value)
        return values

    def observed(self) -> dict[str, Observed]:
        """What was reported so far, by metric; one that was not reported is absent."""
        return {metric: self._observed[metric] for metric in self._metrics if metric in self._observed}

    def unavailable(self) -> MetricsUnavailable:
        """The error of a trial that ended without a value of its objective."""
        objective = self._metrics[0]
        return MetricsUnavailable(
            f"a trial must report its objective {objective!r}, but {self._place} has {self._lines} lines and no value "
            f"of it{self._no_number}"
        )

    def _entries(self, line: str) -> Iterator[Entry]:
        if not self._json:
            yield from parse_text(line, self._metrics, self._filters)
            return
        try:
            yield from parse_json(line, self._metrics)
        except ValueError as error:
            raise ComputationFailed(
                f"every line of {self._place} must be a JSON object, but line {self._lines} is {shown(line)}: {error}"
            ) from error
        objective = self._metrics[0]
        if objective in line and not isinstance(value := (json.loads(line) or {}).get(objective, ""), str):
            self._no_number = f" that is a text: line {self._lines} has {shown(value)}; Katib reads it in quotes only"

    def _number(self, entry: Entry) -> float | None:
        """The value of an entry; None, with a note for the objective, where it is no finite number."""
        objective = entry.metric == self._metrics[0]
        if _NOT_FINITE.fullmatch(entry.text):
            if objective:
                raise NonFiniteLoss(
                    f"the objective must be finite, but line {self._lines} of {self._place} reports "
                    f"{entry.metric}={entry.text}"
                )
            return None
        try:
            return number(entry.text.strip())
        except ValueError:
            if objective:
                self._no_number = f" that is a number: line {self._lines} has {shown(entry.text)}"
            return None

    def _add(self, entry: Entry, value: float) -> None:
        old = self._observed.get(entry.metric)
        if old is None:
            self._observed[entry.metric] = Observed.of([value])
            self._latest[entry.metric] = entry.at
            return
        latest = entry.at >= self._latest[entry.metric]
        if latest:
            self._latest[entry.metric] = entry.at
        self._observed[entry.metric] = Observed(
            min=min(old.min, value), max=max(old.max, value), latest=value if latest else old.latest
        )

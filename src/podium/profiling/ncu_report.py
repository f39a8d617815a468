"""Reads what Nsight Compute measured: its CSV with a row of units, and its `.ncu-rep` files with `ncu-report`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from podium.profiling.nsys_report import InvalidReport
from podium.records.base import Frozen

_ID, _KERNEL, _UNNAMED = "ID", "Kernel Name", ("Process ID", "Process Name", "Host Name", "Kernel Time")
_UNITS = {"nsecond": "ns", "usecond": "us", "msecond": "ms", "second": "s"}
"""What other versions call the same units: figures must not depend on the version that was asked."""


class Metric(Frozen):
    """A figure of ncu in base units; text where it is no number."""

    value: float | str
    unit: str = ""


class Launch(Frozen):
    """One measured launch of a kernel: its name, and its figures by the name of the metric."""

    kernel: str
    metrics: dict[str, Metric]


def read_csv(lines: Iterable[str]) -> Iterator[Launch]:
    """The launches in the output of `ncu --csv --page=raw`, one by one.

    What ncu prints before the table is passed over. The row below the header holds units; older versions print none.

    Raises:
        InvalidReport: there is no table, or it has no names of kernels.
    """
    rows = csv.reader(line for line in lines if not line.startswith("==") and line.strip())
    header = next((row for row in rows if _ID in row), None)
    if header is None or _KERNEL not in header:
        raise InvalidReport(
            f"the CSV of ncu must have the columns {_ID} and {_KERNEL}, but has {header or 'no header'}"
        )
    units: Mapping[str, str] = {}
    for values in rows:
        row = dict(zip(header, values, strict=False))
        if not row[_ID]:
            units = {name: _UNITS.get(unit, unit) for name, unit in row.items()}
            continue
        given = {name: value for name, value in row.items() if value and name not in (_ID, _KERNEL, *_UNNAMED)}
        metrics = {name: Metric(value=_number(value), unit=units.get(name, "")) for name, value in given.items()}
        yield Launch(kernel=row[_KERNEL], metrics=metrics)


def _number(text: str) -> float | str:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return text


def can_read_reports() -> bool:
    """Whether `.ncu-rep` files can be read here, which takes the package `ncu-report`."""
    return find_spec("ncu_report") is not None


def read_report(path: Path) -> list[Launch]:
    """The launches in a `.ncu-rep` file; metrics without a value of their own are left out.

    Raises:
        InvalidReport: it is no report of ncu.
    """
    import ncu_report

    try:
        context = ncu_report.load_report(str(path))
    except Exception as error:  # the library raises what its C++ throws
        raise InvalidReport(f"{path} is no report of ncu: {error}") from error
    found = []
    for index in range(context.num_ranges()):
        part = context.range_by_idx(index)
        for number in range(part.num_actions()):
            action = part.action_by_idx(number)
            named = {name: action.metric_by_name(name) for name in action.metric_names()}
            metrics = {
                name: Metric(value=one.value(), unit=_UNITS.get(one.unit(), one.unit() or ""))
                for name, one in named.items()
                if one.has_value()
            }
            found.append(Launch(kernel=action.name(), metrics=metrics))
    return found

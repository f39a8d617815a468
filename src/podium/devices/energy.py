"""Energy of the device over a span of time, where the machine reports it.

- CPU: RAPL, Linux's powercap (Documentation/power/powercap/powercap.rst): one counter of microjoules per package, which
  wraps around at `max_energy_range_uj`. Since 5.10 only root may read it (CVE-2020-8694).
- GPU: NVML's `nvmlDeviceGetTotalEnergyConsumption`, millijoules since the driver was loaded, from Volta on.

Both count the whole device, with everything else that runs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counter:
    """A counter of energy in units of `joules`; it wraps around at `span`, or never when that is None."""

    read: Callable[[], int]
    joules: float
    span: int | None = None


class EnergyMeter:
    """A context manager that measures the energy of its blocks.

    Args:
        counters: empty where the machine has none that can be read.
        note: what the counters include, or why there are none.
    """

    def __init__(self, counters: Sequence[Counter], note: str):
        self._counters, self.note = counters, note
        self._before: list[int] = []
        self._joules: float | None = None

    def __enter__(self) -> Self:
        self._before = [counter.read() for counter in self._counters]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        after = [counter.read() for counter in self._counters]
        if self._counters:
            spent = zip(self._counters, self._before, after, strict=True)
            self._joules = (self._joules or 0.0) + sum(_difference(*each) for each in spent)

    def joules(self) -> float | None:
        """Energy of all blocks together; None where it cannot be read."""
        return self._joules


def energy_meter(device: str, powercap: Path = POWERCAP) -> EnergyMeter:
    """The meter of `cpu` or `cuda` on this machine; where there is none, its note says why."""
    return _nvml() if device == "cuda" else _rapl(powercap)


def _difference(counter: Counter, before: int, after: int) -> float:
    units = after - before
    return (units + counter.span if units < 0 and counter.span else units) * counter.joules


def _rapl(powercap: Path) -> EnergyMeter:
    packages = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if zone.name.count(":") == 1]
    if not packages:
        return EnergyMeter(
            [], f"this machine shows no RAPL counter in {powercap}, as most virtual machines and containers"
        )
    try:
        counters = [_package(zone) for zone in packages]
    except (OSError, ValueError) as error:
        return EnergyMeter([], f"the RAPL counters of this machine cannot be read ({error}); they are for root")
    return EnergyMeter(counters, f"RAPL, {len(counters)} CPU package(s), with all that runs on them")


def _package(zone: Path) -> Counter:
    file = zone / "energy_uj"

    def read() -> int:
        return int(file.read_text())

    read()
    return Counter(read, 1e-6, int((zone / "max_energy_range_uj").read_text()))


def _nvml() -> EnergyMeter:
    try:
        import pynvml  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return EnergyMeter([], "the energy of a GPU is read with NVML; install nvidia-ml-py")
    nvml: Any = pynvml
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByIndex(0)
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError as error:
        return EnergyMeter([], f"NVML does not report the energy of this GPU: {error}")
    counter = Counter(lambda: int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)), 1e-3)
    return EnergyMeter([counter], "NVML, the whole GPU")

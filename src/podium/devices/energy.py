"""What the device spends and could do: its energy over a span of time, and the share of its peak that a model uses.

Energy is read where the machine reports it, of the whole device with everything else that runs on it.

- CPU: RAPL, Linux's powercap (Documentation/power/powercap/powercap.rst): one counter of microjoules per package, which
  wraps around at `max_energy_range_uj`. Since 5.10 only root may read it (CVE-2020-8694).
- GPU: NVML's `nvmlDeviceGetTotalEnergyConsumption`, millijoules since the driver was loaded, from Volta on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from podium.devices.peaks import gpu_peak


@dataclass(frozen=True)
class _Counter:
    """A counter of energy in units of `joules`; it wraps around at `span`, or never when that is 0."""

    read: Callable[[], int]
    joules: float
    span: int = 0


class EnergyMeter:
    """A context manager that measures the energy of its blocks.

    Attributes:
        joules: of all blocks together; None where it cannot be read.
        note: what the counters include, or why there are none.
    """

    def __init__(self, counters: Sequence[_Counter], note: str):
        self._counters, self.note = counters, note
        self._before: list[int] = []
        self.joules: float | None = None

    def __enter__(self) -> Self:
        self._before = [counter.read() for counter in self._counters]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for counter, before in zip(self._counters, self._before, strict=True):
            units = counter.read() - before
            self.joules = (self.joules or 0.0) + (units + counter.span if units < 0 else units) * counter.joules


def energy_meter(device: str, powercap: Path = Path("/sys/class/powercap")) -> EnergyMeter:
    """The meter of `cpu` or `cuda` on this machine; where there is none, its note says why."""
    return _nvml() if device == "cuda" else _rapl(powercap)


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


def _package(zone: Path) -> _Counter:
    def read() -> int:
        return int((zone / "energy_uj").read_text())

    read()
    return _Counter(read, 1e-6, int((zone / "max_energy_range_uj").read_text()))


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
    counter = _Counter(lambda: int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)), 1e-3)
    return EnergyMeter([counter], "NVML, the whole GPU")


def utilisation(
    weights: int | None, tokens_per_second: float, gpu: str, precision: Literal["fp32", "bf16"]
) -> tuple[float | None, str]:
    """Model FLOPs utilisation, the share of a device's dense peak, and how it is counted; or None, and why.

    The definition is that of Chowdhery et al., 2022, "PaLM", appendix B. Every input token costs two operations per
    weight that it is multiplied with (Kaplan et al., 2020, section 2.1). The products within attention are not counted,
    nor is padding, so the utilisation of long or uneven rows is in fact higher than the figure.

    Args:
        weights: weights that every input token is multiplied with; None where they cannot be counted.
        gpu: as NVML and `torch.cuda.get_device_name` give it, such as `NVIDIA A100-SXM4-40GB`; empty on a CPU.
    """
    if not gpu:
        reason = "no dense peak is known of a CPU: it depends on clock speeds that change with load and instructions"
        return None, reason
    known = gpu_peak(gpu)
    peak = known.flops(precision) if known else None
    if peak is None:
        return None, f"no dense peak of {gpu} in {precision} is in Podium's table"
    if weights is None:
        return None, "the weights of an exported graph are not counted"
    note = f"of {peak / 1e12:g}e12 operations per second, dense {precision}"
    return 2 * weights * tokens_per_second / peak, note

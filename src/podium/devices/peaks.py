"""Peak arithmetic and memory bandwidth of known GPUs, as their data sheets state them.

Not every figure has been compared with its data sheet yet: the tensor peaks of the A10G have not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "tf32", "bf16", "fp16"]

_TERA = 1e12
_GIGA = 1e9


@dataclass(frozen=True)
class GpuPeak:
    """What one GPU can do at most.

    Attributes:
        teraflops: dense peak in 10^12 operations per second by precision, without structured sparsity. `fp32` is that
            of the CUDA cores, since PyTorch does not use TF32 for matrix products by default; the other precisions are
            those of the tensor cores.
        gigabytes_per_second: bandwidth of its memory, in 10^9 bytes per second.
        source: the data sheet.
    """

    teraflops: Mapping[str, float]
    gigabytes_per_second: float
    source: str

    def flops(self, precision: Precision) -> float | None:
        """Dense peak in operations per second; None where the GPU does not know the precision."""
        peak = self.teraflops.get(precision)
        return peak * _TERA if peak is not None else None

    @property
    def bytes_per_second(self) -> float:
        return self.gigabytes_per_second * _GIGA


def _peak(source: str, gigabytes_per_second: float, **teraflops: float) -> GpuPeak:
    return GpuPeak(teraflops, gigabytes_per_second, source)


_V100 = "NVIDIA V100 data sheet, January 2020"
_A100 = "NVIDIA A100 data sheet, June 2021"
_H100 = "NVIDIA H100 data sheet, September 2023"
_H200 = "NVIDIA H200 data sheet, November 2024"
_HOPPER_SXM = {"fp32": 67, "tf32": 495, "bf16": 989, "fp16": 989}
_HOPPER_NVL = {"fp32": 60, "tf32": 418, "bf16": 835, "fp16": 835}
_AMPERE = {"fp32": 19.5, "tf32": 156, "bf16": 312, "fp16": 312}

PEAKS: dict[str, GpuPeak] = {
    "T4": _peak("NVIDIA T4 product brief, April 2020", 320, fp32=8.1, fp16=65),
    "V100 SXM2": _peak(_V100, 900, fp32=15.7, fp16=125),
    "V100 SXM3": _peak(_V100, 900, fp32=15.7, fp16=125),
    "V100 PCIE": _peak(_V100, 900, fp32=14, fp16=112),
    "V100S PCIE": _peak(_V100, 1134, fp32=16.4, fp16=130),
    "A10": _peak("NVIDIA A10 data sheet, March 2021", 600, fp32=31.2, tf32=62.5, bf16=125, fp16=125),
    "A10G": _peak("NVIDIA A10G data sheet for AWS, February 2022", 600, fp32=35, tf32=35, bf16=70, fp16=70),
    "A30": _peak("NVIDIA A30 data sheet, April 2021", 933, fp32=10.3, tf32=82, bf16=165, fp16=165),
    "A40": _peak("NVIDIA A40 data sheet, October 2020", 696, fp32=37.4, tf32=74.8, bf16=149.7, fp16=149.7),
    "A100 PCIE 40GB": _peak(_A100, 1555, **_AMPERE),
    "A100 SXM4 40GB": _peak(_A100, 1555, **_AMPERE),
    "A100 80GB PCIE": _peak(_A100, 1935, **_AMPERE),
    "A100 SXM4 80GB": _peak(_A100, 2039, **_AMPERE),
    "L4": _peak("NVIDIA L4 data sheet, March 2023", 300, fp32=30.3, tf32=60, bf16=121, fp16=121),
    "L40": _peak("NVIDIA L40 data sheet, October 2022", 864, fp32=90.5, tf32=90.5, bf16=181, fp16=181),
    "L40S": _peak("NVIDIA L40S data sheet, August 2023", 864, fp32=91.6, tf32=183, bf16=362, fp16=362),
    "H100 PCIE": _peak(_H100, 2000, fp32=51, tf32=378, bf16=756, fp16=756),
    "H100 NVL": _peak(_H100, 3900, **_HOPPER_NVL),
    "H100 80GB HBM3": _peak(_H100, 3350, **_HOPPER_SXM),
    "H200": _peak(_H200, 4800, **_HOPPER_SXM),
    "H200 NVL": _peak(_H200, 4800, **_HOPPER_NVL),
}
"""Known GPUs, by the part of the name that tells them apart: see `gpu_peak`."""


def gpu_peak(name: str) -> GpuPeak | None:
    """The peaks of a GPU; None where they are not known.

    Args:
        name: as NVML and `torch.cuda.get_device_name` give it, such as `NVIDIA A100-SXM4-40GB`, `Tesla T4` or
            `NVIDIA H100 80GB HBM3` (which is the SXM module).
    """
    words = f" {name.replace('-', ' ').upper()} "
    found = [known for known in PEAKS if f" {known} " in words]
    return PEAKS[max(found, key=len)] if found else None

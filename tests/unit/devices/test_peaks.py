from __future__ import annotations

import pytest

from podium.devices.peaks import PEAKS, gpu_peak


@pytest.mark.parametrize(
    ("name", "fp32", "half", "gigabytes"),
    [
        ("Tesla T4", 8.1, 65, 320),
        ("Tesla V100-SXM2-16GB", 15.7, 125, 900),
        ("Tesla V100-SXM3-32GB", 15.7, 125, 900),
        ("Tesla V100-PCIE-32GB", 14, 112, 900),
        ("Tesla V100S-PCIE-32GB", 16.4, 130, 1134),
        ("NVIDIA A10", 31.2, 125, 600),
        ("NVIDIA A10G", 35, 70, 600),
        ("NVIDIA A30", 10.3, 165, 933),
        ("NVIDIA A40", 37.4, 149.7, 696),
        ("A100-SXM4-40GB", 19.5, 312, 1555),
        ("NVIDIA A100-PCIE-40GB", 19.5, 312, 1555),
        ("NVIDIA A100 80GB PCIe", 19.5, 312, 1935),
        ("NVIDIA A100-SXM4-80GB", 19.5, 312, 2039),
        ("NVIDIA L4", 30.3, 121, 300),
        ("NVIDIA L40", 90.5, 181, 864),
        ("NVIDIA L40S", 91.6, 362, 864),
        ("NVIDIA H100 PCIe", 51, 756, 2000),
        ("NVIDIA H100 NVL", 60, 835, 3900),
        ("NVIDIA H100 80GB HBM3", 67, 989, 3350),
        ("NVIDIA H200", 67, 989, 4800),
        ("NVIDIA H200 NVL", 60, 835, 4800),
    ],
)
def test_a_gpu_is_found_by_the_name_that_nvml_and_torch_give(
    name: str, fp32: float, half: float, gigabytes: float
) -> None:
    found = gpu_peak(name)
    assert found is not None
    assert found.flops("fp32") == pytest.approx(fp32 * 1e12)
    assert found.flops("fp16") == pytest.approx(half * 1e12)
    assert found.bytes_per_second == gigabytes * 1e9
    assert "data sheet" in found.source or "product brief" in found.source


@pytest.mark.parametrize("name", ["", "NVIDIA GeForce RTX 4090", "AMD Instinct MI300X", "NVIDIA A1000", "NVIDIA H20"])
def test_an_unknown_gpu_has_no_peak(name: str) -> None:
    assert gpu_peak(name) is None


def test_a_gpu_without_a_precision_has_no_peak_for_it() -> None:
    assert PEAKS["T4"].flops("bf16") is None
    assert all(one.flops("fp32") for one in PEAKS.values())

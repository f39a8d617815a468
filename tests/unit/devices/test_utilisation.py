from __future__ import annotations

import pytest

from podium.devices.utilisation import PEAKS, peak_flops, utilisation


@pytest.mark.parametrize(
    ("gpu", "peak"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("Tesla T4", None),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_the_peak_is_that_of_this_very_gpu(gpu: str, peak: float | None) -> None:
    assert peak_flops(gpu, "bf16") == peak


def test_every_peak_is_in_fp32_and_bf16_is_faster() -> None:
    assert all(peaks["fp32"] < peaks.get("bf16", float("inf")) for peaks in PEAKS.values())


def test_utilisation_is_two_operations_per_weight_and_token() -> None:
    share, note = utilisation(10**8, 78_000, "NVIDIA A100-SXM4-80GB", "bf16")
    assert share == pytest.approx(0.05)
    assert note == "of 312e12 operations per second, dense bf16"


@pytest.mark.parametrize(
    ("weights", "gpu", "reason"),
    [(1, "", "no dense peak is known of a CPU"), (1, "Tesla P4", "Tesla P4"), (None, "NVIDIA L4", "exported graph")],
)
def test_what_is_not_known_is_null_with_the_reason(weights: int | None, gpu: str, reason: str) -> None:
    share, note = utilisation(weights, 1.0, gpu, "fp32")
    assert share is None
    assert reason in note

from __future__ import annotations

from pathlib import Path

import pytest

from podium.devices.energy import energy_meter, utilisation


def package(root: Path, name: str, microjoules: int, span: int = 10_000_000) -> Path:
    zone = root / name
    zone.mkdir()
    (zone / "max_energy_range_uj").write_text(f"{span}\n")
    (zone / "energy_uj").write_text(f"{microjoules}\n")
    return zone / "energy_uj"


def test_joules_are_summed_over_packages_and_not_over_their_parts(tmp_path: Path) -> None:
    first, second = package(tmp_path, "intel-rapl:0", 1_000_000), package(tmp_path, "intel-rapl:1", 0)
    part = package(tmp_path, "intel-rapl:0:0", 0)
    with energy_meter("cpu", tmp_path) as meter:
        for file, value in ((first, 3_500_000), (second, 1_000_000), (part, 9_000_000)):
            file.write_text(str(value))
    assert meter.joules == pytest.approx(3.5)
    assert meter.note == "RAPL, 2 CPU package(s), with all that runs on them"


def test_a_counter_that_started_anew_is_unrolled(tmp_path: Path) -> None:
    counter = package(tmp_path, "intel-rapl:0", 9_000_000)
    with energy_meter("cpu", tmp_path) as meter:
        counter.write_text("500000")
    assert meter.joules == pytest.approx(1.5)


def test_a_machine_without_counters_gives_none_and_the_reason(tmp_path: Path) -> None:
    with energy_meter("cpu", tmp_path) as meter:
        pass
    assert meter.joules is None
    assert "no RAPL counter" in meter.note


def test_a_counter_that_cannot_be_read_gives_none_and_the_reason(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 0).unlink()
    meter = energy_meter("cpu", tmp_path)
    assert meter.joules is None
    assert "cannot be read" in meter.note


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


@pytest.mark.parametrize(
    ("name", "fp32", "bf16"),
    [
        ("Tesla T4", 8.1, None),
        ("Tesla V100-SXM2-16GB", 15.7, None),
        ("Tesla V100-SXM3-32GB", 15.7, None),
        ("Tesla V100-PCIE-32GB", 14, None),
        ("Tesla V100S-PCIE-32GB", 16.4, None),
        ("NVIDIA A10", 31.2, 125),
        ("NVIDIA A10G", 35, 70),
        ("NVIDIA A30", 10.3, 165),
        ("NVIDIA A40", 37.4, 149.7),
        ("A100-SXM4-40GB", 19.5, 312),
        ("NVIDIA A100-PCIE-40GB", 19.5, 312),
        ("NVIDIA A100 80GB PCIe", 19.5, 312),
        ("NVIDIA A100-SXM4-80GB", 19.5, 312),
        ("NVIDIA L4", 30.3, 121),
        ("NVIDIA L40", 90.5, 181),
        ("NVIDIA L40S", 91.6, 362),
        ("NVIDIA H100 PCIe", 51, 756),
        ("NVIDIA H100 NVL", 60, 835),
        ("NVIDIA H100 80GB HBM3", 67, 989),
        ("NVIDIA H200", 67, 989),
        ("NVIDIA H200 NVL", 60, 835),
    ],
)
def test_a_gpu_is_found_by_the_name_that_nvml_and_torch_give(name: str, fp32: float, bf16: float | None) -> None:
    assert utilisation(10**12, 1.0, name, "fp32")[0] == pytest.approx(2 / fp32)
    assert utilisation(10**12, 1.0, name, "bf16")[0] == (bf16 and pytest.approx(2 / bf16))


@pytest.mark.parametrize("name", ["NVIDIA GeForce RTX 4090", "AMD Instinct MI300X", "NVIDIA A1000", "NVIDIA H20"])
def test_an_unknown_gpu_has_no_peak(name: str) -> None:
    assert utilisation(1, 1.0, name, "fp32") == (None, f"no dense peak of {name} in fp32 is in Podium's table")

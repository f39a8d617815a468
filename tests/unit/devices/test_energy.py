from __future__ import annotations

from pathlib import Path

import pytest

from podium.devices.energy import energy_meter


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
    assert meter.joules() == pytest.approx(3.5)
    assert meter.note == "RAPL, 2 CPU package(s), with all that runs on them"


def test_a_counter_that_started_anew_is_unrolled(tmp_path: Path) -> None:
    counter = package(tmp_path, "intel-rapl:0", 9_000_000)
    with energy_meter("cpu", tmp_path) as meter:
        counter.write_text("500000")
    assert meter.joules() == pytest.approx(1.5)


def test_a_machine_without_counters_gives_none_and_the_reason(tmp_path: Path) -> None:
    with energy_meter("cpu", tmp_path) as meter:
        pass
    assert meter.joules() is None
    assert "no RAPL counter" in meter.note


def test_a_counter_that_cannot_be_read_gives_none_and_the_reason(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 0).unlink()
    meter = energy_meter("cpu", tmp_path)
    assert meter.joules() is None
    assert "cannot be read" in meter.note

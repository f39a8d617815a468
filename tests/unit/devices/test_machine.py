from __future__ import annotations

import os
from pathlib import Path

import pytest

from podium.devices import machine
from podium.devices.machine import available_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_cores_follow_the_affinity() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_quota_of_cgroup_version_2_is_the_smallest_on_the_way_up(tmp_path: Path) -> None:
    _write(tmp_path / "self", "0::/pod/container\n")
    _write(tmp_path / "fs/pod/container/cpu.max", "max 100000\n")
    _write(tmp_path / "fs/pod/cpu.max", "150000 100000\n")
    assert machine._cgroup_cores(tmp_path / "fs", tmp_path / "self") == 1.5


def test_quota_of_a_container_that_sees_itself_as_the_root(tmp_path: Path) -> None:
    _write(tmp_path / "self", "0::/\n")
    _write(tmp_path / "fs/cpu.max", "400000 100000\n")
    assert machine._cgroup_cores(tmp_path / "fs", tmp_path / "self") == 4


def test_quota_of_cgroup_version_1(tmp_path: Path) -> None:
    _write(tmp_path / "self", "4:memory:/elsewhere\n2:cpu:/docker\n")
    _write(tmp_path / "fs/cpu/docker/cpu.cfs_quota_us", "50000\n")
    _write(tmp_path / "fs/cpu/docker/cpu.cfs_period_us", "100000\n")
    _write(tmp_path / "fs/cpu/cpu.cfs_quota_us", "-1\n")
    _write(tmp_path / "fs/cpu/cpu.cfs_period_us", "100000\n")
    assert machine._cgroup_cores(tmp_path / "fs", tmp_path / "self") == 0.5


def test_no_quota_is_no_limit(tmp_path: Path) -> None:
    assert machine._cgroup_cores(tmp_path / "fs", tmp_path / "self") is None
    _write(tmp_path / "self", "0::/\n")
    _write(tmp_path / "fs/cpu.max", "max 100000\n")
    assert machine._cgroup_cores(tmp_path / "fs", tmp_path / "self") is None

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from podium.devices import hardware
from podium.devices.hardware import available_cores, fingerprint, resolve_device, resolve_threads
from podium.errors import InputError

gpu = any(node for pattern in ("nvidia[0-9]*", "kfd", "dxg") for node in Path("/dev").glob(pattern))
no_gpu = pytest.mark.skipif(gpu, reason="this machine has a GPU device node")

IN_A_PROCESS = """
import json, sys
from podium.devices.hardware import fingerprint
print(json.dumps({"facts": fingerprint("auto", None), "torch": "torch" in sys.modules}))
"""


@no_gpu
def test_a_fresh_process_finds_the_same_and_needs_no_torch() -> None:
    output = subprocess.run([sys.executable, "-c", IN_A_PROCESS], capture_output=True, check=True, text=True).stdout
    answer = json.loads(output)
    assert answer["facts"] == fingerprint("auto", None)
    assert answer["torch"] is False


def test_every_fact_is_text_and_known() -> None:
    facts = fingerprint("cpu", 1)
    assert all(isinstance(value, str) and value for name, value in facts.items() if name != "cpu_features")
    assert facts["device"] == "cpu"
    assert facts["threads"] == "1"
    assert facts["precision"] == "fp32"
    assert int(facts["memory_gib"]) == round(psutil.virtual_memory().total / 2**30), "that of the machine, not of a pod"
    assert {"cpu", "cores", "torch", "transformers", "python", "os"} <= facts.keys()
    assert facts["torch"].startswith("2.")


def test_facts_differ_with_what_changes_the_latency() -> None:
    if available_cores() < 2:
        pytest.skip("needs two cores")
    assert fingerprint("cpu", 1) != fingerprint("cpu", 2)


@no_gpu
def test_auto_takes_the_cpu_where_there_is_no_gpu() -> None:
    assert resolve_device("auto") == "cpu"
    assert fingerprint("auto", 1) == fingerprint("cpu", 1)


@no_gpu
def test_a_gpu_that_is_not_there_is_refused_and_says_what_is() -> None:
    with pytest.raises(InputError, match=r"no GPU device node.*This machine has: cpu \(.+, \d+ cores\)"):
        fingerprint("cuda", 1)


def test_a_gpu_node_that_torch_cannot_use_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(hardware, "_GPU_NODES", ("null",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(InputError, match="reports no usable GPU"):
        resolve_device("cuda")


def test_a_usable_gpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")

    class Properties:
        name = "NVIDIA A10G"
        total_memory = 24 << 30

    monkeypatch.setattr(hardware, "_GPU_NODES", ("null",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)
    facts = fingerprint("auto", 1)
    assert (facts["device"], facts["gpu"], facts["gpu_memory_gib"]) == ("cuda", "NVIDIA A10G", "24")
    assert {"driver", "cuda"} <= facts.keys()


def test_threads_default_to_all_cores_and_never_exceed_them() -> None:
    cores = available_cores()
    assert resolve_threads(None) == cores
    assert resolve_threads(1) == 1
    for wrong in (0, cores + 1):
        with pytest.raises(InputError, match=f"got threads={wrong} with {cores} cores"):
            resolve_threads(wrong)


def cpus(folder: Path, siblings: dict[int, str]) -> Path:
    for cpu, shared in siblings.items():
        (folder / f"cpu{cpu}" / "topology").mkdir(parents=True)
        (folder / f"cpu{cpu}" / "topology" / "thread_siblings_list").write_text(f"{shared}\n")
    return folder


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no processes")
@pytest.mark.parametrize(
    ("threads", "bound"),
    [(1, (0,)), (2, (0, 1)), (3, (0, 1, 4)), (4, ())],
    ids=["one", "one per physical core", "then their siblings", "all: not bound"],
)
def test_threads_share_no_physical_core_if_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, bound: tuple[int, ...]
) -> None:
    monkeypatch.setattr(hardware, "_CPUS", cpus(tmp_path, {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 4, 5})
    assert hardware.bound_cores(threads) == bound


def test_the_environment_tells_what_may_explain_a_difference() -> None:
    found = hardware.environment("cpu")
    assert len(found["load"].split()) == 3
    assert found["numpy"]
    assert all(isinstance(value, str) and value for value in found.values())


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
    assert hardware._cgroup_cores(tmp_path / "fs", tmp_path / "self") == 1.5


def test_quota_of_a_container_that_sees_itself_as_the_root(tmp_path: Path) -> None:
    _write(tmp_path / "self", "0::/\n")
    _write(tmp_path / "fs/cpu.max", "400000 100000\n")
    assert hardware._cgroup_cores(tmp_path / "fs", tmp_path / "self") == 4


def test_quota_of_cgroup_version_1(tmp_path: Path) -> None:
    _write(tmp_path / "self", "4:memory:/elsewhere\n2:cpu:/docker\n")
    _write(tmp_path / "fs/cpu/docker/cpu.cfs_quota_us", "50000\n")
    _write(tmp_path / "fs/cpu/docker/cpu.cfs_period_us", "100000\n")
    _write(tmp_path / "fs/cpu/cpu.cfs_quota_us", "-1\n")
    _write(tmp_path / "fs/cpu/cpu.cfs_period_us", "100000\n")
    assert hardware._cgroup_cores(tmp_path / "fs", tmp_path / "self") == 0.5


def test_no_quota_is_no_limit(tmp_path: Path) -> None:
    assert hardware._cgroup_cores(tmp_path / "fs", tmp_path / "self") is None
    _write(tmp_path / "self", "0::/\n")
    _write(tmp_path / "fs/cpu.max", "max 100000\n")
    assert hardware._cgroup_cores(tmp_path / "fs", tmp_path / "self") is None

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from podium.profiling.permissions import Machine, capabilities, needs, obstacle, permission_table
from podium.records.profile import Permission

ANSWERS = {
    "nsys --version": "NVIDIA Nsight Systems version 2024.5.1.113-245134619542v0",
    "ncu --version": "Version 2024.3.1.0 (build 34702747)",
    "nvidia-smi --query-gpu=name --format=csv,noheader": "NVIDIA A100-SXM4-40GB\n",
    "nvidia-smi --query-compute-apps=pid,process_name --format=csv,noheader": "",
}
NO_CAPABILITY, ADMIN = "CapEff:\t0000000000000000\n", "CapEff:\t0000000000200000\n"


def machine(
    root: Path,
    *,
    admin_only: str = "1",
    status: str = ADMIN,
    gpu: bool = True,
    answers: Mapping[str, str] = {},
    programs: Sequence[str] = ("nsys", "ncu", "nvidia-smi"),
    packages: Sequence[str] = ("nvtx",),
    processes: Sequence[str] = (),
) -> Machine:
    """A machine with a GPU, whose counters administrators alone may read, and a process that is one."""
    files = {"self/status": status, "sys/kernel/perf_event_paranoid": "4"}
    if gpu:
        files |= {"driver/nvidia/version": "NVRM 550", "driver/nvidia/params": f"RmProfilingAdminOnly: {admin_only}\n"}
    files |= {f"{100 + number}/comm": name for number, name in enumerate(processes)}
    for name, text in files.items():
        (root / "proc" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "proc" / name).write_text(text)
    known = {**ANSWERS, **answers}
    return Machine(
        root,
        lambda name: f"/bin/{name}" if name in programs else None,
        lambda argv: known.get(" ".join([Path(argv[0]).name, *argv[1:]]), ""),
        lambda name: name in packages,
    )


def row(found: Sequence[Permission], name: str) -> Permission:
    return next(one for one in found if one.name == name)


def test_a_machine_with_everything_stops_no_tool(tmp_path: Path) -> None:
    found = needs(machine=machine(tmp_path))
    assert obstacle(found, "nsys") is None and obstacle(found, "ncu") is None
    assert [one.permission.status for one in found] == ["ok"] * len(found)
    table = permission_table(machine=machine(tmp_path))
    assert row(table, "nsys").reason == "2024.5.1.113 at /bin/nsys"
    assert row(table, "counters").reason == "RmProfilingAdminOnly=1, and this process has SYS_ADMIN"
    assert row(table, "perf_event_paranoid").reason.startswith("4;")


@pytest.mark.parametrize(
    ("changed", "name", "status", "stopped", "remedy"),
    [
        ({"programs": ("nvidia-smi",)}, "nsys", "skipped", {"nsys", "ncu"}, "apt-get install nsight-systems-cli"),
        ({"answers": {"ncu --version": "Version 2019.5.0"}}, "ncu", "skipped", {"ncu"}, "nsight-compute"),
        ({"answers": {"nsys --version": ""}}, "nsys", "skipped", {"nsys"}, "profile.nsys=PATH"),
        ({"packages": ()}, "nvtx", "skipped", {"nsys", "ncu"}, "pip install"),
        ({"gpu": False}, "GPU", "skipped", {"ncu"}, "node with a GPU"),
        ({"status": NO_CAPABILITY}, "counters", "degraded", {"ncu"}, "NVreg_RestrictProfilingToAdminUsers=0"),
        (
            {"answers": {"nvidia-smi --query-compute-apps=pid,process_name --format=csv,noheader": "7, python\n"}},
            "GPU idle",
            "degraded",
            {"ncu"},
            "CUDA_VISIBLE_DEVICES",
        ),
        ({"processes": ("bash", "nv-hostengine")}, "DCGM", "degraded", {"ncu"}, "dcgmi profile --pause"),
    ],
)
def test_what_is_missing_stops_its_tools_and_names_what_mends_it(
    tmp_path: Path, changed: dict, name: str, status: str, stopped: set[str], remedy: str
) -> None:
    found = needs(machine=machine(tmp_path, **changed))
    shown = row([one.permission for one in found], name)
    assert shown.status == status and remedy in shown.remedy
    assert {tool for tool in ("nsys", "ncu") if obstacle(found, tool) is not None} == stopped


def test_counters_are_free_where_the_driver_says_so(tmp_path: Path) -> None:
    found = permission_table(machine=machine(tmp_path, admin_only="0", status=NO_CAPABILITY))
    assert row(found, "counters").status == "ok"


def test_dcgm_that_can_be_paused_stops_nothing(tmp_path: Path) -> None:
    seen = machine(tmp_path, processes=("nv-hostengine",), programs=("nsys", "ncu", "nvidia-smi", "dcgmi"))
    assert row(permission_table(machine=seen), "DCGM").status == "ok"


def test_either_capability_lets_a_process_read_counters() -> None:
    assert capabilities(ADMIN) == ["SYS_ADMIN"]
    assert capabilities("Name: x\nCapEff:\t0000004000000000\n") == ["PERFMON"]
    assert capabilities(NO_CAPABILITY) == capabilities("") == []

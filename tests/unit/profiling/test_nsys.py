import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from podium.profiling import nsys
from podium.profiling.nsys import InvalidReport, read_database, read_summary
from tests.unit.profiling.nsys_databases import database

REPORT, WORKLOAD = Path("/profile/nsys/report.nsys-rep"), ["python", "-m", "workload", "/models/my model"]
GEMM, SOFTMAX = "sgemm(float*, int)", "softmax(float*)"


@pytest.mark.parametrize(("device", "trace"), [("cpu", "nvtx,osrt"), ("cuda", "cuda,nvtx,osrt,cudnn,cublas")])
def test_a_whole_process_is_recorded_without_sampling(device: str, trace: str) -> None:
    argv = nsys.profile_argv("/opt/nsys", device, REPORT, "podium-1-2", WORKLOAD)
    assert argv[:2] == ["/opt/nsys", "profile"]
    assert {f"--trace={trace}", "--sample=none", "--cpuctxsw=none", f"--output={REPORT}"} <= set(argv)
    assert argv[-4:] == WORKLOAD


@pytest.mark.parametrize(("version", "name"), [((2022, 4, 2, 1), "gpukernsum"), ((2023, 1), "cuda_gpu_kern_sum")])
def test_reports_have_the_names_of_their_version(version: nsys.Version, name: str) -> None:
    database = Path("/profile/nsys/report.sqlite")
    assert f"--report={name}" in nsys.stats_argv("nsys", version, ["kernels"], database)
    assert nsys.stats_file(version, "kernels", database) == Path(f"/profile/nsys/report_{name}.csv")


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ("NVIDIA Nsight Systems version 2022.4.2.1-df9881f", (2022, 4, 2, 1)),
        ("NVIDIA (R) Nsight Compute\nCopyright (c) 2018-2022\nVersion 2022.3.0.0 (build 31729285)", (2022, 3, 0, 0)),
        ("no such command", ()),
    ],
)
def test_versions_are_read_from_what_the_tools_say(answer: str, version: nsys.Version) -> None:
    assert nsys.parse_version(answer) == version


@pytest.mark.parametrize(("version", "registered"), [("2022.4.2.1", True), ("2025.3.1.90", False)])
def test_ranges_are_counted_by_name_whichever_version_exported_them(
    tmp_path: Path, version: str, registered: bool
) -> None:
    given = {"load": [(0, 90)], "forward": [(100, 110), (120, 150), (160, None)]}
    found = read_database(database(tmp_path / "r.sqlite", ranges=given, version=version, registered=registered))
    assert [(one.name, one.count, one.total_ns) for one in found.ranges] == [("load", 1, 90), ("forward", 2, 40)]
    assert found.kernels == () and found.device is None


def test_kernels_have_the_name_by_which_ncu_finds_them(tmp_path: Path) -> None:
    launches = [(SOFTMAX, "_Z7softmaxPf", 100, 110), (GEMM, "_Z5sgemmPfi", 110, 150), (GEMM, "_Z5sgemmPfi", 170, 200)]
    found = read_database(database(tmp_path / "new.sqlite", kernels=launches)).kernels
    assert [(one.name, one.count, one.total_ns) for one in found] == [(GEMM, 2, 70), (SOFTMAX, 1, 10)]
    assert (found[0].match, found[0].base) == ("_Z5sgemmPfi", "mangled")
    old = read_database(database(tmp_path / "old.sqlite", kernels=launches, mangled=False)).kernels
    assert (old[0].match, old[0].base) == ("", "demangled")


def test_the_gpu_waits_between_its_work_and_what_overlaps_counts_once(tmp_path: Path) -> None:
    launches = [(GEMM, "g", 100, 150), (GEMM, "g", 120, 160), (SOFTMAX, "s", 200, 210)]
    found = read_database(
        database(tmp_path / "r.sqlite", kernels=launches, copies=[(1, 4096, 160, 170), (2, 8, 215, 220)])
    )
    assert found.device is not None
    assert (found.device.busy_ns, found.device.idle_ns, found.device.longest_gap_ns) == (85, 35, 30)
    assert [(one.direction, one.bytes) for one in found.copies] == [("Host-to-Device", 4096), ("Device-to-Host", 8)]


def test_a_database_without_a_needed_column_is_refused_by_its_name(tmp_path: Path) -> None:
    path = database(tmp_path / "r.sqlite")
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE NVTX_EVENTS (start INTEGER, eventType INTEGER)")
    with pytest.raises(InvalidReport, match=r"NVTX_EVENTS .* must have the columns \['end'\]"):
        read_database(path)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but long enough to be looked at as one" * 20)
    with pytest.raises(InvalidReport, match="no SQLite database"):
        read_database(tmp_path / "text")
    with closing(sqlite3.connect(tmp_path / "other")) as made:
        made.execute("CREATE TABLE people (name TEXT)")
    with pytest.raises(InvalidReport, match="StringIds"):
        read_database(tmp_path / "other")
    with pytest.raises(InvalidReport, match="does not exist"):
        read_database(tmp_path / "none")


def test_summaries_are_read_by_the_names_of_their_columns(tmp_path: Path) -> None:
    file = tmp_path / "s.csv"
    file.write_text('\nRange,Style,Instances,Total Time (us)\n:forward,PushPop,"1,200",1.5\nload,PushPop,1,2\n')
    assert read_summary(file) == {"forward": 1200, "load": 1}
    file.write_text("")
    assert read_summary(file) == {}
    file.write_text("Time (%),Name\n1,read\n")
    with pytest.raises(InvalidReport, match="must have the columns Range and Instances"):
        read_summary(file)

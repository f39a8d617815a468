from pathlib import Path

from podium.profiling import ncu
from podium.profiling.nsys_report import KernelTime

REPORT, WORKLOAD = Path("/profile/ncu/01-ab/report.ncu-rep"), ["python", "-m", "workload"]
GEMM = KernelTime(name="sgemm(float*)", count=2, total_ns=2)


def test_one_kernel_is_measured_in_its_range_with_the_clocks_left_alone() -> None:
    kernel = GEMM.model_copy(update={"match": "_Z5sgemmPf", "base": "mangled"})
    argv = ncu.profile_argv("/opt/ncu", REPORT, WORKLOAD, kernel)
    assert argv[0] == "/opt/ncu"
    assert {"--kernel-name-base=mangled", "--kernel-name=_Z5sgemmPf", "--launch-count=1"} <= set(argv)
    assert {"--clock-control=none", "--replay-mode=kernel", "--nvtx", "--nvtx-include=forward/"} <= set(argv)
    assert f"--export={REPORT}" in argv and argv[-3:] == WORKLOAD
    assert "--kernel-name=sgemm(float*)" in ncu.profile_argv("ncu", REPORT, WORKLOAD, GEMM)


def test_any_kernel_anywhere_is_asked_for_without_a_filter() -> None:
    argv = ncu.profile_argv("ncu", REPORT, WORKLOAD, within="")
    assert not {one.partition("=")[0] for one in argv} & {"--nvtx", "--nvtx-include", "--kernel-name"}

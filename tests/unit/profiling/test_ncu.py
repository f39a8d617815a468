from pathlib import Path

from podium.profiling import ncu
from podium.profiling.nsys_report import KernelTime

REPORT, WORKLOAD = Path("/profile/ncu/01-ab/report.ncu-rep"), ["python", "-m", "workload"]
GEMM = KernelTime(name="sgemm(float*)", count=2, total_ns=2, median_ns=1, min_ns=1, max_ns=1)


def test_one_kernel_is_measured_in_its_range_with_the_clocks_left_alone() -> None:
    kernel = GEMM.model_copy(update={"match": "_Z5sgemmPf", "base": "mangled"})
    argv = ncu.profile_argv(ncu.NcuOptions(launch_skip=3, launch_count=2), REPORT, WORKLOAD, kernel)
    assert {"--kernel-name-base=mangled", "--kernel-name=_Z5sgemmPf", "--launch-skip=3", "--launch-count=2"} <= set(
        argv
    )
    assert {"--clock-control=none", "--replay-mode=kernel", "--nvtx", "--nvtx-include=forward/"} <= set(argv)
    assert f"--export={REPORT}" in argv and argv[-3:] == WORKLOAD
    assert "--kernel-name=sgemm(float*)" in ncu.profile_argv(ncu.NcuOptions(), REPORT, WORKLOAD, GEMM)


def test_what_is_left_empty_adds_no_argument() -> None:
    argv = ncu.profile_argv(ncu.NcuOptions(set="", nvtx_include="", launch_count=0), REPORT, WORKLOAD)
    assert not {one.partition("=")[0] for one in argv} & {
        *(
            "--set",
            "--section",
            "--metrics",
            "--nvtx",
            "--nvtx-include",
            "--kernel-name",
            "--launch-skip",
            "--launch-count",
        )
    }


def test_sections_and_metrics_add_to_the_set_and_ranges_are_escaped() -> None:
    options = ncu.NcuOptions(
        set="full",
        sections=("SpeedOfLight", "Occupancy"),
        metrics=("a__b.sum", "c__d"),
        replay="range",
        nvtx_include="a[0]",
    )
    argv = ncu.profile_argv(options, REPORT, WORKLOAD)
    assert {"--section=SpeedOfLight", "--section=Occupancy", "--metrics=a__b.sum,c__d", "--set=full"} <= set(argv)
    assert {"--replay-mode=range", r"--nvtx-include=a\[0\]/"} <= set(argv)


def test_metrics_that_the_gpu_lacks_are_left_out() -> None:
    answer = '==PROF== hello\n"Metric name","Metric type"\n"dram__bytes","Counter"\n"sm__cycles_active","Counter"\n'
    listed = ncu.listed_metrics(answer)
    assert listed == {"dram__bytes", "sm__cycles_active"}
    asked = ("dram__bytes.sum", "lts__t_bytes.sum", "launch__registers_per_thread", "group:memory")
    assert ncu.available(asked, listed) == (
        ("dram__bytes.sum", "launch__registers_per_thread", "group:memory"),
        ("lts__t_bytes.sum",),
    )

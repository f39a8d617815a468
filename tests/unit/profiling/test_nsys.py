from pathlib import Path

import pytest

from podium.profiling import nsys

REPORT, WORKLOAD = Path("/profile/nsys/report.nsys-rep"), ["python", "-m", "workload", "/models/my model"]


def test_a_whole_process_is_recorded_without_sampling() -> None:
    argv = nsys.profile_argv(nsys.NsysOptions(), REPORT, "podium-1-2", WORKLOAD)
    assert argv[:2] == ["nsys", "profile"]
    assert {"--trace=nvtx,osrt", "--sample=none", "--cpuctxsw=none", f"--output={REPORT}"} <= set(argv)
    assert not any(one.startswith("--capture-range") for one in argv)
    assert argv[-4:] == WORKLOAD


def test_a_range_is_recorded_until_it_ends() -> None:
    argv = nsys.profile_argv(nsys.NsysOptions("/opt/nsys", ("cuda", "nvtx"), "forward"), REPORT, "s", WORKLOAD)
    assert argv[0] == "/opt/nsys"
    assert {"--trace=cuda,nvtx", "--nvtx-capture=forward", "--capture-range=nvtx", "--capture-range-end=stop"} <= set(
        argv
    )


def test_what_is_left_empty_adds_no_argument() -> None:
    argv = nsys.profile_argv(nsys.NsysOptions(trace=()), REPORT, "s", WORKLOAD)
    assert not any(one.startswith("--trace") or one.endswith("=") for one in argv)


@pytest.mark.parametrize(("version", "name"), [((2022, 4, 2, 1), "gpukernsum"), ((2023, 1), "cuda_gpu_kern_sum")])
def test_reports_have_the_names_of_their_version(version: nsys.Version, name: str) -> None:
    database = Path("/profile/nsys/report.sqlite")
    assert f"--report={name}" in nsys.stats_argv("nsys", version, ["kernels"], database)
    assert nsys.stats_files(version, ["kernels"], database) == {"kernels": Path(f"/profile/nsys/report_{name}.csv")}


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

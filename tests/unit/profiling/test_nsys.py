from pathlib import Path

import pytest

from podium.profiling import nsys

REPORT, WORKLOAD = Path("/profile/nsys/report.nsys-rep"), ["python", "-m", "workload", "/models/my model"]


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

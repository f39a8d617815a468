import signal
from pathlib import Path

import pytest

from podium.profiling import ncu
from podium.profiling.ncu import Metric, dcgm_paused, read_csv
from podium.profiling.nsys import InvalidReport, KernelTime

REPORT, WORKLOAD = Path("/profile/ncu/01-ab/report.ncu-rep"), ["python", "-m", "workload"]
GEMM = KernelTime(name="sgemm(float*)", count=2, total_ns=2)
TABLE = """==PROF== Connected to process 7
==PROF== Disconnected
"Kernel Name","ID","Host Name","gpu__time_duration.sum","device__attribute_name","empty"
"","","","nsecond","",""
"sgemm(float*, int)","0","here","1,234.5","NVIDIA A100",""
"softmax(float*)","1","here","7","NVIDIA A100",""
"""


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


def test_launches_are_read_by_column_with_their_units() -> None:
    first, second = read_csv(TABLE.splitlines())
    assert first.kernel == "sgemm(float*, int)"
    assert first.metrics == {
        "gpu__time_duration.sum": Metric(value=1234.5, unit="ns"),
        "device__attribute_name": Metric(value="NVIDIA A100"),
    }
    assert second.metrics["gpu__time_duration.sum"].value == 7


def test_a_table_without_units_has_all_its_launches() -> None:
    rows = [line for line in TABLE.splitlines() if not line.startswith('"","')]
    assert [one.kernel for one in read_csv(rows)] == ["sgemm(float*, int)", "softmax(float*)"]


@pytest.mark.parametrize("text", ["", "==ERROR== no kernels\n", '"ID","Name"\n"0","x"\n'])
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(InvalidReport, match="must have the columns"):
        list(read_csv(text.splitlines()))


class Dcgmi:
    def __init__(self, there: bool = True) -> None:
        self.there = there
        self.asked: list[str] = []

    def find(self, name: str) -> str | None:
        return f"/bin/{name}" if self.there else None

    def ask(self, argv: list[str]) -> str:
        self.asked.append(argv[-1])
        return "Successfully done."


def test_it_is_paused_for_the_body_and_resumes() -> None:
    dcgmi = Dcgmi()
    with dcgm_paused(dcgmi.find, dcgmi.ask) as paused:
        assert paused and dcgmi.asked == ["--pause"]
    assert dcgmi.asked == ["--pause", "--resume"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_it_resumes_after_an_error(error: type[BaseException]) -> None:
    dcgmi = Dcgmi()
    with pytest.raises(error), dcgm_paused(dcgmi.find, dcgmi.ask):
        raise error
    assert dcgmi.asked == ["--pause", "--resume"]


def test_it_resumes_when_this_process_is_asked_to_end() -> None:
    dcgmi = Dcgmi()
    with pytest.raises(SystemExit), dcgm_paused(dcgmi.find, dcgmi.ask):
        signal.raise_signal(signal.SIGTERM)
    assert dcgmi.asked == ["--pause", "--resume"]


def test_without_dcgmi_nothing_is_done() -> None:
    dcgmi = Dcgmi(there=False)
    with dcgm_paused(dcgmi.find, dcgmi.ask) as paused:
        assert not paused
    assert not dcgmi.asked

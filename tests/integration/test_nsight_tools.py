"""Attempts with the real nsys and ncu, on a real model where counts matter, and every failure provoked."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from podium.config.profile import ProfileConfig
from podium.profiling.attempt import Plan, Stage, make_attempt
from podium.profiling.capture import DeepProfile, deep_profile
from podium.profiling.ncu import csv_argv, profile_argv, read_csv, read_report
from podium.profiling.permissions import needs
from podium.profiling.tools import SESSION, Call, Ended, end_stale_sessions, new_session, run_tool, tool_environment
from podium.profiling.workload import Workload, ranges
from tests import nsight
from tests.integration.small_models import save_model
from tests.unit.profiling.fake_tools import workload

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def had(get: Callable[[], Any]) -> Any:
    try:
        return get()
    except nsight.Unavailable as error:
        pytest.skip(f"Debian's packages of the Nsight tools cannot be had here: {error}")


@pytest.fixture(scope="module")
def nsys() -> str:
    return str(had(nsight.nsys))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    left = [one for one in psutil.process_iter() if SESSION in _environment(one) and one.pid != os.getpid()]
    assert not left, f"processes of a profile are left: {left}"


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return {} if process.status() == psutil.STATUS_ZOMBIE else process.environ()
    except (psutil.Error, OSError):
        return {}


def profile(
    folder: Path, nsys: str, launch: Any = run_tool, spec: Workload | None = None, rounds: int = 0, **given: Any
) -> DeepProfile:
    config = ProfileConfig(**{"tools": ("nsys",), "timeout_seconds": 240, **given}, nsys=nsys)
    return deep_profile(spec or workload(folder), folder / "profile", config, launch, rounds=rounds)


def changed(change: Callable[[list[str]], list[str]], when: str = "profile") -> Any:
    """A launch with another command line, for the part of nsys that `when` names."""

    def launch(call: Call) -> Ended:
        given = list(call.argv)
        if given[1] == when:
            given = change(given)
        return run_tool(Call(given, call.log, call.environment, call.cwd, call.seconds))

    return launch


def test_a_real_model_opens_exactly_its_ranges_and_the_command_runs_again(tmp_path: Path, nsys: str) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('"a good film"\n"a long and bad film, which nobody should see"\n')
    model = save_model(tmp_path / "model", "text-classification", ("good", "bad"))
    spec = Workload(model=str(model), rows=str(rows), iterations=6, warmup=2, batch_size=2, kind="classifier")
    found = profile(tmp_path, nsys, spec=spec)
    assert found.status == "ok" and found.report is not None, found.attempts
    counts = {one.name: one.count for one in found.report.ranges}
    assert counts == ranges(spec) == {"load": 1, "tokenise": 6, "forward": 6, "postprocess": 6}
    folder = tmp_path / "profile" / "nsys"
    for script, report in (("cmd.txt", "report.nsys-rep"), ("cmd-rerun.txt", "rerun/report.nsys-rep")):
        (folder / report).unlink(missing_ok=True)
        subprocess.run(
            ["sh", str(folder / script)], check=True, env={"PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL
        )
        assert (folder / report).stat().st_size > 0


def test_the_observer_effect_is_measured_in_turns(tmp_path: Path, nsys: str) -> None:
    (observer,) = profile(tmp_path, nsys, rounds=2).observers
    assert observer.tool == "nsys" and observer.unprofiled_seconds > 0 and observer.profiled_seconds > 0
    assert observer.slowdown.low <= observer.slowdown.value <= observer.slowdown.high


def without_capture(given: list[str]) -> list[str]:
    """nsys told to record within a range that never comes."""
    return [*given[:2], "--capture-range=nvtx", "--nvtx-capture=never", *given[2:]]


def no_workload(given: list[str]) -> list[str]:
    return ["/does/not/exist" if one == sys.executable else one for one in given]


def without_ranges(given: list[str]) -> list[str]:
    """The workload runs well, but shows no ranges to nsys."""
    return [*given[:2], "--env-var=NVTX_DISABLE=1", *given[2:]]


def broken_report(given: list[str]) -> list[str]:
    report = Path(given[-1])
    report.write_bytes(report.read_bytes()[:20000])
    return given


@pytest.mark.parametrize(
    ("launch", "outcome", "said"),
    [
        (changed(no_workload), "launch", "/does/not/exist"),
        (changed(lambda given: [*given[:2], "--nope", *given[2:]]), "tool", "unrecognised option"),
        (changed(without_capture), "tool", "exit code 0 and left no report"),
        (changed(lambda given: [*given[:-1], "rows=/no/such/rows"]), "application", "exit code 2"),
        (changed(without_ranges), "invalid-report", "must have the ranges"),
        (changed(broken_report, "export"), "export", "nsys export ended with exit code 1"),
    ],
)
def test_every_failure_has_its_outcome(tmp_path: Path, nsys: str, launch: Any, outcome: str, said: str) -> None:
    found = profile(tmp_path, nsys, launch)
    assert found.status == "degraded"
    assert {one.outcome for one in found.attempts} == {outcome}, found.attempts
    assert re.search(said, found.attempts[0].reason), found.attempts[0].reason


def test_an_importer_that_is_missing_leaves_no_report_and_exit_code_0(tmp_path: Path, nsys: str) -> None:
    target = Path(nsys).resolve().parent
    copy = target.parent.parent / "without-host" / target.name
    if not copy.is_dir():
        copy.parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-al", str(target), str(copy)], check=True)
    (made,) = profile(tmp_path, str(copy / "nsys")).attempts
    assert (made.outcome, made.exit_code) == ("export", 0)
    assert "report.qdstrm" in made.reason and "host-linux-x64" in made.remedy


def test_at_its_deadline_the_tool_and_all_that_it_started_are_ended(tmp_path: Path, nsys: str) -> None:
    spec = workload(tmp_path, iterations=10**7)
    (made,) = profile(tmp_path, nsys, spec=spec, timeout_seconds=12).attempts
    assert made.outcome == "timeout" and made.exit_code is None


def test_agents_of_a_profile_that_was_killed_are_ended_by_the_next_one(tmp_path: Path, nsys: str) -> None:
    code = (
        "import os, subprocess, sys, time; from podium.profiling.tools import *; from pathlib import Path\n"
        "call = tool_environment({}, Path(sys.argv[2]), new_session())\n"
        "subprocess.Popen([sys.argv[1], 'profile', '--trace=nvtx', '--sample=none', '--cpuctxsw=none',"
        " '--output=' + sys.argv[2] + '/r.nsys-rep', 'sleep', '300'], env=call, start_new_session=True)\n"
        "time.sleep(300)\n"
    )
    program = subprocess.Popen([sys.executable, "-c", code, nsys, str(tmp_path)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any("--start-agent" in _command(one) and SESSION in _environment(one) for one in psutil.process_iter()):
        assert time.monotonic() < deadline, "nsys started no agent"
        time.sleep(0.1)
    assert end_stale_sessions() == 0, "its owner lives"
    program.kill()
    program.wait()
    assert end_stale_sessions() >= 2


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_reports_of_ncu_are_read_alike_as_csv_and_by_its_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, reports = str(had(nsight.ncu)), had(nsight.example_reports)
    monkeypatch.syspath_prepend(str(had(nsight.reader)))
    assert len(reports) == 2
    for report in reports:
        table = tmp_path / f"{report.stem}.csv"
        call = Call(csv_argv(program, report), table, tool_environment({}, tmp_path / "tmp", ""), tmp_path, 120)
        assert run_tool(call).exit_code == 0
        (by_csv,), (by_library,) = list(read_csv(table.read_text().splitlines())), read_report(report)
        assert by_csv.kernel.startswith(by_library.kernel)
        shared = by_csv.metrics.keys() & by_library.metrics.keys()
        assert len(shared) > 700
        for name in (
            "gpu__time_duration.sum",
            "dram__bytes_read.sum",
            "sm__throughput.avg.pct_of_peak_sustained_elapsed",
        ):
            left, right = by_csv.metrics[name], by_library.metrics[name]
            assert left.value == pytest.approx(right.value, abs=0.006), name
            assert left.unit == right.unit, name


def test_ncu_without_a_gpu_says_so_and_is_not_started_by_a_profile(tmp_path: Path, nsys: str) -> None:
    program = str(had(nsight.ncu))
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("there is a GPU here")
    found = profile(tmp_path, nsys, tools=("nsys", "ncu"), ncu=program)
    assert [(one.name, one.status) for one in found.tools] == [("nsys", "ok"), ("ncu", "skipped")]
    assert "no driver" in found.tools[1].reason and found.tools[1].remedy
    assert {one.permission.name for one in needs(nsys, program)} >= {"nsys", "ncu", "nvtx", "GPU"}

    config = ProfileConfig(timeout_seconds=120)
    stage = Stage(workload(tmp_path), tmp_path / "profile", config, {"ncu": program}, run_tool)
    plan = Plan(
        stage=stage,
        tool="ncu",
        target="any",
        number=1,
        folder=tmp_path / "profile" / "ncu",
        session=new_session(),
        argv=lambda report, output: profile_argv(program, report, stage.workload_argv(output)),
    )
    made, report, _ = make_attempt(plan, lambda plan: plan.report)
    assert (made.outcome, report) == ("setup", None) and "driver" in made.reason

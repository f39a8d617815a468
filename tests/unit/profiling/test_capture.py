import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from podium.config.profile import ProfileConfig
from podium.profiling import attempt, capture
from podium.profiling.capture import DeepProfile, deep_profile
from podium.profiling.permissions import Need
from podium.profiling.tools import Call
from podium.profiling.workload import ranges
from podium.records.profile import Permission
from tests.unit.profiling.fake_tools import FakeTools, option, run_workload, workload

NSYS, NCU = "/opt/bin/nsys", "/opt/bin/ncu"
NO_GPU = Need(Permission(name="GPU", status="skipped", reason="no GPU", remedy="get one"), ("ncu",))


@pytest.fixture(autouse=True)
def versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "version_of", lambda program: (2022, 4, 2))
    monkeypatch.setattr(capture, "end_stale_sessions", lambda: 0)


def profile(
    folder: Path, fake: FakeTools, found: tuple[Need, ...] = (NO_GPU,), rounds: int = 0, **settings: Any
) -> DeepProfile:
    config = ProfileConfig(**{"nsys": NSYS, "ncu": NCU, "tools": ("nsys",), **settings})
    spec = workload(folder, **({"device": "cuda"} if fake.kernels is not None else {}))
    return deep_profile(spec, folder / "profile", config, fake, found, rounds)


def outcomes(profile: DeepProfile) -> list[str]:
    return [one.outcome for one in profile.attempts]


def test_ok_needs_the_report_its_export_and_the_expected_ranges(tmp_path: Path) -> None:
    tools = FakeTools()
    found = profile(tmp_path, tools)
    assert found.status == "ok" and outcomes(found) == ["ok"]
    assert found.report is not None
    counts = {one.name: one.count for one in found.report.ranges}
    assert counts == ranges(workload(tmp_path)) == {"load": 1, "tokenise": 4, "forward": 4, "postprocess": 4}
    (made,) = found.attempts
    assert made.exit_code == 0 and made.argv[0] == NSYS and made.versions == {"nsys": "2022.4.2"}
    assert {"nsys/report.nsys-rep", "nsys/report.sqlite", "nsys/cmd.txt", "nsys/workload/timings.json"} <= set(
        made.files
    )
    assert stat.S_IMODE((tmp_path / "profile" / "nsys").stat().st_mode) == 0o700
    assert json.loads((tmp_path / "profile" / "attempts.json").read_text())[0]["outcome"] == "ok"


def test_an_exit_code_alone_says_nothing(tmp_path: Path) -> None:
    """nsys ends with 143 where it was asked to stop with the range, and leaves a good report."""

    def stopped(call: Call) -> int:
        tools.record(call)
        return 143

    tools = FakeTools(nsys=stopped)
    found = profile(tmp_path, tools)
    assert outcomes(found) == ["ok"] and found.attempts[0].exit_code == 143


def leaves(*names: str, workload: bool = True, code: int | None = 0, says: str = "") -> Any:
    """A run of nsys that leaves some files only; `{}` in a name is its directory for temporary files."""

    def run(call: Call) -> int | None:
        if workload:
            run_workload(list(call.argv))
        for name in names:
            place = Path(name.format(call.environment["TMPDIR"])) if "{" in name else call.cwd / name
            place.write_text("x")
        call.log.write_text(says)
        return code

    return run


@pytest.mark.parametrize(
    ("tools", "outcome", "said", "attempts"),
    [
        (FakeTools(missing=True), "launch", "cannot be run", 1),
        (
            FakeTools(nsys=leaves(workload=False, code=1, says="No such file or directory: /x/python")),
            "launch",
            "/x/p",
            1,
        ),
        (FakeTools(nsys=leaves(workload=False, code=None)), "timeout", "still running after 600 s", 1),
        (FakeTools(nsys=leaves(workload=False, code=1, says="unrecognised option '--nope'")), "tool", "--nope", 2),
        (FakeTools(nsys=leaves(workload=False, code=-11)), "tool", "exit code -11", 2),
        (FakeTools(nsys=leaves()), "tool", "left no report at", 2),
        (FakeTools(nsys=leaves("{}/other.nsys-rep")), "tool", "but at .*/other.nsys-rep", 2),
        (FakeTools(nsys=leaves("report.nsys-rep", workload=False, code=3)), "application", "exit code 3", 1),
        (FakeTools(nsys=leaves("report.qdstrm")), "export", "only report.qdstrm", 1),
        (FakeTools(export=1), "export", "exit code 1", 2),
        (FakeTools(export=None), "export", "stopped at its deadline", 2),
        (FakeTools(writes_database=False), "export", "left no .*report.sqlite", 2),
        (FakeTools(counts={"forward": 3}), "invalid-report", "'forward': 4.*'forward': 3", 2),
        (FakeTools(summary="Range,Instances,Total Time (ns)\nforward,3,1\n"), "invalid-report", "must agree", 2),
        (FakeTools(kernels=[]), "invalid-report", "no kernel", 2),
    ],
)
def test_every_end_has_its_outcome(tmp_path: Path, tools: FakeTools, outcome: str, said: str, attempts: int) -> None:
    found = profile(tmp_path, tools)
    assert outcomes(found) == [outcome] * attempts
    assert re.search(said, found.attempts[0].reason) and found.report is None
    (status,) = found.tools
    assert status.status == found.status == "degraded" and status.reason.startswith(f"{outcome}: ")


def test_a_directory_that_cannot_be_written_is_a_failed_setup(tmp_path: Path) -> None:
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "nsys").write_text("a file where a directory must be")
    tools = FakeTools()
    found = profile(tmp_path, tools)
    assert outcomes(found) == ["setup"] and not tools.calls


def test_a_failure_that_may_pass_is_tried_once_more_and_both_are_recorded(tmp_path: Path) -> None:
    def first_fails(call: Call) -> int:
        return 1 if len(tools.calls) == 1 else tools.record(call)

    tools = FakeTools(nsys=first_fails)
    found = profile(tmp_path, tools)
    assert outcomes(found) == ["tool", "ok"] and [one.number for one in found.attempts] == [1, 2]
    assert found.status == "ok"


def test_what_cannot_be_had_is_skipped_with_what_mends_it(tmp_path: Path) -> None:
    absent = Need(Permission(name="nsys", status="skipped", reason="not found", remedy="install it"), ("nsys",))
    tools = FakeTools()
    found = profile(tmp_path, tools, (absent, NO_GPU), tools=("nsys", "ncu"))
    assert found.status == "skipped" and not tools.calls and not found.attempts
    assert [(one.name, one.reason, one.remedy) for one in found.tools] == [
        ("nsys", "not found", "install it"),
        ("ncu", "no GPU", "get one"),
    ]


def test_counters_that_the_driver_keeps_degrade_the_profile(tmp_path: Path) -> None:
    kept = Need(Permission(name="counters", status="degraded", reason="administrators only", remedy="do"), ("ncu",))
    found = profile(tmp_path, FakeTools(kernels=[("gemm", 9)]), (kept,), tools=("nsys", "ncu"))
    assert [one.status for one in found.tools] == ["ok", "degraded"] and found.status == "degraded"


def test_the_workload_is_timed_with_the_tool_and_without_in_turns(tmp_path: Path) -> None:
    tools = FakeTools()
    (observer,) = profile(tmp_path, tools, rounds=3).observers
    assert (observer.tool, observer.unprofiled_seconds, observer.profiled_seconds) == ("nsys", 0.75, 0.75)
    assert observer.slowdown.value == pytest.approx(1) and not observer.large
    started = ["nsys" if "profile" in one.argv else "plain" for one in tools.calls[3:]]
    assert started == ["plain", "nsys", "nsys", "plain", "plain", "nsys"]


def test_the_environment_is_allow_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    tools = FakeTools()
    found = profile(tmp_path, tools)
    environment = found.attempts[0].environment
    assert environment["CUDA_VISIBLE_DEVICES"] == "3" and environment["OMP_NUM_THREADS"] == "1"
    texts = [path.read_text() for path in (tmp_path / "profile").rglob("*.txt")] + [str(call) for call in tools.calls]
    assert not any("hunter2" in text for text in texts)
    assert "hunter2" not in (tmp_path / "profile" / "attempts.json").read_text()


def test_paths_that_are_not_the_defaults_reach_the_workload_absolute(tmp_path: Path) -> None:
    model = tmp_path / "my models" / "bert"
    rows = tmp_path / "elsewhere" / "rows.jsonl"
    rows.parent.mkdir()
    rows.write_text('"text"\n')
    spec = workload(tmp_path).model_copy(update={"kind": "classifier", "model": str(model), "rows": str(rows)})
    tools = FakeTools()
    config = ProfileConfig(tools=("nsys",), nsys=NSYS)
    deep_profile(spec, tmp_path / "profile", config, tools, (NO_GPU,), rounds=0)
    stored = json.loads((tmp_path / "profile" / "workload.json").read_text())
    assert (stored["model"], stored["rows"]) == (str(model), str(rows))
    command = (tmp_path / "profile" / "nsys" / "cmd.txt").read_text()
    assert str(tmp_path / "profile" / "workload.json") in command


def test_the_longest_kernels_are_measured_each_in_its_directory(tmp_path: Path) -> None:
    tools = FakeTools(kernels=[("gemm", 90), ("softmax", 40), ("copy", 5)])
    found = profile(tmp_path, tools, (), tools=("nsys", "ncu"), kernels=2)
    assert found.status == "ok" and [one.target for one in found.attempts] == ["", "gemm", "softmax"]
    assert [*found.counters] == ["gemm", "softmax"]
    assert found.counters["gemm"]["gpu__time_duration.sum"].value == 7
    folders = [Path(one.cwd) for one in found.attempts[1:]]
    assert [folder.name[:3] for folder in folders] == ["01-", "02-"]
    assert all((folder / "cmd.txt").is_file() for folder in folders)
    trace = option(list(found.attempts[0].argv), "--trace")
    assert "cuda" in trace.split(",")


def test_a_kernel_without_a_launch_in_the_range_is_measured_wherever_it_is(tmp_path: Path) -> None:
    tools = FakeTools(kernels=[("gemm", 90)], ncu_sees=lambda argv: not option(argv, "--nvtx-include"))
    found = profile(tmp_path, tools, (), tools=("nsys", "ncu"))
    assert [(one.tool, one.outcome) for one in found.attempts] == [("nsys", "ok"), ("ncu", "tool"), ("ncu", "ok")]
    assert [*found.counters] == ["gemm"] and found.status == "ok"


def test_ncu_needs_what_nsys_saw(tmp_path: Path) -> None:
    found = profile(tmp_path, FakeTools(export=1, kernels=[("gemm", 9)]), (), tools=("ncu",))
    assert found.status == "degraded" and "no valid report of nsys" in found.tools[0].reason

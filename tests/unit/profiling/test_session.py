"""A profile from its rows to its record, with models and tools that are no real ones."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from podium.config.profile import ProfileConfig
from podium.errors import ComputationFailed, InputError
from podium.inference.predictor import Row
from podium.profiling import in_process, session
from podium.profiling.capture import DeepProfile, bound_by, deep_commands, device_figures, fields_of, kernels_of
from podium.profiling.in_process import InProcess, InProcessSpec
from podium.profiling.ncu import Metric
from podium.profiling.nsys import Copies, DeviceTime, KernelTime, NsysReport
from podium.profiling.session import Subject, commands, profile, workload_of
from podium.profiling.workload import Timings, Workload
from podium.records import Attempt, Permission, ProfileRecord, Roofline

ROWS: list[Row] = ["a short row", "a row that is longer"]
SUBJECT = Subject("/models/not-the-default", "mine", "d" * 64, "text-classification", "onnx", ROWS)
CONFIG = ProfileConfig(tools=("operators", "nsys", "ncu"), device="cpu", threads=1, repetitions=2, batch_size=4)
PEAKS = Roofline(flops_per_second=1e11, bytes_per_second=1e10, source="test")


def test_paths_that_are_not_the_defaults_reach_every_command(tmp_path: Path) -> None:
    workload = workload_of(SUBJECT, CONFIG, tmp_path / "deep" / "profile")
    assert (workload.model, workload.variant, workload.batch_size) == ("/models/not-the-default", "onnx", 4)
    assert workload.rows == str(tmp_path / "deep" / "profile" / "rows.jsonl")
    found = commands(workload, CONFIG, tmp_path / "deep" / "profile")
    found |= deep_commands(workload, CONFIG, tmp_path / "deep" / "profile")
    assert list(found) == ["workload", "operators", "nsys", "ncu"]
    spec = str(tmp_path / "deep" / "profile" / "workload.json")
    for name in ("workload", "nsys", "ncu"):
        at = found[name].index("podium.profiling.workload")
        assert found[name][at + 1] == spec, f"{name} starts from the one spec"
        assert all(one.startswith("output=/") for one in found[name][at + 2 :]), "and nothing else is overridden"


@pytest.mark.parametrize(
    ("path", "task", "kind"), [("", "text-classification", "synthetic"), ("/m", "generation", "generation")]
)
def test_the_kind_of_a_workload_follows_from_the_model(path: str, task: str, kind: str, tmp_path: Path) -> None:
    assert workload_of(SUBJECT._replace(path=path, task=task), CONFIG, tmp_path).kind == kind


@pytest.mark.parametrize(
    ("about", "kind"), [('{"mode": "generate"}', "prompted"), ('{"mode": "decide"}', "classifier"), ("{", "classifier")]
)
def test_a_prompted_model_that_writes_is_a_kind_of_its_own(about: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "prompt.json").write_text(about)
    assert workload_of(SUBJECT._replace(path=str(tmp_path)), CONFIG, tmp_path / "profile").kind == kind


def test_a_workload_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mine cannot be profiled"):
        workload_of(SUBJECT._replace(path="relative/model"), CONFIG, tmp_path)


def timings(workload: Workload, config: ProfileConfig, directory: Path) -> list[Timings]:
    parts = {"load": [0.5], "tokenise": [0.001, 0.001], "forward": [0.01, 0.03], "postprocess": [0.0, 0.0]}
    return [Timings(seconds=parts), Timings(seconds=parts)]


def test_the_record_joins_what_each_tool_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = InProcess(tool="onnxruntime", operators=(), figures={"busy_cores": 1.0}, facts={"a": "b"}, notes=("one",))
    deep = DeepProfile(
        tools=(Permission(name="nsys", status="skipped", reason="no nsys", remedy="install it"),), notes=("two",)
    )
    monkeypatch.setattr(session, "_timed", timings)
    fine = Attempt(tool="onnxruntime", outcome="ok")
    monkeypatch.setattr(session, "_in_process", lambda *_: (inside, fine))
    asked: list[tuple[str, ...]] = []

    def second_stage(workload: Workload, directory: Path, config: ProfileConfig) -> DeepProfile:
        asked.append(config.tools)
        return deep

    monkeypatch.setattr("podium.profiling.capture.deep_profile", second_stage)
    record = profile(SUBJECT, CONFIG, {"cpu": "x"}, tmp_path / "p", {"key": "k"})
    assert (record.status, record.code, record.reason) == ("degraded", "NSYS-SKIPPED", "nsys: no nsys")
    assert record.samples == pytest.approx((0.021, 0.021))
    assert record.figures == {"iteration_seconds": pytest.approx(0.021), "busy_cores": 1.0}
    assert [one.share for one in record.phases] == [None, *(pytest.approx(one) for one in (1 / 21, 20 / 21, 0.0))]
    assert asked == [("nsys", "ncu")]
    assert record.attempts == (fine,) and record.notes == ("one", "two")
    assert ("model" in record.workload, record.workload["batch_size"], record.workload["rows"]) == (False, 4, 2)
    assert ProfileRecord.read(tmp_path / "p" / "record.json") == record
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o700
    assert [json.loads(line) for line in (tmp_path / "p" / "rows.jsonl").read_text().splitlines()] == ROWS


def test_a_first_stage_that_fails_is_recorded_and_degrades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ComputationFailed("the profile ended with exit code 1")

    monkeypatch.setattr(session, "_timed", timings)
    monkeypatch.setattr(session, "run_program", fails)
    config = CONFIG.model_copy(update={"tools": ("operators",)})
    record = profile(SUBJECT, config, {}, tmp_path / "p", {"key": "k"})
    (attempt,) = record.attempts
    assert (attempt.tool, attempt.outcome, record.status) == ("onnxruntime", "application", "degraded")
    assert attempt.remedy == f"sh {tmp_path / 'p' / 'operators' / 'cmd.txt'}" and record.phases


def test_a_trace_without_the_expected_ranges_is_no_success(tmp_path: Path) -> None:
    workload, config = workload_of(SUBJECT, CONFIG, tmp_path), CONFIG
    found = InProcess(tool="torch", operators=(), ranges={"forward": 3})
    assert session._checked(found, workload, config, tmp_path)[0] == "invalid-report"
    (tmp_path / "trace.json").write_text("{}")
    outcome, reason = session._checked(found, workload, config, tmp_path)
    assert outcome == "invalid-report" and "holds 3 of forward" in reason
    assert session._checked(found.model_copy(update={"ranges": {"forward": 5}}), workload, config, tmp_path)[0] == "ok"


@pytest.mark.slow
def test_the_first_stage_looks_into_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "measure_peaks", lambda *_: PEAKS)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    work = Workload(kind="synthetic", rows=str(tmp_path / "rows.jsonl"), iterations=2, warmup=1, batch_size=2)
    found = in_process.profile(InProcessSpec(workload=work, directory=tmp_path, traced=2, max_trace_mb=9))
    assert found.ranges == {"tokenise": 2, "forward": 2, "postprocess": 2}
    names = {one.name for one in found.operators}
    assert {"aten::addmm", "aten::native_layer_norm"} <= names
    assert found.roofline is not None and found.roofline.points
    assert found.modules[0].name == "(whole)" and found.modules[0].parameters > 80_000
    assert found.figures["flops"] > 5e5 and 0 < found.figures["mfu"] < 1
    assert found.observer is not None and found.memory and found.groups
    with pytest.raises(InputError, match="a trace must have at most"):
        in_process.profile(InProcessSpec(workload=work, directory=tmp_path, traced=10**6, max_trace_mb=1))


def test_what_nsys_and_ncu_saw_becomes_kernels_and_figures() -> None:
    def kernel(name: str, total: int) -> KernelTime:
        return KernelTime(name=name, count=40, total_ns=total)

    report = NsysReport(
        kernels=(kernel("sgemm", 6_000_000), kernel("softmax", 2_000_000)),
        copies=(Copies(direction="Host-to-Device", count=20, bytes=4000, total_ns=1_000_000),),
        device=DeviceTime(busy_ns=8_000_000, idle_ns=2_000_000, longest_gap_ns=900_000),
    )
    throughput = {
        "sm__throughput.avg.pct_of_peak_sustained_elapsed": Metric(value=80.0),
        "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed": Metric(value=30.0),
    }
    first, second = kernels_of(report, {"sgemm": throughput}, 20)
    assert (first.bound, first.calls, first.share, first.group) == ("compute", 2.0, 0.75, "matrix product")
    assert first.seconds == pytest.approx(3e-4) and (second.bound, second.metrics) == ("", {})
    found = device_figures(report, 20)
    assert found["kernel_gap_seconds"] == pytest.approx(1e-4) and found["host_device_copy_bytes"] == 200
    low = {name: Metric(value=10.0) for name in throughput}
    assert bound_by(low) == "latency"
    work = workload_of(SUBJECT, CONFIG, Path("/p"))
    fields = fields_of(DeepProfile(tools=(), report=report), work)
    assert [one.name for one in fields["kernels"]] == ["sgemm", "softmax"]


@pytest.mark.slow
def test_a_real_profile_leaves_commands_that_run_as_they_stand(tmp_path: Path) -> None:
    subject = Subject("", "synthetic", "", "text-classification", "eager", ROWS)
    config = ProfileConfig(tools=("operators",), device="cpu", threads=1, repetitions=2, iterations=4, traced=2)
    record = profile(subject, config, {"cpu": "x"}, tmp_path / "p", {"key": "k"})
    assert (record.status, record.attempts[0].outcome) == ("ok", "ok")
    assert record.operators and record.findings and len(record.samples) == 2
    for folder, left in (("workload", "timings.json"), ("operators", "trace.json")):
        again = tmp_path / "p" / folder / "cmd-rerun.txt"
        subprocess.run(["sh", str(again)], check=True, cwd="/", env={"PATH": "/usr/bin:/bin"}, capture_output=True)
        assert (tmp_path / "p" / folder / "rerun" / left).is_file()
        assert stat.S_IMODE((tmp_path / "p" / folder).stat().st_mode) == 0o700

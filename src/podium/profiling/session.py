"""A profile from its rows to its record: the workload timed in fresh processes, then every tool, then findings.

The directory of a profile holds `rows.jsonl` and `workload.json`, which every tool starts from, a folder per tool with
`cmd.txt` and `cmd-rerun.txt`, which run as they stand, and `record.json`. Only its owner can look into it.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from podium.config.profile import ProfileConfig
from podium.devices.hardware import resolve_device, resolve_threads
from podium.errors import ComputationFailed, InputError, TimeLimitExceeded
from podium.events import emit
from podium.execution.environment import inference_environment
from podium.execution.failures import Purpose
from podium.execution.launch import Process, command, run_program
from podium.execution.slots import core_slots
from podium.inference.predictor import PROMPT_PACKAGE, Row
from podium.jsonfile import write_text
from podium.keys import digest_file, manifest_of
from podium.profiling import workload as work
from podium.profiling.commands import private_directory, write_command
from podium.profiling.findings import findings_of
from podium.profiling.in_process import InProcess, InProcessSpec, phase_of
from podium.profiling.versions import packages
from podium.profiling.workload import SPEC, TIMINGS, Timings, Workload
from podium.records import Attempt, Outcome, Permission, ProfileRecord

if TYPE_CHECKING:
    from podium.profiling.capture import SecondStage

ROWS, RECORD = "rows.jsonl", "record.json"
OPERATORS = "operators"
_PATHS = {"model", "rows", "output", "digest", "name"}
_PURPOSE = Purpose("the profile", "lower profile.batch_size", "raise profile.timeout_seconds")


class Subject(NamedTuple):
    """What is profiled: a model on this machine and the rows that it is given."""

    path: str
    name: str
    digest: str
    task: str
    variant: Any
    rows: Sequence[Row]
    trust_remote_code: bool = False


def workload_of(subject: Subject, config: ProfileConfig, directory: Path) -> Workload:
    """The workload of a profile in a directory, which is made absolute.

    Raises InputError for a device that is not there, and for a language model with batches.
    """
    try:
        return Workload(
            model=subject.path,
            name=subject.name,
            digest=subject.digest,
            kind=_kind(subject),
            variant=subject.variant,
            task=subject.task,
            rows=str(directory.absolute() / ROWS),
            batch_size=config.batch_size,
            iterations=config.iterations,
            warmup=config.warmup,
            device=resolve_device(config.device),
            threads=resolve_threads(config.threads),
            trust_remote_code=subject.trust_remote_code,
            prompt_tokens=config.prompt_tokens,
            output_tokens=config.output_tokens,
            output=str(directory.absolute()),
        )
    except ValidationError as error:
        raise InputError(f"{subject.name} cannot be profiled: {error}") from error


def _kind(subject: Subject) -> Any:
    """The kind of the workload; a damaged package is left to whoever loads it."""
    if not subject.path:
        return work.SYNTHETIC
    if subject.task == "generation":
        return "generation"
    about: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        about = json.loads((Path(subject.path) / PROMPT_PACKAGE).read_text(encoding="utf-8"))
    return "prompted" if about.get("mode") == "generate" else "classifier"


def commands(workload: Workload, config: ProfileConfig, directory: Path) -> dict[str, list[str]]:
    """The command of each part of a profile, by its folder: the timed workload, and the first stage."""
    spec, folder = directory.absolute() / SPEC, directory.absolute() / OPERATORS
    found = {"workload": work.argv(spec, {"output": f"{directory.absolute()}/workload"})}
    if OPERATORS in config.tools:
        found[OPERATORS] = command("podium.profiling.in_process", folder / "spec.json", folder / "result.json")
    return found


def profile(
    subject: Subject,
    config: ProfileConfig,
    hardware: Mapping[str, str],
    directory: Path,
    stamp: Mapping[str, Any],
    stage: SecondStage | None = None,
) -> ProfileRecord:
    """Profile a model; what it found and all files are in `directory`, which is made.

    Args:
        stamp: the fields of `Record` that the result carries.

    Raises:
        InputError: the trace would be too large, or the model cannot be loaded.
        ComputationFailed: the workload does not run, also without any profiler.
    """
    directory = private_directory(directory.absolute())
    workload = workload_of(subject, config, directory)
    write_text(Path(workload.rows), "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in subject.rows))
    write_text(directory / SPEC, workload.model_dump_json(indent=1))
    with core_slots(sys.maxsize):
        timings = _timed(workload, config, directory)
        fields = _phases(timings)
        attempts: list[Attempt] = []
        if OPERATORS in config.tools:
            found, attempt = _in_process(workload, config, directory)
            attempts.append(attempt)
            fields = _with_inside(fields, found, attempt)
        if others := tuple(one for one in config.tools if one != OPERATORS):
            from podium.profiling.capture import deep_profile, fields_of

            seen = (stage or deep_profile)(workload, directory, config.model_copy(update={"tools": others}))
            attempts += seen.attempts
            fields = _with_deep(fields, fields_of(seen, workload))
    problem = next((one for one in fields.get("tools", ()) if one.status != "ok"), None)
    settings = {name: value for name, value in workload.model_dump().items() if name not in _PATHS}
    record = ProfileRecord(
        **stamp,
        status="degraded" if problem else "ok",
        code=f"{problem.name}-{problem.status}".upper() if problem else "",
        reason=f"{problem.name}: {problem.reason}" if problem else "",
        model=f"{workload.name} ({workload.variant})",
        model_digest=workload.digest,
        variant=workload.variant,
        workload={**settings, "rows": len(subject.rows)},
        hardware=dict(hardware),
        attempts=tuple(attempts),
        files=manifest_of(directory),
        **fields,
    )
    record = record.model_copy(update={"findings": findings_of(record)})
    record.save(directory / RECORD)
    return record


def _timed(workload: Workload, config: ProfileConfig, directory: Path) -> list[Timings]:
    """The times of the workload without any profiler, in fresh processes."""
    spec, folder = directory / SPEC, directory / "workload"
    private_directory(folder)
    again = work.argv(spec, {"output": str(folder / "rerun")})
    argv = commands(workload, config, directory)["workload"]
    write_command(folder, argv, again, directory, workload.variables(), packages())
    found = []
    for number in range(1, config.repetitions + 1):
        output = folder / str(number)
        run, environment = work.argv(spec, {"output": output}), inference_environment(workload.threads)
        with Process(run, folder / "log.txt", environment=environment) as process:
            if process.wait(config.timeout_seconds) is None:
                raise TimeLimitExceeded(
                    f"the workload must end within profile.timeout_seconds={config.timeout_seconds} s, but did not; "
                    "raise it, or lower profile.iterations"
                )
            if not (output / TIMINGS).is_file():
                raise process.failure()
        found.append(Timings.model_validate_json((output / TIMINGS).read_text()))
        emit("note", text=f"timed in process {number} of {config.repetitions}")
    return found


def _phases(timings: Sequence[Timings]) -> dict[str, Any]:
    """Phases and samples of the record; the sample of a process is the median of its iterations."""
    samples = tuple(statistics.median(one.iterations) for one in timings)
    whole = statistics.median(samples)
    phases = []
    for name in timings[0].seconds:
        own = [one.seconds[name] for one in timings]
        found = phase_of(name, [second for one in own for second in one])
        share = None if name == "load" else found.median / whole
        phases.append(
            found.model_copy(update={"share": share, "samples": tuple(statistics.median(one) for one in own)})
        )
    return {"phases": tuple(phases), "samples": samples, "figures": {"iteration_seconds": whole}}


def _with_inside(fields: dict[str, Any], found: InProcess | None, attempt: Attempt) -> dict[str, Any]:
    """The fields of the record with what the first stage found, and what came of it."""
    fine = attempt.outcome == "ok"
    came = Permission(name=OPERATORS, status="ok" if fine else "degraded", reason=attempt.reason, remedy=attempt.remedy)
    if found is None:
        return {**fields, "tools": (came,)}
    names = ("operators", "groups", "kernels", "modules", "roofline", "memory", "facts", "notes")
    own = {name: getattr(found, name) for name in names}
    observers = (found.observer,) if found.observer else ()
    figures = {**fields["figures"], **found.figures}
    return {**fields, **own, "figures": figures, "observers": observers, "tools": (came,)}


def _with_deep(fields: dict[str, Any], deep: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the record with those of the second stage; what both have is joined, except its kernels."""
    found = {**fields, "figures": {**fields["figures"], **deep.get("figures", {})}}
    for name in ("observers", "notes", "tools", "permissions"):
        found[name] = (*fields.get(name, ()), *deep.get(name, ()))
    return found | ({"kernels": deep["kernels"]} if "kernels" in deep else {})


def _in_process(workload: Workload, config: ProfileConfig, directory: Path) -> tuple[InProcess | None, Attempt]:
    """What the first stage found, and how it went."""
    folder = private_directory(directory / OPERATORS)
    spec = InProcessSpec(workload=workload, directory=folder, traced=config.traced, max_trace_mb=config.max_trace_mb)
    argv = commands(workload, config, directory)[OPERATORS]
    again = [*argv[:-1], str(folder / "rerun" / "result.json"), "--directory", str(folder / "rerun")]
    write_command(folder, argv, again, directory, workload.variables(), packages())
    started, found, outcome, reason = time.monotonic(), None, "ok", ""
    try:
        answer = run_program(
            "podium.profiling.in_process",
            spec,
            folder,
            folder / "log.txt",
            purpose=_PURPOSE,
            environment=inference_environment(workload.threads),
            cores=workload.threads,
            limit=config.timeout_seconds,
        )
        found = InProcess.model_validate(answer)
        outcome, reason = _checked(found, workload, config, folder)
    except TimeLimitExceeded as error:
        outcome, reason = "timeout", str(error)
    except ComputationFailed as error:
        outcome, reason = "application", str(error)
    tool = found.tool if found else "onnxruntime" if workload.variant.startswith("onnx") else "torch"
    return found, Attempt(
        tool=tool,
        outcome=outcome,
        reason=reason,
        remedy="" if outcome == "ok" else f"sh {folder / 'cmd.txt'}",
        argv=tuple(argv),
        cwd=str(directory),
        environment=workload.variables(),
        versions=packages(),
        exit_code=0 if found else None,
        seconds=time.monotonic() - started,
        files={f"{OPERATORS}/{file.name}": digest_file(file) for file in folder.glob("trace.json")},
    )


def _checked(found: InProcess, workload: Workload, config: ProfileConfig, folder: Path) -> tuple[Outcome, str]:
    """Whether the trace is there and holds as many ranges as were traced."""
    if found.tool == "cProfile":
        return "ok", ""
    if not (folder / "trace.json").is_file():
        return "invalid-report", "the profiler left no trace"
    wrong = {name: count for name, count in found.ranges.items() if count != config.traced}
    if wrong:
        listed = ", ".join(f"{count} of {name}" for name, count in wrong.items())
        return "invalid-report", f"the trace must hold {config.traced} of each range, but holds {listed}"
    return "ok", ""

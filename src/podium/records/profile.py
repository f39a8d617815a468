"""Where the time of a model goes: its phases, operators and kernels, and what every profiler came to."""

from __future__ import annotations

from typing import ClassVar, Literal

from podium.records.base import Frozen, Interval, Record

Outcome = Literal["ok", "setup", "launch", "timeout", "tool", "application", "export", "invalid-report"]
"""How an attempt ended: `ok` only where the report is there and holds what the workload did."""

Status = Literal["ok", "degraded", "skipped"]


class Attempt(Frozen):
    """One run of a profiling tool, or why it could not be run.

    Attributes:
        tool: `torch`, `onnxruntime`, `nsys` or `ncu`.
        target: what of the workload it looked at, as a kernel; empty for all of it.
        number: 2 for the one repetition of an attempt that failed.
        reason: why the outcome is not `ok`, and `remedy`, the command that mends it.
        argv: as it ran, from the directory `cwd`, with the variables `environment` beside those of the caller.
        files: digests of what it wrote, by path in the profile.
    """

    tool: str
    target: str = ""
    outcome: Outcome
    number: int = 1
    reason: str = ""
    remedy: str = ""
    argv: tuple[str, ...] = ()
    cwd: str = ""
    environment: dict[str, str] = {}
    versions: dict[str, str] = {}
    exit_code: int | None = None
    seconds: float = 0.0
    files: dict[str, str] = {}


class Observer(Frozen):
    """What a tool costs: iterations profiled by it and unprofiled ones, in turns.

    Attributes:
        slowdown: profiled over unprofiled seconds of an iteration; more than 1.1 is `large`.
    """

    tool: str
    unprofiled_seconds: float
    profiled_seconds: float
    slowdown: Interval

    @property
    def large(self) -> bool:
        return self.slowdown.value > 1.1


class Phase(Frozen):
    """A named part of an iteration: a range of the workload, or a group of operators; in seconds.

    Attributes:
        count: how often it was timed; `low` and `high` hold nine tenths of the times.
        share: of an iteration; None for what happens once.
        samples: of a range, the median of each process; of a group, each iteration of the trace.
    """

    name: str
    count: int
    median: float
    low: float
    high: float
    share: float | None = None
    samples: tuple[float, ...] = ()


class Operator(Frozen):
    """An operator of torch, or of a graph of ONNX Runtime; seconds, calls and operations are of one iteration.

    Attributes:
        group: `matrix product`, `attention`, `normalisation`, `activation`, `copy`, ...; see `podium.profiling.groups`.
        shapes: of its inputs, where they cost most.
        flops: floating-point operations, where they are counted.
        bytes: of inputs and outputs, where they are known.
    """

    name: str
    group: str
    calls: float
    self_seconds: float
    total_seconds: float
    share: float
    shapes: str = ""
    flops: float | None = None
    bytes: float | None = None


class Kernel(Frozen):
    """A kernel of a GPU; seconds and calls are of one iteration.

    Attributes:
        metrics: measured by Nsight Compute, by its own names, in base units.
        bound: what its counters say that it waits for: `compute`, `memory`, `latency`; empty where not measured.
    """

    name: str
    group: str
    calls: float
    seconds: float
    share: float
    metrics: dict[str, float] = {}
    bound: str = ""


class Module(Frozen):
    """A part of the model, read without running it; `flops` and `bytes` are of one iteration, where counted."""

    name: str
    kind: str
    parameters: int
    parameter_bytes: int
    flops: float | None = None


class RooflinePoint(Frozen):
    """An operator or kernel beside what the machine can do: operations per byte and per second."""

    name: str
    intensity: float
    flops_per_second: float
    bound: str


class Roofline(Frozen):
    """The peaks of the machine, measured now or from a data sheet, and where the operators stand.

    Attributes:
        source: where the peaks come from.
    """

    flops_per_second: float
    bytes_per_second: float
    source: str
    points: tuple[RooflinePoint, ...] = ()


class Finding(Frozen):
    """Something to look at, the most time first.

    Attributes:
        code: a stable word for machines; `text` says it to people, with its numbers.
        seconds: of an iteration that it is about.
        query: the command that gives its figures again.
    """

    code: str
    text: str
    seconds: float
    share: float
    query: str


class Permission(Frozen):
    """Whether something that a profiler needs is there; `remedy` is the command that mends it."""

    name: str
    status: Status
    reason: str = ""
    remedy: str = ""


class ProfileRecord(Record):
    """What a profile of one workload found.

    Attributes:
        status: `ok`; `degraded` where a tool that was asked for gave nothing; `skipped` where nothing was profiled.
        code: why not `ok`: a stable word for machines, empty when `ok`; `reason`, the same for people.
        model: name and variant, for people; `model_digest` and `variant` name it for machines.
        workload: as `podium.profiling.workload.Workload` has it, without paths.
        hardware: fingerprint of the machine.
        figures: single numbers by name, with their unit in it.
        samples: unprofiled seconds of an iteration, the median of each process: the evidence of a comparison.
        groups: of operators, in the time of the trace.
        memory: seconds from the start of the trace with the bytes allocated then.
        attempts: every run of a tool, in order.
        tools: what came of each tool that was asked for; `permissions`, what they need of the machine.
        files: digests of all files of the profile, by path.
    """

    kind: ClassVar[str] = "profile"
    status: Status = "ok"
    code: str = ""
    reason: str = ""
    model: str = ""
    model_digest: str = ""
    variant: str = ""
    workload: dict[str, str | int | bool] = {}
    hardware: dict[str, str] = {}
    figures: dict[str, float] = {}
    facts: dict[str, str] = {}
    samples: tuple[float, ...] = ()
    phases: tuple[Phase, ...] = ()
    operators: tuple[Operator, ...] = ()
    groups: tuple[Phase, ...] = ()
    memory: tuple[tuple[float, float], ...] = ()
    kernels: tuple[Kernel, ...] = ()
    modules: tuple[Module, ...] = ()
    roofline: Roofline | None = None
    observers: tuple[Observer, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    tools: tuple[Permission, ...] = ()
    permissions: tuple[Permission, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    files: dict[str, str] = {}

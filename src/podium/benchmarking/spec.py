"""What a repetition is told and what it answers: the files between `run` and `worker`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from podium.benchmarking.sampling import Row
from podium.config.schema import Task


class Message(BaseModel):
    """Base of what passes between the two processes as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class RepetitionSpec(Message):
    """One repetition of a measurement.

    Attributes:
        model_dir: directory of the model and its tokenizer.
        labels: the label names the model must have, in order; None to take the model's own.
        device: `cpu` or `cuda`, resolved.
        rows: what is predicted: each row once for latency, then again in batches for throughput.
        max_seconds: bound on the time spent measuring, without start and load.
        least_rows: how many rows are timed for latency even where that takes longer.
        output: where the worker writes its `RepetitionResult` or `RepetitionFailure`.
    """

    model_dir: Path
    variant: str
    task: Task
    labels: tuple[str, ...] | None
    trust_remote_code: bool
    device: str
    threads: int
    rows: list[Row]
    batch_size: int
    max_seconds: float
    least_rows: int = 1
    output: Path


class RepetitionResult(Message):
    """What one process measured; times in nanoseconds of wall time.

    Attributes:
        pid: the process, to show that repetitions did not share one.
        load_seconds: reading model and tokenizer from the directory onto the device, libraries already imported.
        warm_up_ns: the calls before measuring; `settled` tells whether they reached a steady state.
        latency_ns: end-to-end latency of each row, batch size 1.
        tokens: number of model input tokens of each of those rows, after truncation.
        batch_ns: time of each full batch.
        peak_rss_mb: largest resident memory of the process in MB (10^6 bytes), libraries included.
        peak_device_mb: largest memory allocated on the GPU in MB; None on a CPU.
    """

    pid: int
    load_seconds: float
    warm_up_ns: list[int]
    settled: bool
    latency_ns: list[int]
    tokens: list[int]
    batch_ns: list[int]
    peak_rss_mb: float
    peak_device_mb: float | None


class RepetitionFailure(Message):
    """Why a repetition has no result."""

    error: str

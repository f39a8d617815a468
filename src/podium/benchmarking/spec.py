"""What a repetition is told and what it answers: the files between `run` and `worker`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from podium.benchmarking.sampling import Row
from podium.config.benchmark import VariantName
from podium.config.schema import Task
from podium.errors import ModelError


class Message(BaseModel):
    """Base of what passes between the two processes as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class PredictorSpec(Message):
    """A variant of a model, and how it is run.

    Attributes:
        model_dir: directory of the variant: a model and its tokenizer, or an exported package.
        labels: the label names the model must have, in order; None to take the model's own.
        device: `cpu` or `cuda`, resolved.
        threads: compute threads.
    """

    model_dir: Path
    variant: VariantName
    task: Task
    labels: tuple[str, ...] | None
    trust_remote_code: bool
    device: str
    threads: int

    def check_labels(self, names: Sequence[str]) -> None:
        """Check that a model with these labels is one for this data.

        Raises:
            ModelError: it is not.
        """
        if self.labels is not None and tuple(names) != self.labels:
            raise ModelError(
                f"the model's labels must be those of the data, but {self.model_dir} has {shown(names)} and the data "
                f"has {shown(self.labels)}; benchmark a model that was trained on this data"
            )


class RepetitionSpec(PredictorSpec):
    """One repetition of a measurement.

    Attributes:
        rows: what is predicted: each row once for latency, then again in batches for throughput.
        max_seconds: bound on the time spent measuring, without start and load.
        least_rows: how many rows are timed for latency even where that takes longer.
        output: where the worker writes its `RepetitionResult` or `RepetitionFailure`.
    """

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


def shown(names: Sequence[str]) -> str:
    """The first few of `names`, for a message."""
    rest = f", … ({len(names)} in all)" if len(names) > 5 else ""
    return ", ".join(names[:5]) + rest

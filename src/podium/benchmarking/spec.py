"""What a repetition is told and what it answers: the files between `run` and `worker`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from podium.inference.predictor import PredictorSpec
from podium.inference.rows import Row
from podium.records.base import Frozen

Phase = Literal["load", "latency", "offline"]
"""What a worker does in a turn."""

PHASES: tuple[Phase, ...] = ("load", "latency", "offline")
"""In their order; workers that take turns all end one before any begins the next."""

NextTurn = Callable[[Phase], None]
"""Gives up the turn, if there was one, and returns once the process may go on with what it names."""


class WorkerSpec(Frozen):
    """What every worker process is told.

    Attributes:
        output: file for the result or the error of the worker.
        cores: CPUs the process is bound to once its libraries are imported; empty: any.
    """

    output: Path
    cores: tuple[int, ...] = ()


class RepetitionSpec(PredictorSpec, WorkerSpec):
    """One repetition of a measurement.

    Attributes:
        rows: what is predicted: each row once for latency, then again in batches for throughput.
        max_seconds: bound on the time spent measuring, without start and load.
        least_rows: how many rows are timed for latency even where that takes longer.
        alternates: whether other processes measure in between, so that a turn is a few rows or batches.
    """

    kind: Literal["repetition"] = "repetition"
    rows: list[Row]
    batch_size: int
    max_seconds: float
    least_rows: int = 1
    alternates: bool = False


class GridSpec(PredictorSpec, WorkerSpec):
    """One repetition of throughput over batch sizes and lengths.

    Attributes:
        rows: what is predicted at the data's own lengths, and what rows of given lengths are made of.
        lengths: model input tokens per row; the data's own lengths come on top.
        max_seconds: bound on the time of all cells together.
    """

    kind: Literal["grid"] = "grid"
    rows: list[Row]
    batch_sizes: tuple[int, ...]
    lengths: tuple[int, ...]
    max_seconds: float


class ServerSpec(PredictorSpec, WorkerSpec):
    """One repetition of the search for the highest rate that holds a latency bound; see `server.search`."""

    kind: Literal["server"] = "server"
    rows: list[Row]
    capacity: float
    arrivals: int
    q: float
    bound_ms: float
    seed: int


class ColdStartSpec(PredictorSpec, WorkerSpec):
    """One start to the first answer.

    Attributes:
        rows: the row that is answered.
    """

    kind: Literal["cold-start"] = "cold-start"
    rows: list[Row]


class GenerationSpec(WorkerSpec):
    """One repetition of generating with a causal language model.

    Attributes:
        prompts: texts, each cut to `prompt_tokens`.
        least_requests: how many are answered even where that takes longer than `max_seconds`.
    """

    kind: Literal["generation"] = "generation"
    model_dir: Path
    trust_remote_code: bool
    device: str
    threads: int
    prompts: list[str]
    prompt_tokens: int
    output_tokens: int
    least_requests: int
    max_seconds: float


AnySpec = Annotated[
    RepetitionSpec | GridSpec | ServerSpec | ColdStartSpec | GenerationSpec, Field(discriminator="kind")
]
SPEC: TypeAdapter[AnySpec] = TypeAdapter(AnySpec)
"""Reads the spec of any job from JSON."""


class RepetitionResult(Frozen):
    """What one process measured; times in nanoseconds of wall time.

    Attributes:
        session: names what was measured in turns with this repetition: those of other models with the same session
            and number, on the same rows in the same order; empty where it is not known.
        number: within the session.
        pid: the process, to show that repetitions did not share one.
        load_seconds: reading model and tokenizer from the directory onto the device, libraries already imported.
        warm_up_ns: the calls before measuring; `settled` tells whether they reached a steady state.
        latency_ns: end-to-end latency of each row, batch size 1.
        tokens: number of model input tokens of each of those rows, after truncation.
        batch_ns: time of each full batch.
        peak_rss_mb: largest resident memory of the process in MB (10^6 bytes), libraries included.
        peak_device_mb: largest memory allocated on the GPU in MB; None on a CPU.
        energy_j: energy of the device over the timed batches; None where it cannot be read, for `energy_note`.
        batch_tokens: model input tokens of the timed batches.
        weights: weights that every input token is multiplied with; None where they cannot be counted.
        environment: what this process ran in, as text by name.
    """

    session: str = ""
    number: int = 0
    pid: int
    load_seconds: float
    warm_up_ns: list[int]
    settled: bool
    latency_ns: list[int]
    tokens: list[int]
    batch_ns: list[int]
    peak_rss_mb: float
    peak_device_mb: float | None
    energy_j: float | None = None
    energy_note: str = ""
    batch_tokens: int = 0
    weights: int | None = None
    environment: dict[str, str] = {}


class Cell(Frozen):
    """Times of full batches at one batch size and length; `tokens` is the mean of a row's model input tokens."""

    batch_size: int
    length: int | None
    tokens: float
    batch_ns: list[int]


class GridResult(Frozen):
    """Throughput over batch sizes and lengths in one process."""

    pid: int
    cells: list[Cell]


class Probe(Frozen):
    """One stream of arrivals.

    Attributes:
        rate: arrivals per second.
        held: whether the quantile was within the bound.
        latency_ns: from arrival to completion, in order of arrival; cut off once the bound was sure to be missed.
    """

    rate: float
    held: bool
    latency_ns: list[int]


class ServerResult(Frozen):
    """The probes of one process.

    Attributes:
        rate: the highest rate per second that held the bound; None where none did.
    """

    pid: int
    rate: float | None
    probes: list[Probe]


class ColdStartResult(Frozen):
    """One start; times in nanoseconds, from the moment the launcher started the process."""

    pid: int
    imports_ns: int
    load_ns: int
    first_answer_ns: int


class GenerationResult(Frozen):
    """One process that generated.

    Attributes:
        first_token_ns: of each request.
        inter_token_ns: of each request, between its tokens.
        prompt_tokens: of each request.
    """

    pid: int
    load_seconds: float
    settled: bool
    first_token_ns: list[int]
    inter_token_ns: list[list[int]]
    prompt_tokens: list[int]
    peak_rss_mb: float
    peak_device_mb: float | None
    environment: dict[str, str] = {}

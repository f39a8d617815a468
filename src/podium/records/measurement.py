"""What was measured of a model on one piece of hardware."""

from __future__ import annotations

from typing import ClassVar

from podium.records.base import Frozen, Interval, Record


class Quantile(Frozen):
    """A latency quantile in milliseconds with the bounds of its confidence interval."""

    q: float
    value_ms: float
    low_ms: float
    high_ms: float


class BatchRate(Frozen):
    """Throughput at one batch size and sequence length.

    Attributes:
        length: requested number of model input tokens; null for the data's own lengths.
        tokens: mean number of model input tokens per measured row.
        rows_per_second: with its interval over repetitions.
    """

    batch_size: int
    length: int | None
    tokens: float
    rows_per_second: Interval


class ServerRate(Frozen):
    """The highest rate of Poisson arrivals at which one worker holds a latency bound.

    Attributes:
        bound_ms: bound on the latency from arrival to completion, including time in the queue.
        q: the latency quantile that must meet the bound; the highest that the samples of a probe support, up to p99.
        arrivals: number of arrivals per probe.
        per_second: the rate, with its interval over repetitions; null where even a nearly idle server misses the bound.
        utilisation: the rate as a share of what the worker can process without waiting, mean over repetitions.
        note: why there is no rate, or why the quantile is a lower one than p99; empty otherwise.
    """

    bound_ms: float
    q: float
    arrivals: int
    per_second: Interval | None
    utilisation: float | None
    note: str = ""


class ColdStart(Frozen):
    """From the start of a process to its first answer, in seconds, over processes that ran alone.

    The files of model and libraries lie in the page cache.

    Attributes:
        imports: start of the interpreter and import of the libraries.
        load: model and tokenizer from the directory onto the device.
        first_answer: the first row, from text to label.
        total: their sum.
    """

    imports: Interval
    load: Interval
    first_answer: Interval
    total: Interval


class Measurement(Frozen):
    """What was measured of one deployable variant of one champion.

    Latency is for batch size 1, throughput for `batch_size` rows at a time; both on rows drawn from the
    data set's own length distribution.

    Attributes:
        energy_j: joules per row at that throughput; null where it cannot be read.
        energy_note: what the energy includes, or why it is null.
        mfu: share of the device's dense peak performance that the throughput uses; null where the peak is unknown.
        mfu_note: how the share is computed, or why it is null.
        grid, server, cold_start: results of the scenarios that the config names.
        environment: facts that may explain a difference and are not part of the key.
    """

    backbone: str
    variant: str
    model_digest: str
    latency: tuple[Quantile, ...]
    latency_samples: int
    latency_cv: float
    throughput_per_second: Interval
    batch_size: int
    peak_rss_mb: float
    peak_device_mb: float | None = None
    size_mb: float
    load_seconds: float
    energy_j: float | None = None
    energy_note: str = ""
    mfu: float | None = None
    mfu_note: str = ""
    grid: tuple[BatchRate, ...] = ()
    server: ServerRate | None = None
    cold_start: ColdStart | None = None
    environment: dict[str, str] = {}
    unstable: bool
    notes: tuple[str, ...] = ()

    def quantile_ms(self, q: float) -> float | None:
        """The latency quantile `q` in milliseconds, or None where the sample did not support it."""
        return next((item.value_ms for item in self.latency if item.q == q), None)


class MeasurementRecord(Record):
    """One measured variant of one model. Artifact `samples`: the raw samples."""

    kind: ClassVar[str] = "measurement"
    hardware: dict[str, str] = {}
    measurement: Measurement


class Generation(Frozen):
    """How fast a causal language model generates, one request at a time.

    Attributes:
        first_token: quantiles of the time from prompt text to the first token on the host.
        inter_token: quantiles of the time between tokens.
        per_output_token_ms: mean of (last token - first token) / (tokens - 1) over requests, over repetitions.
        tokens_per_second: generated tokens by the time of their whole requests, over repetitions.
        prompt_tokens: mean per request.
        requests: of all repetitions; each generates `output_tokens` tokens, whether or not the model would end sooner.
    """

    name: str
    model_digest: str
    first_token: tuple[Quantile, ...]
    inter_token: tuple[Quantile, ...]
    per_output_token_ms: Interval
    tokens_per_second: Interval
    prompt_tokens: float
    output_tokens: int
    requests: int
    peak_rss_mb: float
    peak_device_mb: float | None
    size_mb: float
    load_seconds: float
    environment: dict[str, str] = {}
    unstable: bool
    notes: tuple[str, ...] = ()


class GenerationRecord(Record):
    """One measured causal language model. Artifact `samples`: the raw samples."""

    kind: ClassVar[str] = "generation"
    hardware: dict[str, str]
    generation: Generation

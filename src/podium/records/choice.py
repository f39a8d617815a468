"""What is chosen, and the evidence for it: selection, measurements, decision, report."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from podium.records.base import Frozen, Interval, Record
from podium.records.inputs import Incumbent

Verdict = Literal["PROMOTE", "HOLD", "REJECT"]


class LeaderboardEntry(Frozen):
    """One candidate on held-out data."""

    backbone: str
    model_key: str
    model_digest: str
    trial: int
    cv_score: float
    cv_std: float
    trials: int
    test: Interval
    size_mb: float
    parameters: int


class Comparison(Frozen):
    """Paired bootstrap of `challenger` minus `reference` on the same held-out rows."""

    reference: str
    challenger: str
    metric: str
    difference: Interval
    p_value: float
    measurably_worse: bool


class SelectionRecord(Record):
    """Champions per backbone, ranked, with the comparisons behind the ranking."""

    kind: ClassVar[str] = "selection"
    metric: str
    leaderboard: tuple[LeaderboardEntry, ...]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...] = ()


class Quantile(Frozen):
    """A latency quantile in milliseconds; null bounds where the sample cannot support an interval."""

    q: float
    value_ms: float
    low_ms: float
    high_ms: float


class Measurement(Frozen):
    """What was measured of one deployable variant of one champion.

    Latency is for batch size 1, throughput for `batch_size` rows at a time; both on rows drawn from the
    data set's own length distribution.
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
    size_mb: float
    load_seconds: float
    unstable: bool
    notes: tuple[str, ...] = ()

    def quantile_ms(self, q: float) -> float | None:
        """The latency quantile `q` in milliseconds, or None where the sample did not support it."""
        return next((item.value_ms for item in self.latency if item.q == q), None)


class MeasurementRecord(Record):
    """One measured variant of one champion. Artifact `samples`: the raw latencies."""

    kind: ClassVar[str] = "measurement"
    measurement: Measurement


class BenchmarkRecord(Record):
    """Measurements of the champions on one piece of hardware; parents are the single measurements."""

    kind: ClassVar[str] = "benchmark"
    hardware: dict[str, str]
    measurements: tuple[Measurement, ...]


class Reason(Frozen):
    """Why a verdict is what it is: a stable code for machines and a sentence for people."""

    code: str
    text: str


class DecisionRecord(Record):
    """Whether the winner replaces the incumbent, and why."""

    kind: ClassVar[str] = "decision"
    verdict: Verdict
    winner: str | None
    winner_variant: str | None = None
    winner_model_key: str | None = None
    reasons: tuple[Reason, ...]
    incumbent: Incumbent | None
    registered: dict[str, str] = {}


class ReportRecord(Record):
    """The rendered report. Artifact `report`: `report.html`, `report.md`, `metrics.json`."""

    kind: ClassVar[str] = "report"
    summary: dict[str, Any]

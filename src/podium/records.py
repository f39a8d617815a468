"""What one step hands to the next: frozen, typed, JSON both ways, schema-versioned.

A record is small and names its large payloads (data, weights, predictions, raw samples) by the digest
under which the store keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from podium.config.schema import PodiumConfig, Task
from podium.errors import InputError

Scalar = bool | int | float | str
TrialStatus = Literal["running", "succeeded", "failed", "pruned"]
Verdict = Literal["PROMOTE", "HOLD", "REJECT"]


class Frozen(BaseModel):
    """Base of every value in a record."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ArtifactRef(Frozen):
    """A tree of files in the store, named by the digest of its manifest."""

    name: str
    digest: str
    files: int
    size_bytes: int


class Interval(Frozen):
    """A figure with the bounds of its confidence interval; `method` names how they were found."""

    value: float
    low: float
    high: float
    confidence: float
    method: str


class Record(Frozen):
    """Base of every step's result.

    Attributes:
        key: digest of the result's key; empty for a record that is never stored (a run).
        parents: keys of the results this one was made from, by name: the lineage.
        artifacts: payloads in the store, by role.
        mlflow_run_id: the MLflow run that computed this result; null when tracking is off.
        seconds: wall time the computation took.
    """

    kind: ClassVar[str]

    schema_version: Literal[1] = 1
    key: str
    parents: dict[str, str] = {}
    artifacts: dict[str, ArtifactRef] = {}
    mlflow_run_id: str | None = None
    seconds: float = 0.0
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def to_json(self) -> str:
        """JSON text of the record; `from_json` reads it back equal."""
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a record.

        Raises:
            InputError: the text is not a record of this kind and schema version.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InputError(f"not a {cls.kind} record of schema version 1: {error}") from error

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a record from a file that `write` made."""
        return cls.from_json(Path(path).read_bytes())

    def save(self, path: str | Path) -> dict[str, str]:
        """Write the record as JSON, and return what its KFP artifact's metadata carries: the lineage."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(self.to_json())
        metadata = {"podium_kind": self.kind, "podium_key": self.key, "mlflow_run_id": self.mlflow_run_id or ""}
        metadata |= {f"podium_parent_{name}": digest for name, digest in self.parents.items()}
        return metadata | {f"podium_artifact_{role}": ref.digest for role, ref in self.artifacts.items()}


class Incumbent(Frozen):
    """The model that holds the champion alias now, and the key of the decision that put it there."""

    name: str
    version: str
    model_digest: str
    model_key: str
    metric: str
    score: float
    decision_key: str = ""


class RunRecord(Record):
    """One run of the pipeline: its resolved config, its identities, and the champion it began with.

    Never stored or reused.
    """

    kind: ClassVar[str] = "run"
    key: str = ""
    run_id: str
    config: PodiumConfig
    incumbent: Incumbent | None = None
    tags: dict[str, str] = {}


class DataRecord(Record):
    """A validated, split and fingerprinted data set.

    Artifact `data`: `train/`, `validation/`, `test/` (Hugging Face `datasets` saved to disk; columns
    `id`, `text` or `tokens`, `label` or `tags` as integers) and `folds.json` (fold number of every row
    of train followed by validation: trials cross-validate on both).
    """

    kind: ClassVar[str] = "data"
    name: str
    task: Task
    labels: tuple[str, ...]
    rows: dict[str, int]
    label_counts: dict[str, dict[str, int]]
    folds: int
    read_rows: int
    duplicates: int
    rejected: int
    rejected_examples: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sources: dict[str, str]


class Report(Frozen):
    """One value of the objective that a trial reported before it ended.

    Attributes:
        value: finite; of a cross-validated trial the mean over the folds done so far, the one under way included.
        fold: during which it was reported; null for a trial without folds.
        epoch: (fractional) epoch of that fold; null at the end of a fold and without epochs.
    """

    value: float
    fold: int | None = None
    epoch: float | None = None


class Observed(Frozen):
    """What a trial reported for one metric over its whole run, in Katib's terms."""

    min: float
    max: float
    latest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summary of at least one value, in the order of their reports."""
        return cls(min=min(values), max=max(values), latest=values[-1])


class StoppingRule(Frozen):
    """When a trial is stopped before its end; fixed when the trial begins.

    Attributes:
        algorithm: the early stopping algorithm that made the rule.
        direction: of the objective.
        compared: `best`: the best value so far; `latest`: the value reported last.
        thresholds: by number of the report, counted from 1; a trial that is worse than one of them is stopped.
    """

    algorithm: str
    direction: Literal["maximize", "minimize"]
    compared: Literal["best", "latest"]
    thresholds: dict[int, float]

    def stops(self, reports: Sequence[Report]) -> bool:
        """Whether a trial with these reports is stopped at the last one."""
        threshold = self.thresholds.get(len(reports))
        if threshold is None:
            return False
        sign = 1.0 if self.direction == "maximize" else -1.0
        values = [sign * report.value for report in reports]
        return (max(values) if self.compared == "best" else values[-1]) < sign * threshold


class TrialRecord(Frozen):
    """One trial: k-fold cross-validation of one set of hyperparameters, or one run of a command.

    Attributes:
        number: 0-based, unique within the study.
        status: `pruned` is what Katib calls early stopped.
        labels: what the search algorithm must remember of its suggestion, such as the generation of an evolution.
        rule: when the trial is stopped early; null: never.
        reports: values of the objective on the way, in order.
        fold_scores: objective metric of each finished fold, by fold number in text form.
        score: the objective of a trial that succeeded: the mean over its folds. Of a pruned one its last value, if any.
        metrics: every metric that was collected, the objective among them, by name.
        reason: of a trial that failed or was pruned: a stable word for machines, the name of the error's class.
        error: the same for people.
    """

    number: int
    params: dict[str, Scalar]
    status: TrialStatus
    labels: dict[str, Scalar] = {}
    rule: StoppingRule | None = None
    reports: tuple[Report, ...] = ()
    fold_scores: dict[str, float] = {}
    fold_metrics: dict[str, dict[str, float]] = {}
    fold_seconds: dict[str, float] = {}
    score: float | None = None
    metrics: dict[str, Observed] = {}
    reason: str | None = None
    error: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def should_stop(self) -> bool:
        """Whether its rule stops it at its last report."""
        return self.rule is not None and self.rule.stops(self.reports)


class StudyRecord(Record):
    """A finished study of one backbone: every trial, and the best one; `ledger` names where it is continued."""

    kind: ClassVar[str] = "study"
    family: str
    backbone: str
    metric: str
    direction: Literal["maximize", "minimize"]
    budget: int
    ledger: str = "main"
    trials: tuple[TrialRecord, ...]
    best: int

    @property
    def best_trial(self) -> TrialRecord:
        """The trial numbered `best`."""
        return next(trial for trial in self.trials if trial.number == self.best)

    @property
    def best_score(self) -> float:
        """Mean score of the best trial's folds."""
        score = self.best_trial.score
        if score is None:
            raise InputError(f"the best trial must have a score, but trial {self.best} of {self.backbone} has none")
        return score


class ModelRecord(Record):
    """A refitted model.

    Artifacts: `model` (safetensors, tokenizer, config, model card) and `predictions` (held-out test rows,
    written by `podium.evaluation.predictions`).
    """

    kind: ClassVar[str] = "refit"
    backbone: str
    task: Task
    trial: int
    params: dict[str, Scalar]
    labels: tuple[str, ...]
    parameters: int
    cv_score: float
    metric: str
    metrics: dict[str, Interval]
    details: dict[str, Any] = {}


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


RECORDS: dict[str, type[Record]] = {
    record.kind: record
    for record in (
        RunRecord,
        DataRecord,
        StudyRecord,
        ModelRecord,
        SelectionRecord,
        MeasurementRecord,
        BenchmarkRecord,
        DecisionRecord,
        ReportRecord,
    )
}
"""Record classes by kind."""

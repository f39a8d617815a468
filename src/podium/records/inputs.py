"""The run, and what it makes before anything is chosen: data, trials, studies, models and their variants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import ceil
from typing import Any, ClassVar, Literal, Self

from podium.config.benchmark import VariantName
from podium.config.schema import PodiumConfig
from podium.config.section import TaskName
from podium.errors import InputError
from podium.records.base import Frozen, Interval, Record, Scalar, identity

TrialStatus = Literal["running", "succeeded", "failed", "pruned"]


class Report(Frozen):
    """One value of the objective that a trial reported before it ended.

    Attributes:
        value: finite; of a cross-validated trial the mean over the folds up to this one, as if it ended here.
        fold: during which it was reported; null for a trial without folds.
        epoch: (fractional) epoch of that fold; null at the end of a fold and without epochs.
        progress: folds done, the one under way counted by the share of its training, in hundredths: where trials of
            different lengths are compared; null for a trial without folds.
    """

    value: float
    fold: int | None = None
    epoch: float | None = None
    progress: float | None = None


class Observed(Frozen):
    """What a trial reported for one metric over its whole run, in Katib's terms."""

    min: float
    max: float
    latest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(min=min(values), max=max(values), latest=values[-1])


class StoppingRule(Frozen):
    """When a trial is stopped before its end; fixed when the trial begins.

    Attributes:
        algorithm: the early stopping algorithm that made the rule.
        direction: of the objective.
        compared: `best`: the best value so far; `latest`: the value reported last.
        point: what the thresholds are given by: `number` of the report, counted from 1, or `progress` of the trial.
        start_step: number of the first report that is judged.
        thresholds: by point; a trial that is worse than one of them is stopped. By progress, the nearest one at or
            before the report counts, within its fold.
    """

    algorithm: str
    direction: Literal["maximize", "minimize"]
    compared: Literal["best", "latest"]
    point: Literal["number", "progress"] = "number"
    start_step: int = 1
    thresholds: dict[float, float]

    def threshold(self, reports: Sequence[Report]) -> float | None:
        """What a trial with these reports has to reach at the last one; None: it is not judged there."""
        if len(reports) < self.start_step:
            return None
        progress = reports[-1].progress
        if self.point == "number" or progress is None:
            return self.thresholds.get(len(reports))
        reached = [point for point in self.thresholds if point <= progress and ceil(point) == ceil(progress)]
        return self.thresholds[max(reached)] if reached else None

    def stops(self, reports: Sequence[Report]) -> bool:
        threshold = self.threshold(reports)
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
        reports: values of the objective on the way, in order: of the folds by number, whichever ended first.
        fold_scores: objective metric of each finished fold, by fold number in text form.
        score: the objective of a trial that succeeded: the mean over its folds. Of a pruned one its last value, if any.
        metrics: every metric that was collected, the objective among them, by name.
        reason: of a trial that failed or was pruned: the name of the error's class; `error`, the same for people.
        kills: how often its worker was killed from outside and it was executed again.
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
    kills: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def should_stop(self) -> bool:
        return self.rule is not None and self.rule.stops(self.reports)


class Incumbent(Frozen):
    """The model that holds the champion alias now, and the key of the decision that put it there.

    Attributes:
        model_digest: of the refit, from which its variant was made.
        files_digest: of the files in the registry.
        trust_remote_code: whether its training was allowed to run the code that came with its backbone.
    """

    name: str
    version: str
    model_digest: str
    model_key: str
    metric: str
    score: float
    decision_key: str = ""
    variant: VariantName = "eager"
    files_digest: str = ""
    trust_remote_code: bool = False

    @property
    def identity(self) -> str:
        return identity(self.model_digest, self.variant)


class RunRecord(Record):
    """One run of the pipeline: its resolved config, its identities, and the champion it began with.

    Never stored or reused.

    Attributes:
        withdrawn: models that people rolled back, by `identity`, each with a sentence that says by whom and why.
    """

    kind: ClassVar[str] = "run"
    key: str = ""
    run_id: str
    config: PodiumConfig
    incumbent: Incumbent | None = None
    withdrawn: dict[str, str] = {}
    tags: dict[str, str] = {}


class PreparedData(Frozen):
    """What the preparation of a data set found.

    Attributes:
        labels: in the order of the outputs of a model.
        rows: by split.
        label_counts: by split, how often each label or tag occurs.
        read_rows: all rows that were read.
        duplicates: rows that were dropped because their content occurs elsewhere.
        rejected: rows that break the schema and were dropped.
        warnings: what looks wrong, or was changed.
        cautions: why scores on these rows say less than they seem to.
        sources: digest of every file, by its display name.
    """

    name: str
    task: TaskName
    labels: tuple[str, ...]
    rows: dict[str, int]
    label_counts: dict[str, dict[str, int]]
    folds: int
    read_rows: int
    duplicates: int
    rejected: int
    rejected_examples: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    sources: dict[str, str]

    @property
    def left_out(self) -> int:
        """Rows that `dataset.max_rows` left out: all that are neither used, rejected nor duplicates."""
        return self.read_rows - self.rejected - self.duplicates - sum(self.rows.values())


class DataRecord(PreparedData, Record):
    """A validated, split and fingerprinted data set.

    Artifact `data`: `train/`, `validation/` and `test/`, Hugging Face `datasets` saved to disk, with the columns that
    `podium.data.artifact.DataArtifact` names; and `folds.json`, the fold number of every row of train followed by
    validation, since trials cross-validate on both.
    """

    kind: ClassVar[str] = "data"


class StudyRecord(Record):
    """A finished study of one entrant: every trial, and the best one.

    Artifact `out_of_fold`, where models give probabilities: the best trial's predictions of all development rows, each
    by the fold that did not learn from it.

    Attributes:
        budget: trials that it might have; it has fewer where it reached its goal or ran out of time.
        timeout_seconds: after the start of the run, when its trials had to end; null: no limit.
        ledger: where it is continued.
    """

    kind: ClassVar[str] = "study"
    family: str
    entrant: str
    metric: str
    direction: Literal["maximize", "minimize"]
    budget: int
    timeout_seconds: int | None = None
    ledger: str = "main"
    trials: tuple[TrialRecord, ...]
    best: int

    @property
    def best_trial(self) -> TrialRecord:
        return next(trial for trial in self.trials if trial.number == self.best)

    @property
    def best_score(self) -> float:
        """Mean score of the best trial's folds."""
        score = self.best_trial.score
        if score is None:
            raise InputError(f"the best trial must have a score, but trial {self.best} of {self.entrant} has none")
        return score


class Baseline(Frozen):
    """One baseline on the held-out rows; its predictions are the artifact of its name."""

    name: str
    metrics: dict[str, Interval]
    details: dict[str, Any] = {}
    seconds: float


class BaselineRecord(Record):
    """What fine-tuning must beat. Artifacts: the held-out predictions of each baseline, by its name."""

    kind: ClassVar[str] = "baseline"
    baselines: tuple[Baseline, ...]


class ModelRecord(Record):
    """A refitted model.

    Artifacts: `model` (safetensors, tokenizer, config, model card) and `predictions` (held-out test rows,
    written by `podium.evaluation.predictions`).

    Attributes:
        trust_remote_code: whether the training was allowed to run the code that came with the backbone. Who uses the
            model later runs it as well, as the files alone must not grant that.
    """

    kind: ClassVar[str] = "refit"
    entrant: str
    task: TaskName
    trial: int
    params: dict[str, Scalar]
    labels: tuple[str, ...]
    parameters: int
    cv_score: float
    metric: str
    metrics: dict[str, Interval]
    details: dict[str, Any] = {}
    trust_remote_code: bool = False


class FailedEntrant(Record):
    """What a step hands on in place of its result where its entrant failed.

    It is never stored, so that the next run tries the entrant again.

    Attributes:
        step: name of the step that failed.
        reason: the name of the error's class; `error`, its message, which says what to do.
        log: where the log of the step is.
    """

    kind: ClassVar[str] = "failed"
    key: str = ""
    entrant: str
    step: str
    reason: str
    error: str
    log: str

    @property
    def title(self) -> str:
        return f"{self.step}-{self.entrant}"

    @property
    def brief(self) -> str:
        """The first line of the message, which names the cause and the remedy."""
        return self.error.partition("\n")[0]


class VariantCheck(Frozen):
    """A variant against the eager model.

    Attributes:
        rows: held-out rows whose logits were compared.
        logit_difference: largest absolute difference between logits on them; `logit_scale`, largest absolute logit of
            the eager model; `tolerance`, largest difference allowed, as a share of the scale.
        agreement: share of all held-out rows, or words, that get the label of the eager model.
        metric: the quality that was compared on all held-out rows: `score` of the variant itself, and `difference`,
            variant minus eager, by paired bootstrap.
        margin: the loss from which on a variant fails, once the interval lies wholly beyond it.
    """

    rows: int
    logit_difference: float
    logit_scale: float
    tolerance: float
    agreement: float
    metric: str
    score: Interval
    difference: Interval
    margin: float


class Variant(Frozen):
    """One deployable form of one champion.

    Attributes:
        model_digest: of the refitted model it was made from.
        status: only `ok` is benchmarked; `skipped` could not be made here, `failed` was made wrong or not at all.
        code: why not `ok`: a stable word for machines, empty when `ok`; `reason`, the same for people.
        check: null for `eager`, which is the reference, and where there was nothing to check.
        size_mb: of its files in MB (10^6 bytes).
    """

    entrant: str
    variant: VariantName
    model_digest: str
    status: Literal["ok", "failed", "skipped"]
    code: str = ""
    reason: str = ""
    check: VariantCheck | None = None
    size_mb: float | None = None
    build_seconds: float = 0.0


class VariantRecord(Record):
    """A variant. Artifacts where it is `ok`: `model`, its files; `predictions`, its own on the held-out rows."""

    kind: ClassVar[str] = "variant"
    variant: Variant

"""The run, and what it makes before anything is chosen: data, studies, models."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from podium.config.benchmark import VariantName
from podium.config.schema import PodiumConfig
from podium.config.section import TaskName
from podium.errors import InputError
from podium.records.base import Frozen, Interval, Record, Scalar, identity
from podium.records.trials import TrialRecord


class Incumbent(Frozen):
    """The model that holds the champion alias now, and the key of the decision that put it there.

    Attributes:
        model_digest: of the refit, from which its variant was made.
        files_digest: of the files in the registry.
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

    @property
    def identity(self) -> str:
        """See `podium.records.identity`."""
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
        duplicates: rows that were dropped because their content occurs elsewhere. Rows that are neither kept, rejected
            nor duplicates were left out by `dataset.max_rows`.
        rejected: rows that break the schema and were dropped.
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
    sources: dict[str, str]


class DataRecord(PreparedData, Record):
    """A validated, split and fingerprinted data set.

    Artifact `data`: `train/`, `validation/` and `test/`, Hugging Face `datasets` saved to disk, with the columns that
    `podium.data.artifact.DataArtifact` names; and `folds.json`, the fold number of every row of train followed by
    validation, since trials cross-validate on both.
    """

    kind: ClassVar[str] = "data"


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
    """

    kind: ClassVar[str] = "refit"
    backbone: str
    task: TaskName
    trial: int
    params: dict[str, Scalar]
    labels: tuple[str, ...]
    parameters: int
    cv_score: float
    metric: str
    metrics: dict[str, Interval]
    details: dict[str, Any] = {}

"""The contract of a kind of entrant: how it is described, searched, trained, keyed and deployed.

A kind is one class, and one instance of it in the registry `podium.config.entrants.ENTRANTS`. No other package asks
which kind it has: it asks the kind. Instances hold no state, so one serves all threads and processes. Every command
loads them, so torch and scikit-learn are imported only inside the methods that use them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from podium.config.benchmark import VariantName
from podium.config.parameters import AnyParameter
from podium.config.schema import EntrantConfig, PodiumConfig
from podium.config.section import Section
from podium.records.plan import Pace
from podium.tasks.base import Task
from podium.training.launch import FitSpec, TrainingResult

if TYPE_CHECKING:
    from podium.training.trainer import Evaluation


class EntrantKind(ABC):
    """What a model that competes can be.

    A trained model is a directory that `podium.inference.predictor.predictor_class` loads as the first of `variants`,
    and that `podium.tracking.package.describe_model` recognises by its files and makes MLflow serve.

    Attributes:
        settings: the section of its hyperparameters, with their defaults: how it is trained.
        section: where a config of a run has them.
        spec: the description of one training, a `FitSpec` whose `kind` is `name` and whose `config` is a `settings`.
        variants: the forms in which it can be deployed. The first one is the form in which it is trained.
        memory_advice: what a user can do when a training runs out of memory, as the end of a sentence.
        preload: the modules that a worker pool loads for its trainings (see `podium.execution.workers`).
    """

    name: ClassVar[str]
    settings: ClassVar[type[Section]]
    section: ClassVar[str]
    spec: ClassVar[type[FitSpec]]
    variants: ClassVar[tuple[VariantName, ...]]
    memory_advice: ClassVar[str]
    preload: ClassVar[tuple[str, ...]]

    @abstractmethod
    def tunable(self, task: Task) -> tuple[str, ...]:
        """Fields of `settings` that a search space for this task may name."""

    @abstractmethod
    def settings_in(self, config: PodiumConfig, trial: bool = False) -> Any:
        """The hyperparameters of a run, of the class `settings`, before those of a trial replace some.

        Args:
            trial: as a trial has them, whose budget may be smaller than that of the refit.
        """

    def decided(self, config: PodiumConfig) -> PodiumConfig:
        """The config of a new run with what this machine decides once, for its keys and all its processes."""
        return config

    def asked_rows(self, config: PodiumConfig, rows: float) -> float:
        """How many of the held-out rows of a fold a trial predicts."""
        return rows

    @abstractmethod
    def space_in(self, config: PodiumConfig) -> dict[str, AnyParameter]:
        """The search space of a run, or the one that suits its task where the config gives none."""

    def check_entry(self, entry: EntrantConfig) -> tuple[str, str] | None:
        """A field of the description of an entrant of this kind and what is wrong with it; None when all is fine."""
        return None

    def check_task(self, task: Task) -> str | None:
        """Why this kind cannot compete for a task; None where it can."""
        return None

    def source(self, entry: EntrantConfig) -> dict[str, Any]:
        """The fields of `spec` that follow from an entry: what is trained, located on this machine.

        Raises:
            ModelError: it is not there.
        """
        return {}

    def identity(self, entry: EntrantConfig) -> dict[str, Any]:
        """The parts of a key that say what is trained; hyperparameters, data and seed are parts of their own.

        Raises:
            ModelError: it is not there.
        """
        return {}

    def files(self, config: PodiumConfig) -> dict[str, Any]:
        """The parts of a key that say what the files hold that hyperparameters name.

        Raises:
            ConfigError: such a file is missing or cannot be read.
        """
        return {}

    def check(self, spec: Any) -> None:
        """Check before the first trial, in a worker, that what is trained fits the task.

        Raises:
            ModelError: it does not.
        """
        return None

    def reporting(self, config: Any) -> Any:
        """Hyperparameters that make a fold report at least once an epoch, where the kind has something to report."""
        return config

    def settled(self, config: Any, folds: Sequence[Mapping[str, float]]) -> Any:
        """The hyperparameters of a refit, which has no held-out fold to stop on.

        Args:
            folds: what each fold of the best trial ended with: its metrics, and the `epoch` they were measured at.
        """
        return config

    @abstractmethod
    def measure(self, spec: Any) -> Pace:
        """How fast a training with this spec goes on this machine, found in seconds; see `podium.stages.plan`.

        Args:
            spec: of the class `spec`. Its `fold` is not set.

        Raises:
            DataError, ModelError, OutOfMemory: as `train` raises them.
        """

    @abstractmethod
    def train(self, spec: Any, on_evaluation: Callable[[Evaluation, float], None] | None = None) -> TrainingResult:
        """Run one training in this process; equal specs give equal models.

        A refit leaves `{output}/model`, with a model card, and `{output}/predictions` of the test rows. A fold leaves
        its result, `{output}/predictions` of its held-out rows where they have probabilities, and `{output}/model`
        where the spec keeps it.

        Args:
            on_evaluation: called after every evaluation of a fold but the last, with the result that the fold would
                have if it ended here, and with the share of the training done, between 0 and 1. An exception that it
                raises ends the training.

        Raises:
            ConfigError: a setting does not fit the model or the device.
            DataError: the data does not fit the spec.
            ModelError: what is trained does not fit the task.
            NonFiniteLoss: the loss or a metric became NaN or infinite.
            OutOfMemory: host or device memory ran out.
            TimeLimitExceeded: `spec.time_limit` passed.
        """

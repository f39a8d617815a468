"""The `hpo` section: what is searched, how, for how long, and where."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from podium.config.section import Positive, Section
from podium.keys import NotKeyed

Value = bool | int | float | str


class ParameterConfig(Section):
    """One dimension of the search space.

    `when` makes it conditional: it is searched only where each parameter named there has one of the values listed.
    """

    type: Literal["float", "int", "categorical", "discrete"] = Field(
        description="Type of the parameter; `discrete` is a list of numbers."
    )
    low: float | None = Field(None, description="Lower bound of a number.")
    high: float | None = Field(None, description="Upper bound of a number.")
    step: Annotated[float, Field(gt=0)] | None = Field(None, description="Distance between the values that are tried.")
    log: bool = Field(False, description="Search on a logarithmic scale.")
    distribution: Literal["uniform", "normal"] = Field(
        "uniform", description="`normal`: around the middle of the range, which is three deviations either side."
    )
    choices: tuple[Value, ...] | None = Field(None, description="Values of a categorical or discrete parameter.")
    when: dict[str, tuple[Value, ...]] = Field(
        default_factory=dict,
        description="Search the parameter only where others have one of the values listed, as `{optimizer: [sgd]}`.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type in ("categorical", "discrete"):
            if not self.choices or (self.low, self.high, self.step) != (None, None, None):
                raise ValueError(f"a {self.type} parameter has choices, and no low, high or step")
            if self.log or self.distribution != "uniform":
                raise ValueError(f"a {self.type} parameter has neither a log scale nor a distribution")
            if self.type == "discrete" and any(isinstance(choice, (bool, str)) for choice in self.choices):
                raise ValueError(f"the choices of a discrete parameter are numbers, but got {list(self.choices)}")
            return self
        if self.choices is not None or self.low is None or self.high is None:
            raise ValueError(f"a parameter of type {self.type} has low and high, and no choices")
        if self.low > self.high:
            raise ValueError(f"low <= high must hold, but got low={self.low}, high={self.high}")
        if self.log and (self.low <= 0 or (self.step is not None and self.distribution == "uniform")):
            raise ValueError(f"a log scale needs low > 0 and no step, but got low={self.low}, step={self.step}")
        if self.type == "int" and any(v is not None and v != int(v) for v in (self.low, self.high, self.step)):
            raise ValueError("an int parameter has whole low, high and step")
        return self


def _whole(settings: dict[str, Value]) -> dict[str, Value]:
    """Make 10.0 the integer 10: both are taken alike, and a key must not depend on how it was written."""
    return {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in settings.items()}


Settings = Annotated[dict[str, Value], AfterValidator(_whole)]


class AlgorithmConfig(Section):
    """How the next trial is chosen. Settings are checked by the room that knows them, `podium.hpo.algorithms`."""

    name: Literal[
        "random", "grid", "tpe", "multivariate-tpe", "bayesianoptimization", "cmaes", "sobol", "hyperband"
    ] = Field("tpe", description="How the next trial is chosen.")
    settings: Settings = Field(default_factory=dict, description="Settings of the algorithm, by name.")


class EarlyStoppingConfig(Section):
    """When a trial that does worse than the others is stopped: `median` is Podium's rule, `medianstop` Katib's."""

    name: Literal["none", "median", "medianstop"] = Field(
        "none",
        description="`median`: stop a trial that is below the median at the same share of the same fold; `medianstop`: "
        "Katib's rule. Either evaluates folds once an epoch.",
    )
    settings: Settings = Field(
        default_factory=dict, description="Settings by name: `min_trials_required`, `start_step`."
    )


class HpoConfig(Section):
    """The search: space, objective, algorithm and budgets."""

    engine: Annotated[Literal["embedded", "katib"], NotKeyed("engines give the same trials the same meaning")] = Field(
        "embedded",
        description="`embedded`: trials are processes of this machine. `katib`: a Katib Experiment on a cluster.",
    )
    algorithm: AlgorithmConfig = AlgorithmConfig()
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    metric: str = Field("", description="Metric that is maximised, one of the task's. Empty: the task's first.")
    goal: Annotated[float | None, NotKeyed("ends a study sooner, as a budget does")] = Field(
        None, description="Score at which the search ends."
    )
    space: dict[str, ParameterConfig]
    epochs: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Epochs of a trial; the refit keeps `training.epochs`. `null`: trials have as many."
    )
    data_fraction: float = Field(1.0, gt=0, le=1, description="Share of the rows that a trial trains on.")
    fold_models: Literal["none", "best"] = Field(
        "none", description="`best` keeps the models of the best trial's folds, as artifact `fold_models` of the study."
    )
    warm_start: Annotated[tuple[str, ...], NotKeyed("the trials of the studies are in the key instead")] = Field(
        (),
        description="Finished studies of the same family, by key: the search [learns from their trials]"
        "(hpo.md#warm-start), which enter the key.",
    )
    max_trials: Annotated[Positive, NotKeyed("a budget: a study can be extended")] = Field(
        8, description="Trials per backbone; failed ones count."
    )
    max_failed_trials: Annotated[int, NotKeyed("a budget: it bounds a study, not a trial")] = Field(
        3, ge=0, description="Failed trials per study; one more ends the run."
    )
    parallel_trials: Annotated[Positive | None, NotKeyed("how many run at once; null: as many as the cores")] = Field(
        None, description="Trials that run at once. `null`: as many as cores."
    )
    parallel_folds: Annotated[Positive, NotKeyed("how many folds of a trial run at once; each is its own")] = Field(
        1, description="Folds of a trial that run at once. More than one report only when they end."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.space:
            raise ValueError("space must name at least one parameter")
        if self.epochs is not None and "epochs" in self.space:
            raise ValueError(f"trials take their epochs from epochs={self.epochs} or from space.epochs; leave out one")
        if self.warm_start and self.engine == "katib":
            raise ValueError("Katib knows no trials of another study; leave out warm_start, or set engine=embedded")
        if self.fold_models == "best" and self.engine != "embedded":
            raise ValueError(
                f"fold_models=best needs engine=embedded, whose trials leave their models on this machine, but got "
                f"engine={self.engine}; set fold_models=none"
            )
        if self.max_failed_trials > self.max_trials:
            raise ValueError(
                "max_failed_trials <= max_trials must hold, but got "
                f"max_failed_trials={self.max_failed_trials}, max_trials={self.max_trials}"
            )
        return self

"""The `hpo` section: what is searched, how, for how long, and where."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from podium.config.algorithms import Algorithm, EarlyStopping, NoStopping, Tpe
from podium.config.parameters import AnyParameter
from podium.config.section import Positive, Section
from podium.keys import NotKeyed


class HpoConfig(Section):
    """The search: space, objective, algorithm and budgets."""

    engine: Annotated[Literal["embedded", "katib"], NotKeyed("engines give the same trials the same meaning")] = Field(
        "embedded",
        description="`embedded`: trials are processes of this machine. `katib`: a Katib Experiment on a cluster.",
    )
    algorithm: Algorithm = Tpe()
    early_stopping: EarlyStopping = NoStopping()
    metric: str = Field("", description="Metric that is maximised, one of the task's. Empty: the task's first.")
    goal: Annotated[float | None, NotKeyed("ends a study sooner, as a budget does")] = Field(
        None, description="Score at which the search ends."
    )
    space: dict[str, AnyParameter]
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

"""The neutral experiment: what is searched, for what, how, and for how long. It names no engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from podium.config.algorithms import RESTARTED, Algorithm, EarlyStopping, Hyperband, NoStopping, NotNegative
from podium.config.parameters import FloatParameter, IntParameter
from podium.config.problems import explain
from podium.config.search import HpoConfig
from podium.config.section import Positive, Section
from podium.errors import ConfigError
from podium.hpo.schedule import Rung, hyperband
from podium.hpo.space import Space
from podium.records import Observed
from podium.text import hint

Direction = Literal["maximize", "minimize"]

Strategy = Literal["min", "max", "latest"]
"""Which of the values that a trial reports for a metric is its value."""

ResumePolicy = Literal["Never", "LongRunning", "FromVolume"]
"""Whether a study that used up its budget can be extended, and on a cluster what is kept for that: nothing, the
running suggestion service, or its state on a volume."""

NUMERIC = (FloatParameter, IntParameter)
"""Kinds of parameters whose values lie on a line."""

CONDITIONAL = ("random", "tpe", "multivariate-tpe")
"""Algorithms that search conditional parameters."""


class Objective(Section):
    """What makes one trial better than another.

    Attributes:
        metric: name of the score, for people and records.
        direction: whether a larger or a smaller score is better.
        goal: a score at which the study ends early; None searches through the whole budget.
        additional_metrics: other metrics that are collected and decide nothing.
        strategies: by metric; one that is not named takes the best value: `max` if scores are maximised, else `min`.
    """

    metric: Annotated[str, Field(min_length=1)]
    direction: Direction = "maximize"
    goal: float | None = None
    additional_metrics: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    strategies: dict[str, Strategy] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        metrics = (self.metric, *self.additional_metrics)
        if len(set(metrics)) != len(metrics):
            raise ValueError(f"metrics must have different names, but got {list(metrics)}")
        for name in self.strategies:
            if name not in metrics:
                raise ValueError(f"a strategy is for a metric of the objective, but got {name!r}{hint(name, metrics)}")
        best: Strategy = "max" if self.direction == "maximize" else "min"
        object.__setattr__(self, "strategies", {name: self.strategies.get(name, best) for name in metrics})
        return self

    def better(self, score: float, other: float) -> bool:
        """Whether `score` is strictly better than `other`."""
        return score > other if self.direction == "maximize" else score < other

    def value(self, observed: Mapping[str, Observed]) -> float:
        """The objective of a trial that reported these values: the least, greatest or last one by its strategy."""
        value: float = getattr(observed[self.metric], self.strategies[self.metric])
        return value

    def reached(self, score: float) -> bool:
        """Whether `score` meets the goal."""
        return self.goal is not None and not self.better(self.goal, score)


class Experiment(Section):
    """One search over one space.

    Attributes:
        name: for people, logs and, on a cluster, the name of the resource.
        max_trials: trials that end, whether they succeed or fail, before the study does.
        parallel_trials: trials that run at once.
        max_failed_trials: failed trials after which the study goes on; one more ends it with an error.
        space: what is searched; for hyperband, the range of the resource becomes that of its schedule.
        seed: source of every suggestion: the same seed and results lead to the same trials.
        early_stopping: when a trial is stopped before its end.
        resume_policy: whether a study that used up its budget can be extended; Podium's ledger always can be.
    """

    name: str
    space: Space
    objective: Objective
    algorithm: Algorithm
    max_trials: Positive
    parallel_trials: Positive
    max_failed_trials: NotNegative
    seed: int
    early_stopping: EarlyStopping = NoStopping()
    resume_policy: ResumePolicy = "Never"

    @model_validator(mode="after")
    def _check(self) -> Self:
        conditional = self.space.conditional
        if conditional and self.algorithm.name not in CONDITIONAL:
            raise ValueError(
                f"only {', '.join(CONDITIONAL)} search conditional parameters, but got algorithm "
                f"{self.algorithm.name!r} and a condition on {conditional[0]!r}"
            )
        if self.algorithm.name == "grid":
            self._check_grid()
        elif self.algorithm.name == "cmaes" and len(self._numeric) < 2:
            raise ValueError(
                f"algorithm 'cmaes' needs two float or int parameters or more, but got {list(self._numeric)}"
            )
        elif isinstance(self.algorithm, Hyperband):
            self._schedule_resource(self.algorithm.settings.resource_name)
        return self

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The schedule of hyperband; empty for every other algorithm."""
        if not isinstance(self.algorithm, Hyperband):
            return ()
        return hyperband(self.algorithm.settings.r_l, self.algorithm.settings.eta)

    @property
    def most_trials(self) -> int | None:
        """How many trials the algorithm can suggest before its search is complete; None: any number."""
        if self.algorithm.name == "grid":
            return math.prod(parameter.cells or 0 for parameter in self.space.parameters.values())
        rungs = self.rungs
        return rungs[-1].first + rungs[-1].size if rungs else None

    @property
    def _numeric(self) -> dict[str, FloatParameter | IntParameter]:
        return {name: one for name, one in self.space.parameters.items() if isinstance(one, NUMERIC)}

    def _check_grid(self) -> None:
        for name, parameter in self.space.parameters.items():
            if parameter.cells is None:
                why = "has no step; give it one"
                if isinstance(parameter, NUMERIC) and parameter.distribution == "normal":
                    why = "has a normal distribution"
                elif isinstance(parameter, NUMERIC) and parameter.log:
                    why = "has a log scale"
                raise ValueError(f"algorithm 'grid' needs a uniform scale and a step, but {name!r} {why}")

    def _schedule_resource(self, resource: str) -> None:
        """Give the resource the range of the schedule, which sets its values, whatever range it had."""
        if resource not in self._numeric:
            raise ValueError(
                f"resource_name of algorithm 'hyperband' names a float or int parameter, but got {resource!r}"
                f"{hint(resource, self._numeric)}"
            )
        low, high = (bound(rung.resource for rung in self.rungs) for bound in (min, max))
        scheduled = type(self._numeric[resource])(low=low, high=high)
        object.__setattr__(self, "space", Space(parameters={**self.space.parameters, resource: scheduled}))

    @classmethod
    def from_config(cls, name: str, config: HpoConfig, metric: str, seed: int, cores: int) -> Experiment:
        """The experiment that a validated `hpo` section describes.

        Args:
            name: for people and logs.
            config: the `hpo` section of the config.
            metric: what the study maximises; every metric a study may name is one where more is better.
            seed: of the run.
            cores: how many trials run at once where the config leaves that open.

        Raises:
            ConfigError: the algorithm cannot search this space.
        """
        try:
            return cls(
                name=name,
                space=Space(parameters=config.space),
                objective=Objective(metric=metric, goal=config.goal),
                algorithm=config.algorithm,
                max_trials=config.max_trials,
                parallel_trials=min(config.parallel_trials or max(1, cores), config.max_trials),
                max_failed_trials=config.max_failed_trials,
                seed=seed,
                early_stopping=config.early_stopping,
                # A further Experiment goes on with the search, unless it begins anew: then its service has to stay.
                resume_policy="LongRunning" if config.algorithm.name in RESTARTED else "Never",
            )
        except ValidationError as error:
            raise ConfigError(f"hpo: {'; '.join(explain(error, root=cls))}") from error

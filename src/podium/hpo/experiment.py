"""The neutral experiment: what is searched, for what, how, and for how long. It names no engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from podium.config.search import HpoConfig
from podium.errors import ConfigError
from podium.hpo.algorithms import FROM_THE_START, Algorithm, EarlyStopping, hint
from podium.hpo.schedule import Rung, hyperband
from podium.hpo.space import FloatParameter, IntParameter, NormalParameter, Space
from podium.records import Observed

Direction = Literal["maximize", "minimize"]

Strategy = Literal["min", "max", "latest"]
"""Which of the values that a trial reports for a metric is its value."""

ResumePolicy = Literal["Never", "LongRunning", "FromVolume"]
"""Whether a study that used up its budget can be extended, and on a cluster what is kept for that: nothing, the
running suggestion service, or its state on a volume."""

NUMERIC = (FloatParameter, IntParameter, NormalParameter)
"""Kinds of parameters whose values lie on a line."""

CONDITIONAL = ("random", "tpe", "multivariate-tpe")
"""Algorithms that search conditional parameters."""


@dataclass(frozen=True)
class Objective:
    """What makes one trial better than another.

    Attributes:
        metric: name of the score, for people and records.
        direction: whether a larger or a smaller score is better.
        goal: a score at which the study ends early; None searches through the whole budget.
        additional_metrics: other metrics that are collected and decide nothing.
        strategies: by metric; one that is not named takes the best value: `max` if scores are maximised, else `min`.
    """

    metric: str
    direction: Direction = "maximize"
    goal: float | None = None
    additional_metrics: tuple[str, ...] = ()
    strategies: Mapping[str, Strategy] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.metric:
            raise ConfigError("an objective must name its metric, but it is empty")
        if self.direction not in ("maximize", "minimize"):
            raise ConfigError(f"direction must be 'maximize' or 'minimize', but got {self.direction!r}")
        if self.goal is not None and not math.isfinite(self.goal):
            raise ConfigError(f"goal must be finite, but got {self.goal}; leave it out to use the whole budget")
        metrics = (self.metric, *self.additional_metrics)
        if len(set(metrics)) != len(metrics) or "" in metrics:
            raise ConfigError(f"metrics must have different names that are not empty, but got {list(metrics)}")
        for name, strategy in self.strategies.items():
            if name not in metrics:
                raise ConfigError(f"a strategy is for a metric of the objective, but got {name!r}{hint(name, metrics)}")
            if strategy not in get_args(Strategy):
                raise ConfigError(f"the strategy of a metric must be min, max or latest, but got {name}: {strategy!r}")
        best: Strategy = "max" if self.direction == "maximize" else "min"
        object.__setattr__(self, "strategies", {name: self.strategies.get(name, best) for name in metrics})

    def better(self, score: float, other: float) -> bool:
        """Whether `score` is strictly better than `other`."""
        return score > other if self.direction == "maximize" else score < other

    def value(self, observed: Mapping[str, Observed]) -> float:
        """The objective of a trial for which this was observed: by its strategy the least, greatest or last value."""
        value: float = getattr(observed[self.metric], self.strategies[self.metric])
        return value

    def reached(self, score: float) -> bool:
        """Whether `score` meets the goal."""
        return self.goal is not None and not self.better(self.goal, score)


@dataclass(frozen=True)
class Experiment:
    """One search over one space.

    Attributes:
        name: for people, logs and, on a cluster, the name of the resource.
        max_trials: trials that end, whether they succeed or fail, before the study does.
        parallel_trials: trials that run at once.
        max_failed_trials: failed trials that are put up with; one more ends the study with an error.
        space: what is searched; for hyperband, the range of the resource becomes that of its schedule.
        seed: source of every suggestion: the same seed and results lead to the same trials.
        early_stopping: when a trial is stopped before its end; None: never.
        resume_policy: whether a study that used up its budget can be extended; Podium's ledger always can be.

    Raises:
        ConfigError: a budget is too small, or the algorithm cannot search this space with these budgets.
    """

    name: str
    space: Space
    objective: Objective
    algorithm: Algorithm
    max_trials: int
    parallel_trials: int
    max_failed_trials: int
    seed: int
    early_stopping: EarlyStopping | None = None
    resume_policy: ResumePolicy = "Never"

    def __post_init__(self) -> None:
        for name, least in (("max_trials", 1), ("parallel_trials", 1), ("max_failed_trials", 0)):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"{name} >= {least} must hold, but got {name}={value}")
        if self.resume_policy not in get_args(ResumePolicy):
            raise ConfigError(
                f"resume_policy must be one of {', '.join(get_args(ResumePolicy))}, but got {self.resume_policy!r}"
            )
        if self.space.conditions and self.algorithm.name not in CONDITIONAL:
            raise ConfigError(
                f"only {', '.join(CONDITIONAL)} search conditional parameters, but got algorithm "
                f"{self.algorithm.name!r} and a condition on {self.space.conditions[0].name!r}"
            )
        match self.algorithm.name:
            case "grid":
                self._check_grid()
            case "cmaes":
                self._check_cmaes()
            case "hyperband":
                self._check_hyperband()

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The schedule of hyperband; empty for every other algorithm."""
        if self.algorithm.name != "hyperband":
            return ()
        settings = self.algorithm.settings
        return hyperband(float(settings["r_l"]), int(settings.get("eta", 3)))

    @property
    def most_trials(self) -> int | None:
        """How many trials the algorithm can suggest before its search has come to its end; None: any number."""
        match self.algorithm.name:
            case "grid":
                return math.prod(parameter.cells or 0 for _, parameter in self.space.parameters)
            case "hyperband":
                return self.rungs[-1].first + self.rungs[-1].size
        return None

    def _check_grid(self) -> None:
        for name, parameter in self.space.parameters:
            if parameter.cells is None:
                why = "has no step; give it one"
                if isinstance(parameter, NormalParameter):
                    why = "has a normal distribution"
                elif getattr(parameter, "log", False):
                    why = "has a log scale"
                raise ConfigError(f"algorithm 'grid' needs a uniform scale and a step, but {name!r} {why}")

    def _check_cmaes(self) -> None:
        numeric = [name for name, parameter in self.space.parameters if isinstance(parameter, NUMERIC)]
        if len(numeric) < 2:
            raise ConfigError(f"algorithm 'cmaes' needs two float or int parameters or more, but got {numeric}")

    def _check_hyperband(self) -> None:
        """Find the resource and give it the range that the schedule sets it to, whatever range it was given."""
        resource = str(self.algorithm.settings["resource_name"])
        numeric = {name: parameter for name, parameter in self.space.parameters if isinstance(parameter, NUMERIC)}
        if resource not in numeric:
            raise ConfigError(
                f"resource_name of algorithm 'hyperband' names a float or int parameter, but got {resource!r}"
                f"{hint(resource, numeric)}"
            )
        low, high = (bound(rung.resource for rung in self.rungs) for bound in (min, max))
        whole = isinstance(numeric[resource], IntParameter) or getattr(numeric[resource], "whole", False)
        scheduled = IntParameter(low, high) if whole else FloatParameter(float(low), float(high))
        object.__setattr__(self, "space", Space.of({**dict(self.space.parameters), resource: scheduled}))

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
            ConfigError: a part contradicts itself; the message names the field.
        """
        try:
            algorithm = Algorithm(config.algorithm.name, config.algorithm.settings)
        except ConfigError as error:
            raise ConfigError(f"hpo.algorithm: {error}") from error
        try:
            chosen = config.early_stopping
            stopping = None if chosen.name == "none" else EarlyStopping(chosen.name, chosen.settings)
        except ConfigError as error:
            raise ConfigError(f"hpo.early_stopping: {error}") from error
        return cls(
            name=name,
            space=Space.from_config(config.space),
            objective=Objective(metric, "maximize", config.goal),
            algorithm=algorithm,
            max_trials=config.max_trials,
            parallel_trials=min(config.parallel_trials or max(1, cores), config.max_trials),
            max_failed_trials=config.max_failed_trials,
            seed=seed,
            early_stopping=stopping,
            # A further Experiment goes on with the search, unless that begins anew: then its service has to stay.
            resume_policy="LongRunning" if algorithm.name in FROM_THE_START else "Never",
        )

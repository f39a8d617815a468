"""The neutral experiment: what is searched, for what, how, for how long, and when it is over. It names no engine.

Parameters are in the order of their names: two descriptions that differ only in order are the same space and lead every
engine to the same suggestions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from podium.config.fields import explain
from podium.config.parameters import AnyParameter, FloatParameter, IntParameter, Parameter, same
from podium.config.search import RESTARTED, Algorithm, EarlyStopping, HpoConfig, Hyperband, NoStopping, NotNegative
from podium.config.section import Positive, Section
from podium.errors import ConfigError
from podium.records import Observed, Scalar, TrialRecord
from podium.text import hint

Params = dict[str, Scalar]
"""Values of one trial, by parameter name."""


class Space(Section):
    """The parameters of a search by name, in order of their names; some of them may be conditional."""

    parameters: dict[str, AnyParameter]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.parameters:
            raise ValueError("a search space must name at least one parameter, but it is empty; fill hpo.space")
        ordered = {name: self._with_conditions(name) for name in sorted(self.parameters)}
        object.__setattr__(self, "parameters", ordered)
        try:
            _ = self.parents_first
        except CycleError as error:
            circle = " <- ".join(repr(name) for name in error.args[1])
            raise ValueError(f"conditions must not depend on each other, but got {circle}") from error
        return self

    @property
    def conditional(self) -> tuple[str, ...]:
        """Names of the parameters that are searched under a condition."""
        return tuple(name for name, parameter in self.parameters.items() if parameter.when)

    @cached_property
    def parents_first(self) -> tuple[str, ...]:
        """The names, each after those that its conditions name."""
        graph = {name: tuple(parameter.when) for name, parameter in self.parameters.items()}
        return tuple(TopologicalSorter(graph).static_order())

    def active(self, name: str, params: Mapping[str, Scalar]) -> bool:
        """Whether a parameter is searched, given the values of those before it in `parents_first`."""
        return all(
            parent in params and any(same(params[parent], value) for value in values)
            for parent, values in self.parameters[name].when.items()
        )

    def at(self, shares: Sequence[float]) -> Params:
        """The params at a point of the unit cube, one share for each parameter in order; see `Parameter.quantile`."""
        drawn = {
            name: parameter.quantile(share)
            for (name, parameter), share in zip(self.parameters.items(), shares, strict=True)
        }
        params: Params = {}
        for name in self.parents_first:
            if self.active(name, params):
                params[name] = drawn[name]
        return self.normalise(params)

    def normalise(self, params: Mapping[str, Scalar]) -> Params:
        """`params` in the declared types, in order of the space: exactly those that are active.

        Raises:
            ConfigError: a parameter is missing, unknown, inactive, of the wrong type or outside its range.
        """
        normal: Params = {}
        for name in self.parents_first:
            if self.active(name, normal):
                if name not in params:
                    raise self._other_names(params, [*normal, name])
                try:
                    normal[name] = self.parameters[name].normalise(params[name])
                except ValueError as error:
                    raise ConfigError(f"parameter {name!r}: {error}") from error
        if len(normal) != len(params):
            raise self._other_names(params, normal)
        return {name: normal[name] for name in self.parameters if name in normal}

    def _other_names(self, params: Mapping[str, Scalar], expected: Iterable[str]) -> ConfigError:
        names = expected if self.conditional else self.parameters
        return ConfigError(
            f"a trial has exactly the {'active ' if self.conditional else ''}parameters of its space, {sorted(names)}, "
            f"but got {sorted(params)}; are these parameters of another study?"
        )

    def _with_conditions(self, name: str) -> Parameter:
        """A parameter with the values of its conditions in the types of the parameters that they are about."""
        parameter, when = self.parameters[name], {}
        for parent, values in parameter.when.items():
            here = f"{name}.when.{parent}"
            if parent not in self.parameters:
                raise ValueError(f"{here}: {parent!r} must be a parameter of the space, {sorted(self.parameters)}")
            if not values:
                raise ValueError(f"{here}: at least one value must be listed, but got none")
            try:
                when[parent] = tuple(self.parameters[parent].normalise(value) for value in values)
            except ValueError as error:
                raise ValueError(f"{here}: {error}") from error
        return parameter.model_copy(update={"when": when})


Direction = Literal["maximize", "minimize"]

Strategy = Literal["min", "max", "latest"]
"""Which of the values that a trial reports for a metric is its value."""

ResumePolicy = Literal["Never", "LongRunning", "FromVolume"]
"""Whether a study that used up its budget can be extended, and on a cluster what is kept for that: nothing, the
running suggestion service, or its state on a volume."""

Outcome = Literal["goal", "failures", "budget", "suggestions"]
"""What ended a study. `suggestions`: the algorithm has none left, as in Katib's ExperimentSuggestionEndReached."""

NUMERIC = (FloatParameter, IntParameter)
"""Kinds of parameters whose values lie on a line."""

CONDITIONAL = ("random", "tpe", "multivariate-tpe")
"""Algorithms that search conditional parameters."""


class Objective(Section):
    """What makes one trial better than another. A score that reaches the goal ends the study early.

    The additional metrics are collected and decide nothing. A metric without a strategy takes its best value: `max` if
    scores are maximised, else `min`.
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
        return score > other if self.direction == "maximize" else score < other

    def value(self, observed: Mapping[str, Observed]) -> float:
        """The objective of a trial that reported these values, by its strategy."""
        return float(getattr(observed[self.metric], self.strategies[self.metric]))

    def reached(self, score: float) -> bool:
        return self.goal is not None and not self.better(self.goal, score)


class Rung(NamedTuple):
    """Trials of one bracket of hyperband that get the same amount of the resource.

    `bracket` is `s` in the paper: the one that starts the most trials has the highest. `level` is 0 for new params and
    one more for each selection after it. The trials of a schedule are numbered in order, those of a rung from `first`.
    """

    bracket: int
    level: int
    resource: int
    first: int
    size: int


def hyperband(most: float, eta: int) -> tuple[Rung, ...]:
    """The rungs of Hyperband (Li et al., "Hyperband", JMLR 2018, algorithm 1) with the rounding of Katib's service.

    A trial that is never stopped gets `most` (`r_l`) of the resource, and one in `eta` is promoted. Katib rounds the
    number of trials up, at the start of a bracket and at each selection, and the resource of a bracket's first rung
    down before it multiplies it.
    """
    rungs: list[Rung] = []
    largest = int(math.log(most) / math.log(eta))
    first = 0
    for bracket in range(largest, -1, -1):
        size = math.ceil((largest + 1) * eta**bracket / (bracket + 1))
        started, least = size, int(most / eta**bracket)
        for level in range(bracket + 1):
            if level:
                size = math.ceil(math.ceil(started / eta ** (level - 1)) / eta)
            rungs.append(Rung(bracket, level, least * eta**level, first, size))
            first += size
    return tuple(rungs)


class Experiment(Section):
    """One search over one space. The same seed and results lead to the same trials.

    Attributes:
        name: for people, logs and, on a cluster, the name of the resource.
        space: what is searched; for hyperband, the range of the resource becomes that of its schedule.
        max_trials: trials that end, whether they succeed or fail, before the study does.
        max_failed_trials: failed trials after which the study goes on; one more ends it with an error.
        resume_policy: of Katib; Podium's ledger can always be extended.
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
        parameters = self.space.parameters
        numeric = [name for name, parameter in parameters.items() if isinstance(parameter, NUMERIC)]
        if self.algorithm.name == "grid":
            for name, parameter in parameters.items():
                if parameter.cells is None and isinstance(parameter, NUMERIC):
                    why = "has a log scale" if parameter.log else "has no step; give it one"
                    why = "has a normal distribution" if parameter.distribution == "normal" else why
                    raise ValueError(f"algorithm 'grid' needs a uniform scale and a step, but {name!r} {why}")
        elif self.algorithm.name == "cmaes" and len(numeric) < 2:
            raise ValueError(f"algorithm 'cmaes' needs two float or int parameters or more, but got {numeric}")
        elif isinstance(self.algorithm, Hyperband):
            resource = self.algorithm.settings.resource_name
            if resource not in numeric:
                raise ValueError(
                    f"resource_name of algorithm 'hyperband' names a float or int parameter, but got {resource!r}"
                    f"{hint(resource, numeric)}"
                )
            # The schedule sets the values of the resource, whatever range it had.
            low, high = (bound(rung.resource for rung in self.rungs) for bound in (min, max))
            scheduled: AnyParameter = type(parameters[resource]).model_validate({"low": low, "high": high})
            object.__setattr__(self, "space", Space(parameters={**parameters, resource: scheduled}))
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

    @classmethod
    def from_config(cls, name: str, config: HpoConfig, metric: str, seed: int, cores: int) -> Experiment:
        """The experiment that a validated `hpo` section describes; every metric a study may name is maximised.

        As many trials run at once as there are cores where the config leaves that open.

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


class Progress:
    """Counts the trials of a study as they end, each once, and says when the study is over.

    Succeeded, failed and pruned trials are `ended` and use up the budget. A succeeded trial meets the goal or, as in
    Katib, a pruned one with metrics does.
    """

    def __init__(self, experiment: Experiment, trials: Iterable[TrialRecord] = ()) -> None:
        self._experiment, self.ended, self.failed, self.goal_reached = experiment, 0, 0, False
        for trial in trials:
            self.add(trial)

    def add(self, trial: TrialRecord) -> None:
        self.ended += trial.status != "running"
        self.failed += trial.status == "failed"
        objective = self._experiment.objective
        score = trial.score if trial.status == "succeeded" else None
        if trial.status == "pruned" and objective.metric in trial.metrics:
            score = objective.value(trial.metrics)
        self.goal_reached |= score is not None and objective.reached(score)

    @property
    def outcome(self) -> Outcome | None:
        """Why the study is over, or None while it goes on.

        If several reasons hold, the order is Katib's (`UpdateExperimentStatusCondition`): goal, failures, budget,
        suggestions.
        """
        if self.goal_reached:
            return "goal"
        if self.failed > self._experiment.max_failed_trials:
            return "failures"
        if self.ended >= self._experiment.max_trials:
            return "budget"
        most = self._experiment.most_trials
        return "suggestions" if most is not None and self.ended >= most else None

"""The `hpo` section: what is searched, how, for how long, and where.

The algorithms that choose the next trial or stop one early have Katib's names. The settings of tpe have the meaning and
defaults of Optuna's sampler, the others those of Katib. The seed is no setting: it belongs to the experiment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from podium.config.parameters import AnyParameter, CategoricalParameter, DiscreteParameter
from podium.config.section import Positive, Section
from podium.keys import NotKeyed
from podium.text import nearest

NotNegative = Annotated[int, Field(ge=0)]


class NoSettings(Section):
    """The settings of an algorithm that has none."""


class ParzenSettings(Section):
    """How many trials are random before the estimator is asked, and how many candidates it compares."""

    n_startup_trials: NotNegative = Field(10, description="Both TPEs: random trials before the estimator is asked.")
    n_ei_candidates: Positive = Field(24, description="Both TPEs: candidates that are compared.")


class TpeSettings(ParzenSettings):
    """Besides, whether parameters are modelled together, and whether running trials count as bad ones."""

    multivariate: bool = Field(False, description="`tpe`: model all parameters together.")
    constant_liar: bool = Field(True, description="`tpe`: count running trials as bad ones.")


class BayesianSettings(Section):
    """The model of Bayesian optimisation and how it is asked. Words that are not given are the engine's choice."""

    base_estimator: Literal["GP", "RF", "ET", "GBRT"] | None = Field(
        None, description="`bayesianoptimization`: the model. On this machine it is `GP`."
    )
    n_initial_points: NotNegative = Field(
        10, description="`bayesianoptimization`: random trials before the model is asked."
    )
    acq_func: Literal["gp_hedge", "LCB", "EI", "PI", "EIps", "PIps"] | None = Field(
        None, description="`bayesianoptimization`: what a suggestion maximises. On this machine it is `EI`."
    )
    acq_optimizer: Literal["auto", "sampling", "lbfgs"] | None = Field(
        None, description="`bayesianoptimization`: how it is maximised. On this machine by `lbfgs`."
    )


class CmaesSettings(Section):
    """How an evolution starts, and whether it starts again once it has converged."""

    restart_strategy: Literal["none", "ipop", "bipop"] = Field(
        "none", description="`cmaes`: whether a search that has converged starts again, with a larger population."
    )
    sigma: Annotated[float, Field(ge=0)] | None = Field(
        None, description="`cmaes`: the first deviation as a share of each range. `null`: 1/6."
    )


class HyperbandSettings(Section):
    """The resource of a trial, and how many trials get more of it."""

    resource_name: Annotated[str, Field(min_length=1)] = Field(
        description="`hyperband`: the parameter that says how much of the resource a trial gets."
    )
    r_l: Annotated[float, Field(ge=1)] = Field(description="`hyperband`: the most that a trial gets.")
    eta: Annotated[int, Field(ge=2)] = Field(3, description="`hyperband`: one trial in `eta` is repeated with more.")


class ModelFree(Section):
    """An algorithm that learns from no trial."""

    name: Literal["random", "grid", "sobol"] = Field(description="How the next trial is chosen.")
    settings: NoSettings = NoSettings()


class Tpe(Section):
    """The tree-structured Parzen estimator, which models each parameter by itself."""

    name: Literal["tpe"] = "tpe"
    settings: TpeSettings = TpeSettings()


class MultivariateTpe(Section):
    """The tree-structured Parzen estimator, which models all parameters together."""

    name: Literal["multivariate-tpe"] = "multivariate-tpe"
    settings: ParzenSettings = ParzenSettings()


class Bayesian(Section):
    """Bayesian optimisation."""

    name: Literal["bayesianoptimization"] = "bayesianoptimization"
    settings: BayesianSettings = BayesianSettings()


class Cmaes(Section):
    """The covariance matrix adaptation evolution strategy."""

    name: Literal["cmaes"] = "cmaes"
    settings: CmaesSettings = CmaesSettings()


class Hyperband(Section):
    """Many trials with little of a resource, and the best of them again with more."""

    name: Literal["hyperband"] = "hyperband"
    settings: HyperbandSettings


Algorithm = Annotated[ModelFree | Tpe | MultivariateTpe | Bayesian | Cmaes | Hyperband, Field(discriminator="name")]
"""How the next trial is chosen; `name` says by which algorithm."""

RESTARTED = ("grid", "sobol", "hyperband")
"""Algorithms that begin with their first trial again in every new suggestion service of Katib."""


class MedianSettings(Section):
    """How many succeeded trials are needed before any is stopped, and from which report on a trial is judged."""

    min_trials_required: Positive = Field(3, description="Succeeded trials before any trial is stopped.")
    start_step: Positive = Field(
        1, description="The report from which on (`median`, 1) or at which (`medianstop`, 4) a trial is judged."
    )


class MedianStopSettings(MedianSettings):
    """How many succeeded trials are needed before any is stopped, and at which report a trial is judged."""

    start_step: Positive = 4


class NoStopping(Section):
    """Every trial runs to its end."""

    name: Literal["none"] = Field(
        "none",
        description="`median`: stop a trial that is below the median at the same share of the same fold; `medianstop`: "
        "Katib's rule. Either evaluates folds once an epoch.",
    )
    settings: NoSettings = NoSettings()


class Median(Section):
    """Podium's rule; see `podium.hpo.engines`."""

    name: Literal["median"] = "median"
    settings: MedianSettings = MedianSettings()


class MedianStop(Section):
    """Katib's rule; see `podium.hpo.engines`."""

    name: Literal["medianstop"] = "medianstop"
    settings: MedianStopSettings = MedianStopSettings()


EarlyStopping = Annotated[NoStopping | Median | MedianStop, Field(discriminator="name")]
"""When a trial that does worse than the others is stopped; `name` says by which rule."""


def _settings_by_name(union: Any) -> dict[str, type[Section]]:
    return {
        name: member.model_fields["settings"].annotation
        for member in get_args(get_args(union)[0])
        for name in get_args(member.model_fields["name"].annotation)
    }


ALGORITHM_SETTINGS, STOPPING_SETTINGS = _settings_by_name(Algorithm), _settings_by_name(EarlyStopping)
"""The class of the settings of every algorithm and of every rule, by name."""


def algorithm_named(name: str, settings: Mapping[str, Any] | None = None) -> Algorithm:
    """The algorithm of that name, with defaults for the settings that are not given; may raise a ValidationError."""
    found: Algorithm = TypeAdapter(Algorithm).validate_python({"name": name, "settings": dict(settings or {})})
    return found


def stopping_named(name: str, settings: Mapping[str, Any] | None = None) -> EarlyStopping:
    """The same for the rules of early stopping."""
    found: EarlyStopping = TypeAdapter(EarlyStopping).validate_python({"name": name, "settings": dict(settings or {})})
    return found


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
    space: dict[str, AnyParameter] = Field(
        default_factory=dict, description="Search space of transformers; required where one competes."
    )
    linear_space: dict[str, AnyParameter] = Field(
        default_factory=dict, description="Search space of linear models. Empty: one that suits the task."
    )
    llm_space: dict[str, AnyParameter] = Field(
        default_factory=dict, description="Search space of prompted models. Empty: strategy, examples and calibration."
    )
    epochs: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Epochs of a transformer's trial; the refit keeps `training.epochs`. `null`: trials have as many.",
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
        8, description="Trials per entrant; failed ones count."
    )
    max_failed_trials: Annotated[int, NotKeyed("a budget: it bounds a study, not a trial")] = Field(
        3, ge=0, description="Failed trials per study; with one more the entrant fails."
    )
    timeout_seconds: Annotated[Positive | None, NotKeyed("a budget: a study can be extended")] = Field(
        None,
        description="Seconds after the start of the run within which trials have to end: none begins that would end "
        "later, except the first one of a study. `null`: no limit.",
    )
    parallel_trials: Annotated[Positive | None, NotKeyed("how many run at once; null: as many as the cores")] = Field(
        None, description="Trials that run at once. `null`: as many as cores."
    )
    parallel_folds: Annotated[Positive, NotKeyed("how many folds of a trial run at once; each is its own")] = Field(
        1, description="Folds of a trial that run at once. More than one report only when they end."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.epochs is not None and "epochs" in self.space:
            raise ValueError(f"trials take their epochs from epochs={self.epochs} or from space.epochs; leave out one")
        if self.warm_start and self.engine == "katib":
            raise ValueError("Katib knows no trials of another study; leave out warm_start, or set engine=embedded")
        if self.timeout_seconds and self.engine == "katib":
            raise ValueError("Katib bounds no search in time; leave out timeout_seconds, or set engine=embedded")
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


@dataclass(frozen=True)
class SearchedFields:
    """The fields that a search space names.

    Attributes:
        place: of the space in the config.
        section: name of the section of the fields.
        settings: its class.
        tunable: which of them can be searched.
        where: in words, what that depends on.
    """

    place: str
    section: str
    settings: type[Section]
    tunable: tuple[str, ...]
    where: str = ""

    def checked(self, space: Mapping[str, AnyParameter]) -> tuple[list[str], dict[str, AnyParameter]]:
        """Problems of a space, and the space with its choices and conditions in the types of the fields."""
        problems: list[str] = []
        found: dict[str, AnyParameter] = {}
        for name, parameter in space.items():
            own, checked = self._parameter(name, parameter)
            others, when = self._when(name, parameter, space)
            problems += [*own, *others]
            found[name] = checked.model_copy(update={"when": when})
        return problems, found

    def _parameter(self, name: str, parameter: AnyParameter) -> tuple[list[str], AnyParameter]:
        """Problems of one dimension, and the dimension with its choices in the field's own type."""
        here = f"{self.place}.{name}"
        if name not in self.tunable:
            near = nearest(name, self.tunable)
            hint = f"did you mean {self.place}.{near}?" if near else f"these are {', '.join(self.tunable)}"
            fields = f"{self.section} fields that can be searched{self.where}"
            problem = f"{here}: a space names {fields}, but got {name!r}; {hint}"
            return [problem], parameter
        if isinstance(parameter, CategoricalParameter | DiscreteParameter):
            results = [self._value(name, choice) for choice in parameter.choices]
            problems = [f"{here}.choices: {problem}" for problem, _ in results if problem]
            return problems, parameter.model_copy(update={"choices": tuple(value for _, value in results)})
        whole = self.settings.model_fields[name].annotation is int
        if whole and parameter.type == "float":
            problem = f"{here}.type: {self.section}.{name} is a whole number, but got type=float; set {here}.type=int"
            return [problem], parameter
        bounds = (("low", parameter.low), ("high", parameter.high))
        wrong = [(at, self._value(name, value)[0]) for at, value in bounds]
        problems = [f"{here}.{at}: {problem}" for at, problem in wrong if problem]
        return problems, parameter

    def _when(
        self, name: str, parameter: AnyParameter, space: Mapping[str, AnyParameter]
    ) -> tuple[list[str], dict[str, tuple[Any, ...]]]:
        """Problems of the conditions of one dimension, and the conditions with values in the type of their fields.

        That they do not depend on each other, and that the values are values of the parent, is checked by the space.
        """
        here, problems, when = f"{self.place}.{name}.when", [], {}
        for parent, values in parameter.when.items():
            if parent not in space:
                near = nearest(parent, space)
                hint = f"did you mean {near}?" if near else f"these are {', '.join(space)}"
                problems.append(f"{here}: a condition names a parameter of {self.place}, but got {parent!r}; {hint}")
                continue
            results = [self._value(parent, value) for value in values]
            problems += [f"{here}.{parent}: {problem}" for problem, _ in results if problem]
            when[parent] = tuple(value for _, value in results)
        return problems, when

    def _value(self, name: str, value: Any) -> tuple[str | None, Any]:
        """What is wrong with `value` for a field, if anything, and the value in that field's type."""
        try:
            return None, getattr(self.settings.model_validate({name: value}), name)
        except ValidationError as error:
            expected = error.errors()[0]["msg"].removeprefix("Input ")
            return f"{self.section}.{name} {expected[0].lower()}{expected[1:]}, but got {value!r}", value

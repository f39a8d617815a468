"""The algorithms that choose the next trial or stop one early, by Katib's names, and the settings that each takes.

The settings of tpe have the meaning and defaults of Optuna's sampler, the others those of Katib. The seed is no
setting: it belongs to the experiment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter

from podium.config.section import Positive, Section

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
    """Podium's rule; see `podium.hpo.engines.embedded`."""

    name: Literal["median"] = "median"
    settings: MedianSettings = MedianSettings()


class MedianStop(Section):
    """Katib's rule; see `podium.hpo.engines.embedded`."""

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

_ALGORITHM: TypeAdapter[Algorithm] = TypeAdapter(Algorithm)
_STOPPING: TypeAdapter[EarlyStopping] = TypeAdapter(EarlyStopping)


def algorithm_named(name: str, settings: Mapping[str, Any] | None = None) -> Algorithm:
    """The algorithm of that name; settings that are not given have their defaults.

    Raises:
        ValidationError: there is no such algorithm, or it does not take the settings.
    """
    return _ALGORITHM.validate_python({"name": name, "settings": dict(settings or {})})


def stopping_named(name: str, settings: Mapping[str, Any] | None = None) -> EarlyStopping:
    """The early stopping rule of that name; settings that are not given have their defaults.

    Raises:
        ValidationError: there is no such rule, or it does not take the settings.
    """
    return _STOPPING.validate_python({"name": name, "settings": dict(settings or {})})

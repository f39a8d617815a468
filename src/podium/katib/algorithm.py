"""Algorithms, early stopping rules and their settings as Katib writes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import ValidationError

from podium.config.algorithms import (
    ALGORITHM_SETTINGS,
    STOPPING_SETTINGS,
    Algorithm,
    EarlyStopping,
    Hyperband,
    NoStopping,
    algorithm_named,
    stopping_named,
)
from podium.config.problems import explain
from podium.errors import ConfigError
from podium.hpo.experiment import Experiment
from podium.katib.read import at, one_of, required, whole_number
from podium.katib.space import to_text
from podium.records import Scalar
from podium.text import hint

NAS = "neural architecture search has no counterpart here: a study searches parameters"
_REFUSED_ALGORITHMS = {
    "enas": NAS,
    "darts": NAS,
    "pbt": "population based training hands checkpoints from trial to trial over a volume that trials share, "
    "which trials here do not",
}
_REFUSED_SETTINGS = {
    ("tpe", "gamma"): "it belongs to hyperopt's TPE, and the one here is Optuna's; leave it out",
    ("tpe", "prior_weight"): "it belongs to hyperopt's TPE, and the one here is Optuna's; leave it out",
    **{
        ("hyperband", name): "Katib keeps the state of hyperband in it; leave it out"
        for name in ("s_max", "b_l", "r", "n", "current_s", "current_i", "evaluating_trials")
    },
}
_SEED = "random_state"
MEDIAN_STOP = "medianstop"
_UNSEEDED = ("sobol", "hyperband")
_PODIUM_ONLY = ("multivariate", "constant_liar")
"""Settings of tpe that Katib lacks."""


def algorithm_from_katib(spec: Mapping[str, Any]) -> tuple[Algorithm, int | None]:
    """The algorithm that `spec.algorithm` of an Experiment names, and the seed that its settings give.

    Raises:
        ConfigError: with the path of an algorithm, setting or value that is unknown or refused.
    """
    path = "spec.algorithm"
    name = required(spec.get("algorithmName"), f"{path}.algorithmName")
    if name in _REFUSED_ALGORITHMS:
        raise ConfigError(f"{path}.algorithmName: {name!r}: {_REFUSED_ALGORITHMS[name]}")
    one_of(name, ALGORITHM_SETTINGS, f"{path}.algorithmName")
    known = set(ALGORITHM_SETTINGS[name].model_fields) - set(_PODIUM_ONLY)
    if name not in _UNSEEDED:
        known.add(_SEED)
    settings = _settings(name, spec.get("algorithmSettings"), known, f"{path}.algorithmSettings")
    seed = None
    if _SEED in settings:
        place, text = settings.pop(_SEED)
        with at(place):
            seed = whole_number(text)
        if seed < 0:
            raise ConfigError(f"{place}: value >= 0 must hold, but got {seed}")
    return _made(algorithm_named, name, settings, path), seed


def stopping_from_katib(spec: Mapping[str, Any] | None) -> EarlyStopping:
    """The rule that `spec.earlyStopping` of an Experiment names, or that no trial is stopped where there is none.

    Raises:
        ConfigError: with the path of an algorithm, setting or value that is unknown.
    """
    if spec is None:
        return NoStopping()
    path = "spec.earlyStopping"
    name = one_of(spec.get("algorithmName"), [MEDIAN_STOP], f"{path}.algorithmName")
    known = STOPPING_SETTINGS[name].model_fields
    settings = _settings(name, spec.get("algorithmSettings"), known, f"{path}.algorithmSettings")
    stopping: EarlyStopping = _made(stopping_named, name, settings, path)
    return stopping


_Settings = dict[str, tuple[str, str]]
"""Texts by name, each with the path of the field that it was read from."""


def _made(make: Callable[[str, Mapping[str, Any]], Any], name: str, settings: _Settings, path: str) -> Any:
    try:
        return make(name, {setting: text for setting, (_, text) in settings.items()})
    except ValidationError as error:
        finding = error.errors()[0]
        place, _ = settings.get(str(finding["loc"][-1]), (path, ""))
        if finding["type"] == "missing":
            problem = f"algorithm {name!r} needs the setting {finding['loc'][-1]!r}, but it is not given"
        else:
            problem = explain(error, root=None)[0].removeprefix(".".join(map(str, finding["loc"]))).lstrip(": ")
        raise ConfigError(f"{place}: {problem}") from error


def _settings(algorithm: str, given: Any, known: Collection[str], path: str) -> _Settings:
    settings: _Settings = {}
    for index, item in enumerate(given or []):
        here = f"{path}[{index}]"
        name = required(item.get("name"), f"{here}.name")
        if algorithm == "tpe" and name == "n_EI_candidates":
            name = "n_ei_candidates"
        reason = _REFUSED_SETTINGS.get((algorithm, name))
        if reason is not None:
            raise ConfigError(f"{here}.name: {name!r}: {reason}")
        if name not in known:
            names = hint(name, known) or "; it takes no settings"
            raise ConfigError(f"{here}.name: algorithm {algorithm!r} has no setting {name!r}{names}")
        if name in settings:
            raise ConfigError(f"{here}.name: names must differ, but {name!r} is given twice")
        text = required(item.get("value"), f"{here}.value")
        settings[name] = f"{here}.value", "none" if name == "restart_strategy" and text == "None" else text
    return settings


def algorithm_to_katib(experiment: Experiment) -> dict[str, Any]:
    """The algorithm of an experiment as Katib writes it, with its seed where Katib takes one.

    Raises:
        ConfigError: Katib lacks a setting.
    """
    algorithm = experiment.algorithm
    settings: dict[str, Scalar] = dict(sorted(algorithm.settings.model_dump(exclude_unset=True).items()))
    for name in _PODIUM_ONLY:
        if name in settings:
            raise ConfigError(
                f"spec.algorithm: Katib has no setting {name!r} of {algorithm.name!r}; leave it out"
                + (" and use the algorithm 'multivariate-tpe'" if name == "multivariate" else "")
            )
    if algorithm.name not in _UNSEEDED:
        settings[_SEED] = experiment.seed
    written = [{"name": _spelling(algorithm, name), "value": to_text(value)} for name, value in settings.items()]
    return {"algorithmName": algorithm.name, **({"algorithmSettings": written} if written else {})}


def check_budgets(experiment: Experiment) -> None:
    """Refuse budgets that Katib's suggestion services do not take, though the engine of this machine would.

    Raises:
        ConfigError: grid has more trials than combinations, or hyperband runs fewer at once than a bracket starts.
    """
    if experiment.algorithm.name == "grid" and experiment.max_trials > (experiment.most_trials or 0):
        raise ConfigError(
            f"spec.maxTrialCount: algorithm 'grid' has at most {experiment.most_trials} trials, the combinations of "
            f"its space, but got {experiment.max_trials}"
        )
    if isinstance(experiment.algorithm, Hyperband):
        settings = experiment.algorithm.settings
        bracket = settings.eta ** experiment.rungs[0].bracket
        if experiment.parallel_trials < bracket:
            raise ConfigError(
                f"spec.parallelTrialCount: algorithm 'hyperband' with r_l={settings.r_l:g} and "
                f"eta={settings.eta} runs its largest bracket at once: at least {bracket} are expected, but "
                f"got {experiment.parallel_trials}"
            )


def _spelling(algorithm: Algorithm, setting: str) -> str:
    """The setting as a service of Katib spells it.

    Two services know tpe: hyperopt's is the default, but only Optuna's takes `n_startup_trials`.
    """
    hyperopt = algorithm.name == "tpe" and "n_startup_trials" not in algorithm.settings.model_fields_set
    return "n_EI_candidates" if hyperopt and setting == "n_ei_candidates" else setting


def stopping_to_katib(stopping: EarlyStopping) -> dict[str, Any] | None:
    """A rule as Katib writes it; None where no trial is stopped.

    Raises:
        ConfigError: Katib lacks the rule.
    """
    if stopping.name == "none":
        return None
    if stopping.name != MEDIAN_STOP:
        raise ConfigError(f"spec.earlyStopping: Katib has no rule {stopping.name!r}; use {MEDIAN_STOP!r}")
    settings = stopping.settings.model_dump()
    written = [{"name": name, "value": to_text(value)} for name, value in settings.items()]
    return {"algorithmName": stopping.name, "algorithmSettings": written}

"""Algorithms, early stopping and their settings in Katib's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podium.errors import ConfigError
from podium.hpo.algorithms import ALGORITHMS, EARLY_STOPPING, Algorithm, EarlyStopping, Setting, hint
from podium.hpo.experiment import Experiment
from podium.katib.read import at, number, one_of, required, whole_number
from podium.katib.space import to_text
from podium.records import Scalar

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


def algorithm_from_katib(spec: Any) -> tuple[Algorithm, int | None]:
    """The algorithm of a `V1beta1AlgorithmSpec`, and the seed that its settings give.

    Raises:
        ConfigError: with the path of an algorithm, setting or value that is unknown or refused.
    """
    path = "spec.algorithm"
    name = required(spec.algorithm_name, f"{path}.algorithmName")
    if name in _REFUSED_ALGORITHMS:
        raise ConfigError(f"{path}.algorithmName: {name!r}: {_REFUSED_ALGORITHMS[name]}")
    one_of(name, ALGORITHMS, f"{path}.algorithmName")
    known = dict(ALGORITHMS[name])
    if name not in _UNSEEDED:
        known[_SEED] = Setting(int, 0)
    if name == "tpe":
        del known["multivariate"], known["constant_liar"]
    settings = _settings(name, spec.algorithm_settings, known, f"{path}.algorithmSettings")
    seed = settings.pop(_SEED, None)
    with at(path):
        return Algorithm(name, settings), None if seed is None else int(seed)


def stopping_from_katib(spec: Any) -> EarlyStopping | None:
    """The rule of a `V1beta1EarlyStoppingSpec`, if there is one.

    Raises:
        ConfigError: with the path of an algorithm, setting or value that is unknown.
    """
    if spec is None:
        return None
    path = "spec.earlyStopping"
    name = one_of(spec.algorithm_name, [MEDIAN_STOP], f"{path}.algorithmName")
    return EarlyStopping(
        name, _settings(name, spec.algorithm_settings, EARLY_STOPPING[name], f"{path}.algorithmSettings")
    )


def _settings(algorithm: str, given: Any, known: Mapping[str, Setting], path: str) -> dict[str, Scalar]:
    settings: dict[str, Scalar] = {}
    for index, item in enumerate(given or []):
        here = f"{path}[{index}]"
        name = required(item.name, f"{here}.name")
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
        text = required(item.value, f"{here}.value")
        with at(f"{here}.value"):
            settings[name] = known[name].check(_typed(known[name], text))
    return settings


def _typed(setting: Setting, text: str) -> Scalar:
    if setting.type is str:
        return "none" if text == "None" and "none" in setting.choices else text
    return whole_number(text) if setting.type is int else number(text)


def algorithm_to_katib(experiment: Experiment) -> Any:
    """The `V1beta1AlgorithmSpec` of an experiment, with its seed where Katib takes one.

    Raises:
        ConfigError: Katib lacks a setting.
    """
    from kubeflow_katib_api import models

    algorithm = experiment.algorithm
    settings = dict(algorithm.settings)
    for name in ("multivariate", "constant_liar"):
        if name in settings:
            raise ConfigError(
                f"spec.algorithm: Katib has no setting {name!r} of {algorithm.name!r}; leave it out"
                + (" and use the algorithm 'multivariate-tpe'" if name == "multivariate" else "")
            )
    if algorithm.name not in _UNSEEDED:
        settings[_SEED] = experiment.seed
    return models.V1beta1AlgorithmSpec(
        algorithm_name=algorithm.name,
        algorithm_settings=[
            models.V1beta1AlgorithmSetting(name=_spelling(algorithm, name), value=to_text(value))
            for name, value in settings.items()
        ]
        or None,
    )


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
    if experiment.rungs:
        settings = experiment.algorithm.settings
        bracket = int(settings.get("eta", 3)) ** experiment.rungs[0].bracket
        if experiment.parallel_trials < bracket:
            raise ConfigError(
                f"spec.parallelTrialCount: algorithm 'hyperband' with r_l={settings['r_l']:g} and "
                f"eta={settings.get('eta', 3)} runs its largest bracket at once: at least {bracket} are expected, but "
                f"got {experiment.parallel_trials}"
            )


def _spelling(algorithm: Algorithm, setting: str) -> str:
    """A setting as the suggestion service spells it that takes all of them: for tpe hyperopt's, else Optuna's."""
    hyperopt = algorithm.name == "tpe" and "n_startup_trials" not in algorithm.settings
    return "n_EI_candidates" if hyperopt and setting == "n_ei_candidates" else setting


def stopping_to_katib(stopping: EarlyStopping) -> Any:
    """The `V1beta1EarlyStoppingSpec` of a rule.

    Raises:
        ConfigError: Katib lacks the rule.
    """
    from kubeflow_katib_api import models

    if stopping.name != MEDIAN_STOP:
        raise ConfigError(f"spec.earlyStopping: Katib has no rule {stopping.name!r}; use {MEDIAN_STOP!r}")

    return models.V1beta1EarlyStoppingSpec(
        algorithm_name=stopping.name,
        algorithm_settings=[
            models.V1beta1EarlyStoppingSetting(name=name, value=to_text(value))
            for name, value in stopping.settings.items()
        ],
    )

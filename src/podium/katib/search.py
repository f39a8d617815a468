"""Search spaces, the values of trials, algorithms and their settings as Katib writes them: every number is a text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import ValidationError

from podium.config.fields import explain
from podium.config.parameters import (
    AnyParameter,
    CategoricalParameter,
    DiscreteParameter,
    FloatParameter,
    IntParameter,
    Parameter,
)
from podium.config.search import (
    ALGORITHM_SETTINGS,
    STOPPING_SETTINGS,
    Algorithm,
    EarlyStopping,
    Hyperband,
    NoStopping,
    algorithm_named,
    stopping_named,
)
from podium.errors import ConfigError
from podium.hpo.experiment import Experiment, Params, Space
from podium.katib.read import at, number, one_of, required, whole_number
from podium.records import Scalar
from podium.text import hint

_TYPES = ("double", "int", "discrete", "categorical")
_DISTRIBUTIONS = ("uniform", "logUniform", "normal", "logNormal")

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


def to_text(value: Scalar) -> str:
    """The text that replaces `${trialParameters.x}` for a value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def from_text(parameter: Parameter, text: str) -> Scalar:
    """The value of a parameter whose text Katib gives; a ValueError where it is none of its values."""
    match parameter:
        case CategoricalParameter():
            by_text: dict[str, Scalar] = {to_text(choice): choice for choice in parameter.choices}
            if text not in by_text:
                raise ValueError(f"one of {sorted(by_text)} is expected, but got {text!r}")
            return by_text[text]
        case IntParameter():
            return parameter.normalise(whole_number(text))
    return parameter.normalise(number(text))


def params_from_texts(space: Space, texts: Mapping[str, str]) -> Params:
    """The params of a trial from the texts that a search on a cluster assigns to them.

    A number off the grid or out of range becomes the nearest value of its parameter, in the pod and in the ledger
    alike: the grid of hyperopt, which Katib's tpe and random use, begins at 0 and not at `min`, and its normal
    distributions have no bounds.

    Raises:
        ConfigError: a parameter is missing or unknown, or has a text that is none of its values.
    """
    params: dict[str, Scalar] = dict(texts)
    for name, parameter in space.parameters.items():
        if name in texts:
            with at(f"parameter {name!r}"):
                params[name] = _nearest(parameter, texts[name])
    return space.normalise(params)


def _nearest(parameter: Parameter, text: str) -> Scalar:
    try:
        return from_text(parameter, text)
    except ValueError:
        if not isinstance(parameter, (FloatParameter, IntParameter)):
            raise
        value = min(max(number(text), parameter.low), parameter.high)
        return parameter.quantile(min(max(parameter.share(value), 0.0), 1.0))


def space_from_katib(parameters: list[Mapping[str, Any]], path: str) -> Space:
    """The space that the `parameters` of an Experiment, which are at `path`, describe."""
    named: dict[str, AnyParameter] = {}
    for index, spec in enumerate(parameters):
        here = f"{path}[{index}]"
        name = required(spec.get("name"), f"{here}.name")
        if name in named:
            raise ConfigError(f"{here}.name: parameter names must differ, but {name!r} is given twice")
        named[name] = _parameter(spec, here)
    return Space(parameters=named)


def _parameter(spec: Mapping[str, Any], path: str) -> AnyParameter:
    kind = one_of(spec.get("parameterType"), _TYPES, f"{path}.parameterType")
    here = f"{path}.feasibleSpace"
    feasible = required(spec.get("feasibleSpace"), here)
    distribution = one_of(feasible.get("distribution") or "uniform", _DISTRIBUTIONS, f"{here}.distribution")
    if kind in ("discrete", "categorical"):
        return _listed(kind, feasible, distribution, here)
    if feasible.get("list"):
        raise ConfigError(f"{here}.list: a parameter of type {kind} has min and max, but got {feasible['list']}")
    read = whole_number if kind == "int" else number
    fields: dict[str, Any] = {
        "log": distribution in ("logUniform", "logNormal"),
        "distribution": "normal" if distribution in ("normal", "logNormal") else "uniform",
    }
    for name, field in (("min", "low"), ("max", "high"), ("step", "step")):
        text = feasible.get(name)
        if field != "step":
            required(text, f"{here}.{name}")
        if text:
            with at(f"{here}.{name}"):
                fields[field] = read(text)
    with at(here):
        return (IntParameter if kind == "int" else FloatParameter)(**fields)


def _listed(kind: str, feasible: Mapping[str, Any], distribution: str, path: str) -> AnyParameter:
    for name in ("min", "max", "step"):
        if feasible.get(name):
            raise ConfigError(f"{path}.{name}: a parameter of type {kind} has a list, and no min, max or step")
    if distribution != "uniform":
        raise ConfigError(
            f"{path}.distribution: a parameter of type {kind} has no scale, so that Katib ignores {distribution!r}; "
            "leave it out"
        )
    texts = feasible.get("list")
    if not texts:
        raise ConfigError(f"{path}.list: must be given for a parameter of type {kind}")
    if kind == "categorical":
        with at(f"{path}.list"):
            return CategoricalParameter(choices=tuple(texts))
    values: list[int | float] = []
    for index, text in enumerate(texts):
        with at(f"{path}.list[{index}]"):
            value = number(text)
            values.append(int(text) if text.lstrip("+-").isdigit() else value)
    with at(f"{path}.list"):
        return DiscreteParameter(choices=tuple(values))


def space_to_katib(space: Space, path: str) -> list[dict[str, Any]]:
    """The `parameters` of the Experiment that searches a space, in order of its names.

    Raises:
        ConfigError: two choices have the same text, or a parameter is conditional or of a kind unknown to Katib.
    """
    if space.conditional:
        raise ConfigError(
            f"{path}: Katib searches every parameter in every trial, but {space.conditional[0]!r} is conditional; "
            "use the embedded engine, or leave out its condition (when)"
        )
    specs = []
    for index, (name, parameter) in enumerate(space.parameters.items()):
        kind, feasible = _feasible(parameter, f"{path}[{index}]")
        specs.append({"name": name, "parameterType": kind, "feasibleSpace": feasible})
    return specs


def _feasible(parameter: AnyParameter, path: str) -> tuple[str, dict[str, Any]]:
    match parameter:
        case CategoricalParameter():
            texts = [to_text(choice) for choice in parameter.choices]
            if len(set(texts)) != len(texts):
                raise ConfigError(f"{path}: choices must differ as texts, but got {list(parameter.choices)}")
            return "categorical", {"list": texts}
        case DiscreteParameter():
            return "discrete", {"list": [to_text(value) for value in parameter.choices]}
        case FloatParameter() | IntParameter():
            normal = parameter.distribution == "normal"
            feasible = {
                "min": to_text(parameter.low),
                "max": to_text(parameter.high),
                "distribution": _DISTRIBUTIONS[parameter.log + 2 * normal],
            }
            if parameter.step is not None and (normal or not parameter.log):
                feasible["step"] = to_text(parameter.step)
            return "int" if isinstance(parameter, IntParameter) else "double", feasible


def algorithm_from_katib(spec: Mapping[str, Any]) -> tuple[Algorithm, int | None]:
    """The algorithm that `spec.algorithm` of an Experiment names, and the seed that its settings give."""
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
    """The rule that `spec.earlyStopping` of an Experiment names, or that no trial is stopped where there is none."""
    if spec is None:
        return NoStopping()
    path = "spec.earlyStopping"
    name = one_of(spec.get("algorithmName"), [MEDIAN_STOP], f"{path}.algorithmName")
    known = STOPPING_SETTINGS[name].model_fields
    settings = _settings(name, spec.get("algorithmSettings"), known, f"{path}.algorithmSettings")
    stopping: EarlyStopping = _made(stopping_named, name, settings, path)
    return stopping


def _made(
    make: Callable[[str, Mapping[str, Any]], Any], name: str, settings: Mapping[str, tuple[str, str]], path: str
) -> Any:
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


def _settings(algorithm: str, given: Any, known: Collection[str], path: str) -> dict[str, tuple[str, str]]:
    """Texts by name, each with the path of the field that it was read from."""
    settings: dict[str, tuple[str, str]] = {}
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

    Settings with their default are left out: some services refuse what others take, and a record has them all.
    """
    algorithm = experiment.algorithm
    settings: dict[str, Scalar] = dict(sorted(algorithm.settings.model_dump(exclude_defaults=True).items()))
    for name in _PODIUM_ONLY:
        if name in settings:
            raise ConfigError(
                f"spec.algorithm: Katib has no setting {name!r} of {algorithm.name!r}; leave it out"
                + (" and use the algorithm 'multivariate-tpe'" if name == "multivariate" else "")
            )
    if algorithm.name not in _UNSEEDED:
        settings[_SEED] = experiment.seed
    # Two services know tpe: hyperopt's is the default, but only Optuna's takes `n_startup_trials`.
    hyperopt = algorithm.name == "tpe" and "n_startup_trials" not in settings
    spelling = {"n_ei_candidates": "n_EI_candidates"} if hyperopt else {}
    written = [{"name": spelling.get(name, name), "value": to_text(value)} for name, value in settings.items()]
    return {"algorithmName": algorithm.name, **({"algorithmSettings": written} if written else {})}


def check_budgets(experiment: Experiment) -> None:
    """Refuse budgets that Katib's suggestion services do not take, though the engine of this machine would."""
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


def stopping_to_katib(stopping: EarlyStopping) -> dict[str, Any] | None:
    """A rule as Katib writes it; None where no trial is stopped."""
    if stopping.name == "none":
        return None
    if stopping.name != MEDIAN_STOP:
        raise ConfigError(f"spec.earlyStopping: Katib has no rule {stopping.name!r}; use {MEDIAN_STOP!r}")
    settings = stopping.settings.model_dump()
    written = [{"name": name, "value": to_text(value)} for name, value in settings.items()]
    return {"algorithmName": stopping.name, "algorithmSettings": written}

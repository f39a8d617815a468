from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from podium.config.fields import explain
from podium.config.parameters import CategoricalParameter, DiscreteParameter, FloatParameter, IntParameter, Parameter
from podium.config.search import HpoConfig, algorithm_named
from podium.errors import ConfigError
from podium.hpo.experiment import Experiment, Objective, Progress, Space
from podium.records import TrialRecord

from .support import SPACE, experiment


def test_it_is_built_from_the_config() -> None:
    config = HpoConfig(
        algorithm=algorithm_named("tpe", {"n_startup_trials": 4.0, "multivariate": False}),
        space={
            "learning_rate": FloatParameter(low=1e-5, high=1e-3, log=True),
            "batch_size": CategoricalParameter(choices=(8, 16)),
        },
        goal=0.9,
        max_trials=5,
        max_failed_trials=1,
    )
    built = Experiment.from_config("bbc-tiny", config, "macro_f1", seed=7, cores=2)
    assert built.objective == Objective(metric="macro_f1", direction="maximize", goal=0.9)
    assert built.algorithm == algorithm_named("tpe", {"multivariate": False, "n_startup_trials": 4})
    assert list(built.space.parameters) == ["batch_size", "learning_rate"]
    assert (built.max_trials, built.parallel_trials, built.max_failed_trials, built.seed) == (5, 2, 1, 7)
    fewer = Experiment.from_config("bbc-tiny", config.model_copy(update={"parallel_trials": 9}), "macro_f1", 7, 2)
    assert fewer.parallel_trials == 5


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("tpee", {}, "algorithm.name must be one of random, grid, sobol, tpe.*, but got 'tpee'; did you mean tpe?"),
        ("annealing", {}, "must be one of .*, cmaes, hyperband, but got 'annealing'$"),
        ("hyperband", {"r_l": 9}, "algorithm.settings.resource_name must be given"),
        ("cmaes", {"restart_strategy": "ipopp"}, "must be 'none', 'ipop' or 'bipop', but got 'ipopp'"),
        ("cmaes", {"sigma": math.inf}, "algorithm.settings.sigma must be a finite number, but got inf"),
        ("tpe", {"n_startup_trial": 3}, "unknown key .*n_startup_trial; did you mean .*settings.n_startup_trials?"),
        ("random", {"seed": 3}, "unknown key algorithm.settings.seed; did you mean seed?"),
        ("sobol", {"scramble": 1}, "unknown key .*settings.scramble; algorithm.settings takes no keys"),
        ("tpe", {"n_startup_trials": 2.5}, "algorithm.settings.n_startup_trials must be a whole number, but got 2.5"),
        ("tpe", {"n_startup_trials": True}, "must be a whole number, but got 'true'"),
        ("tpe", {"n_ei_candidates": 0}, "n_ei_candidates must be greater than 0, but got 0"),
        ("tpe", {"multivariate": 3}, "multivariate must be true or false, but got 3"),
    ],
)
def test_unknown_algorithms_and_settings_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        HpoConfig(algorithm={"name": name, "settings": settings}, space=SPACE.parameters)
    assert re.search(message, "; ".join(explain(error.value, root=HpoConfig)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_trials": 0}, "max_trials must be greater than 0, but got 0"),
        ({"parallel_trials": 0}, "parallel_trials must be greater than 0, but got 0"),
        ({"max_failed_trials": -1}, "max_failed_trials must be greater than or equal to 0, but got -1"),
    ],
)
def test_budgets_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        experiment(**changes)
    assert explain(error.value, root=Experiment) == [message]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"direction": "up"}, "direction must be 'maximize' or 'minimize', but got 'up'"),
        ({"goal": math.nan}, "goal must be a finite number, but got nan"),
        ({"metric": ""}, "metric must be a text that is not empty, but got ''"),
        ({"additional_metrics": ["score"]}, r"metrics must have different names, but got \['score', 'score'\]"),
        ({"strategies": {"scor": "max"}}, "a strategy is for a metric of the objective, but got 'scor'; did you mean"),
    ],
)
def test_objectives_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Objective(**{"metric": "score", **values})
    assert re.search(message, "; ".join(explain(error.value, root=Objective)))


@pytest.mark.parametrize(
    ("direction", "score", "reached"),
    [("maximize", 0.8, False), ("maximize", 0.9, True), ("minimize", 0.8, True), ("minimize", 1.0, False)],
)
def test_a_goal_is_reached_from_its_side(direction: Any, score: float, reached: bool) -> None:
    assert Objective(metric="score", direction=direction, goal=0.9).reached(score) is reached
    assert not Objective(metric="score", direction=direction).reached(score)


def record(number: int, status: Any, score: float | None = None) -> TrialRecord:
    return TrialRecord(number=number, params={}, status=status, score=score)


@pytest.mark.parametrize(
    ("trials", "outcome"),
    [
        ([], None),
        ([record(0, "succeeded", 0.1), record(1, "running")], None),
        ([record(0, "succeeded", 0.1), record(1, "failed"), record(2, "pruned")], "budget"),
        ([record(0, "failed"), record(1, "failed")], "failures"),
        ([record(0, "failed"), record(1, "failed"), record(2, "succeeded", 0.9)], "goal"),
        ([record(0, "succeeded", 0.9)], "goal"),
        ([record(0, "pruned", 0.9)], None),
        ([record(0, "failed"), record(1, "succeeded", 0.1), record(2, "failed")], "failures"),
    ],
)
def test_the_order_in_which_a_study_ends(trials: list[TrialRecord], outcome: str | None) -> None:
    study = experiment(
        max_trials=3, max_failed_trials=1, objective=Objective(metric="score", direction="maximize", goal=0.9)
    )
    assert Progress(study, trials).outcome == outcome


finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def float_parameters(draw: st.DrawFn) -> FloatParameter:
    low, high = sorted((draw(finite), draw(finite)))
    if low > 0 and draw(st.booleans()):
        return FloatParameter(low=low, high=high, log=True)
    step = draw(st.none() | st.sampled_from([0.05, 0.1, 0.25, 1.0, 3.0]))
    if step is None:
        return FloatParameter(low=low, high=high)
    base = draw(st.integers(-100, 100)) / 20
    return FloatParameter(low=base, high=base + draw(st.integers(0, 200)) / 20, step=step)


@st.composite
def int_parameters(draw: st.DrawFn) -> IntParameter:
    low, high = sorted((draw(st.integers(-1000, 1000)), draw(st.integers(-1000, 1000))))
    if low > 0 and draw(st.booleans()):
        return IntParameter(low=low, high=high, log=True)
    return IntParameter(low=low, high=high, step=draw(st.integers(1, 50)))


scalars = st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 1.5]) | st.text(max_size=3)
categorical_parameters = st.lists(scalars, min_size=1, unique_by=lambda value: (type(value), value)).map(
    lambda choices: CategoricalParameter(choices=tuple(choices))
)
parameters = float_parameters() | int_parameters() | categorical_parameters
spaces = st.dictionaries(st.text(min_size=1, max_size=5), parameters, min_size=1, max_size=4).map(
    lambda found: Space(parameters=found)
)


def inside(parameter: Parameter, share: float) -> bool | int | float | str:
    """A value of the parameter, `share` of the way from its first to its last."""
    match parameter:
        case CategoricalParameter():
            return parameter.choices[round(share * (len(parameter.choices) - 1))]
        case IntParameter():
            return parameter.low + round(share * ((parameter.top - parameter.low) // parameter.step)) * parameter.step
        case FloatParameter(step=None):
            return parameter.low * (1 - share) + parameter.high * share
        case FloatParameter():
            count = (Decimal(str(parameter.top)) - Decimal(str(parameter.low))) / Decimal(str(parameter.step))
            return parameter.low + round(share * float(count)) * (parameter.step or 0.0)
    raise AssertionError(parameter)


@given(space=spaces, share=st.floats(0, 1))
def test_values_inside_are_taken_and_have_one_form(space: Space, share: float) -> None:
    params = {name: inside(parameter, share) for name, parameter in space.parameters.items()}
    normal = space.normalise(params)
    assert list(normal) == sorted(params)
    for name, value in params.items():
        if isinstance(value, float):
            assert math.isclose(normal[name], value, rel_tol=1e-9, abs_tol=1e-9)
        else:
            assert normal[name] == value
    assert space.normalise(json.loads(json.dumps(normal))) == normal


@given(parameter=float_parameters() | int_parameters(), excess=st.floats(1, 1e6))
def test_values_outside_are_refused(parameter: FloatParameter | IntParameter, excess: float) -> None:
    above = parameter.high + math.ceil(excess) * max(1, abs(round(parameter.high)))
    below = parameter.low - math.ceil(excess) * max(1, abs(round(parameter.low)))
    for value in (above, below, math.inf, -math.inf, math.nan):
        with pytest.raises(ValueError, match=r"must hold|is expected"):
            parameter.normalise(value)


@given(parameter=float_parameters())
def test_a_grid_ends_at_its_last_point_within_the_range(parameter: FloatParameter) -> None:
    assert parameter.low <= parameter.top <= parameter.high
    assert parameter.normalise(parameter.top) == parameter.top
    if parameter.step is not None:
        assert parameter.high - parameter.top < parameter.step + 1e-9


def test_values_take_the_declared_type() -> None:
    space = Space(
        parameters={
            "epochs": IntParameter(low=1, high=8),
            "rate": FloatParameter(low=0, high=1, step=0.1),
            "size": CategoricalParameter(choices=(8, 16)),
        }
    )
    params = space.normalise({"size": 8.0, "rate": 0.1 + 0.2, "epochs": 4.0})
    assert params == {"epochs": 4, "rate": 0.3, "size": 8}
    assert [type(value) for value in params.values()] == [int, float, int]


def test_true_is_not_one() -> None:
    assert CategoricalParameter(choices=(True, 1)).normalise(1.0) == 1
    assert CategoricalParameter(choices=(1, True)).normalise(True) is True
    with pytest.raises(ValueError, match=r"one of \[1, 2\] is expected, but got True"):
        CategoricalParameter(choices=(1, 2)).normalise(True)
    with pytest.raises(ValueError, match="whole number is expected, but got True"):
        IntParameter(low=0, high=2).normalise(True)


def test_order_of_description_does_not_matter() -> None:
    a, b = IntParameter(low=1, high=2), FloatParameter(low=0.0, high=1.0)
    assert Space(parameters={"a": a, "b": b}) == Space(parameters={"b": b, "a": a})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FloatParameter(low=2.0, high=1.0), "low <= high must hold, but got low=2.0, high=1.0"),
        (lambda: IntParameter(low=3, high=1), "low <= high must hold, but got low=3, high=1"),
        (lambda: FloatParameter(low=0.0, high=1.0, log=True), "low > 0 must hold on a log scale, but got low=0.0"),
        (lambda: FloatParameter(low=0.1, high=1.0, log=True, step=0.1), "a log scale has no step, but got step=0.1"),
        (lambda: FloatParameter(low=0.0, high=1.0, step=-0.1), "step\n.*greater than 0"),
        (lambda: FloatParameter(low=0.0, high=math.inf), "high\n.*finite number"),
        (lambda: CategoricalParameter(choices=()), "at least one value"),
        (lambda: CategoricalParameter(choices=(1, 1.0)), "1.0 is listed twice"),
        (lambda: Space(parameters={}), "at least one parameter"),
    ],
)
def test_contradictions_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"a": 1}, r"exactly the parameters of its space, \['a', 'b'\], but got \['a'\]"),
        ({"a": 1, "b": 0.5, "c": 1}, r"but got \['a', 'b', 'c'\]"),
        ({"a": 4, "b": 0.5}, "parameter 'a': low <= value <= high must hold, but got 4 with low=1, high=3"),
        ({"a": 2, "b": 0.5}, r"parameter 'a': low \+ k \* step must hold, but got 2 with low=1, step=2"),
        ({"a": 1, "b": "0.5"}, "parameter 'b': a number is expected, but got '0.5'"),
        ({"a": 1, "b": 0.55}, r"parameter 'b': low \+ k \* step must hold, but got 0.55"),
    ],
)
def test_params_of_another_space_are_refused(params: dict[str, int | float | str], message: str) -> None:
    space = Space(
        parameters={"a": IntParameter(low=1, high=3, step=2), "b": FloatParameter(low=0.0, high=1.0, step=0.1)}
    )
    with pytest.raises(ConfigError, match=message):
        space.normalise(params)


@given(parameter=parameters, share=st.floats(0, 1))
def test_the_unit_interval_maps_onto_the_values_and_back(parameter: Parameter, share: float) -> None:
    value = parameter.quantile(share)
    assert parameter.normalise(value) == value
    again = parameter.quantile(parameter.share(value))
    if isinstance(parameter, FloatParameter):
        assert math.isclose(
            float(again), float(value), rel_tol=1e-6, abs_tol=1e-6 * abs(parameter.high - parameter.low)
        )
    else:
        assert (type(again), again) == (type(value), value)
    if parameter.cells is not None and parameter.cells < 500:
        values = [parameter.quantile((cell + 0.5) / parameter.cells) for cell in range(parameter.cells)]
        assert len({(type(value), value) for value in values}) == parameter.cells
        assert values[0] == parameter.quantile(0.0)
        assert values[-1] == parameter.quantile(1.0)


@pytest.mark.parametrize(
    "parameter",
    [
        FloatParameter(low=1e-4, high=1e-1, log=True, distribution="normal"),
        IntParameter(low=8, high=64, step=8, distribution="normal"),
        DiscreteParameter(choices=(0.5, 8, 0)),
        IntParameter(low=1, high=64, log=True),
        IntParameter(low=1, high=10**16, log=True),
    ],
)
def test_quantiles_rise_and_lie_inside(parameter: Parameter) -> None:
    values = [parameter.quantile(share / 200) for share in range(201)]
    assert all(parameter.normalise(value) == value for value in values)
    assert all(math.isclose(float(parameter.quantile(parameter.share(value))), float(value)) for value in values)
    if not isinstance(parameter, DiscreteParameter):
        assert values == sorted(values, key=float)
        ends = parameter.low, parameter.high  # type: ignore[attr-defined]
        assert (values[0], values[-1]) == pytest.approx(ends, rel=1e-9)


CONDITIONAL = Space(
    parameters={
        "kind": CategoricalParameter(choices=("sgd", "adam", 1)),
        "nesterov": CategoricalParameter(choices=(True, False), when={"kind": ("sgd",)}),
        "momentum": FloatParameter(low=0.0, high=1.0, when={"nesterov": (True,)}),
        "beta": FloatParameter(low=0.5, high=1.0, when={"kind": ("adam", 1.0)}),
    },
)


@pytest.mark.parametrize(
    "params",
    [
        {"kind": "sgd", "nesterov": True, "momentum": 0.5},
        {"kind": "sgd", "nesterov": False},
        {"kind": "adam", "beta": 0.75},
        {"kind": 1, "beta": 0.75},
    ],
)
def test_a_trial_has_exactly_the_active_parameters(params: dict[str, bool | int | float | str]) -> None:
    assert CONDITIONAL.normalise(dict(reversed(params.items()))) == params
    assert list(CONDITIONAL.normalise(params)) == sorted(params)
    for name in ("momentum", "beta", "nesterov"):
        other = {**params, name: 0.5}
        if name in params:
            del other[name]
        with pytest.raises(ConfigError, match="exactly the active parameters of its space"):
            CONDITIONAL.normalise(other)


def test_conditions_are_read_from_the_config() -> None:
    space = Space(
        parameters={
            "epochs": IntParameter(low=1, high=8, when={"batch_size": (8.0, 16)}),
            "batch_size": CategoricalParameter(choices=(8, 16, 32)),
        }
    )
    assert space.conditional == ("epochs",)
    assert space.parameters["epochs"].when == {"batch_size": (8, 16)}
    assert [type(value) for value in space.parameters["epochs"].when["batch_size"]] == [int, int]
    assert space.parents_first == ("batch_size", "epochs")


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"a": {"c": (1,)}}, r"a.when.c: 'c' must be a parameter of the space, \['a', 'b'\]"),
        ({"a": {"b": (5,)}}, "a.when.b: low <= value <= high must hold, but got 5"),
        ({"a": {"b": ()}}, "a.when.b: at least one value must be listed"),
        ({"a": {"a": (1,)}}, "must not depend on each other, but got 'a' <- 'a'"),
        ({"a": {"b": (1,)}, "b": {"a": (1,)}}, "must not depend on each other, but got"),
    ],
)
def test_conditions_that_cannot_hold_are_refused(conditions: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space(parameters={name: IntParameter(low=1, high=2, when=conditions.get(name, {})) for name in "ab"})

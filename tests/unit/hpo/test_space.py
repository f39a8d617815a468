from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config.search import ParameterConfig
from podium.errors import ConfigError
from podium.hpo.space import (
    CategoricalParameter,
    Condition,
    DiscreteParameter,
    FloatParameter,
    IntParameter,
    NormalParameter,
    Parameter,
    Space,
)

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def float_parameters(draw: st.DrawFn) -> FloatParameter:
    low, high = sorted((draw(finite), draw(finite)))
    if low > 0 and draw(st.booleans()):
        return FloatParameter(low, high, log=True)
    step = draw(st.none() | st.sampled_from([0.05, 0.1, 0.25, 1.0, 3.0]))
    if step is None:
        return FloatParameter(low, high)
    base = draw(st.integers(-100, 100)) / 20
    return FloatParameter(base, base + draw(st.integers(0, 200)) / 20, step=step)


@st.composite
def int_parameters(draw: st.DrawFn) -> IntParameter:
    low, high = sorted((draw(st.integers(-1000, 1000)), draw(st.integers(-1000, 1000))))
    if low > 0 and draw(st.booleans()):
        return IntParameter(low, high, log=True)
    return IntParameter(low, high, step=draw(st.integers(1, 50)))


scalars = st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 1.5]) | st.text(max_size=3)
categorical_parameters = st.lists(scalars, min_size=1, unique_by=lambda value: (type(value), value)).map(
    lambda choices: CategoricalParameter(tuple(choices))
)
parameters = float_parameters() | int_parameters() | categorical_parameters
spaces = st.dictionaries(st.text(min_size=1, max_size=5), parameters, min_size=1, max_size=4).map(Space.of)


def inside(parameter: Parameter, share: float) -> bool | int | float | str:
    """A value of the parameter, `share` of the way from its first to its last."""
    match parameter:
        case CategoricalParameter():
            return parameter.choices[round(share * (len(parameter.choices) - 1))]
        case IntParameter():
            return parameter.low + round(share * ((parameter.top - parameter.low) // parameter.step)) * parameter.step
        case FloatParameter(step=None):
            return parameter.low + share * (parameter.high - parameter.low)
        case FloatParameter():
            count = (Decimal(str(parameter.top)) - Decimal(str(parameter.low))) / Decimal(str(parameter.step))
            return parameter.low + round(share * float(count)) * (parameter.step or 0.0)
    raise AssertionError(parameter)


@given(space=spaces, share=st.floats(0, 1))
def test_values_inside_are_taken_and_have_one_form(space: Space, share: float) -> None:
    params = {name: inside(parameter, share) for name, parameter in space.parameters}
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
    space = Space.from_config(
        {
            "epochs": ParameterConfig(type="int", low=1, high=8),
            "rate": ParameterConfig(type="float", low=0, high=1, step=0.1),
            "size": ParameterConfig(type="categorical", choices=(8, 16)),
        }
    )
    params = space.normalise({"size": 8.0, "rate": 0.1 + 0.2, "epochs": 4.0})
    assert params == {"epochs": 4, "rate": 0.3, "size": 8}
    assert [type(value) for value in params.values()] == [int, float, int]


def test_true_is_not_one() -> None:
    assert CategoricalParameter((True, 1)).normalise(1.0) == 1
    assert CategoricalParameter((1, True)).normalise(True) is True
    with pytest.raises(ValueError, match=r"one of \[1, 2\] is expected, but got True"):
        CategoricalParameter((1, 2)).normalise(True)
    with pytest.raises(ValueError, match="whole number is expected, but got True"):
        IntParameter(0, 2).normalise(True)


def test_order_of_description_does_not_matter() -> None:
    a, b = IntParameter(1, 2), FloatParameter(0.0, 1.0)
    assert Space.of({"a": a, "b": b}) == Space.of({"b": b, "a": a})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FloatParameter(2.0, 1.0), "low <= high must hold, but got low=2.0, high=1.0"),
        (lambda: IntParameter(3, 1), "low <= high must hold, but got low=3, high=1"),
        (lambda: FloatParameter(0.0, 1.0, log=True), "low > 0 must hold on a log scale, but got low=0.0"),
        (lambda: FloatParameter(0.1, 1.0, log=True, step=0.1), "a log scale has no step, but got step=0.1"),
        (lambda: FloatParameter(0.0, 1.0, step=-0.1), "step > 0 must hold, but got step=-0.1"),
        (lambda: FloatParameter(0.0, math.inf), "must be finite, but got low=0.0, high=inf"),
        (lambda: CategoricalParameter(()), "at least one choice"),
        (lambda: CategoricalParameter((1, 1.0)), "1.0 is listed twice"),
        (lambda: Space(()), "at least one parameter"),
        (lambda: Space((("a", IntParameter(1, 2)), ("a", IntParameter(1, 2)))), "names must differ"),
    ],
)
def test_contradictions_are_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
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
    space = Space.of({"a": IntParameter(1, 3, step=2), "b": FloatParameter(0.0, 1.0, step=0.1)})
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
        NormalParameter(1e-4, 1e-1, log=True),
        NormalParameter(8, 64, step=8, whole=True),
        DiscreteParameter((0.5, 8, 0)),
        IntParameter(1, 64, log=True),
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


CONDITIONAL = Space.of(
    {
        "kind": CategoricalParameter(("sgd", "adam", 1)),
        "nesterov": CategoricalParameter((True, False)),
        "momentum": FloatParameter(0.0, 1.0),
        "beta": FloatParameter(0.5, 1.0),
    },
    [
        Condition("nesterov", "kind", ("sgd",)),
        Condition("momentum", "nesterov", (True,)),
        Condition("beta", "kind", ("adam", 1.0)),
    ],
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
    space = Space.from_config(
        {
            "epochs": ParameterConfig(type="int", low=1, high=8, when={"batch_size": (8.0, 16)}),
            "batch_size": ParameterConfig(type="categorical", choices=(8, 16, 32)),
        }
    )
    assert space.conditions == (Condition("epochs", "batch_size", (8, 16)),)
    assert [type(value) for value in space.conditions[0].values] == [int, int]
    assert space.parents_first == ("batch_size", "epochs")


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([Condition("a", "c", (1,))], r"condition of 'a' on 'c': both must be parameters .*, but 'c' is none"),
        ([Condition("a", "b", (5,))], "condition of 'a' on 'b': low <= value <= high must hold, but got 5"),
        ([Condition("a", "b", ())], "condition of 'a' on 'b': at least one value must be listed"),
        ([Condition("a", "b", (1,)), Condition("a", "b", (2,))], "it must be given once; list all values in one"),
        ([Condition("a", "a", (1,))], "must not depend on each other, but got 'a' <- 'a'"),
        ([Condition("a", "b", (1,)), Condition("b", "a", (1,))], "must not depend on each other, but got"),
    ],
)
def test_conditions_that_cannot_hold_are_refused(conditions: list[Condition], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Space.of({"a": IntParameter(1, 2), "b": IntParameter(1, 2)}, conditions)

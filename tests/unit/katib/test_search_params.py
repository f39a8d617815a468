from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config.parameters import CategoricalParameter, DiscreteParameter, FloatParameter, IntParameter
from podium.errors import ConfigError
from podium.hpo.experiment import Space
from podium.katib.search import params_from_texts, to_text

SPACE = Space(
    parameters={
        "rate": FloatParameter(low=0.05, high=0.95, step=0.1),
        "size": IntParameter(low=3, high=64, step=4),
        "shift": FloatParameter(low=-1.0, high=1.0, distribution="normal"),
        "layers": DiscreteParameter(choices=(1, 2.5)),
        "flag": CategoricalParameter(choices=(True, "yes", 3)),
    }
)
TEXTS = {"rate": "0.15", "size": "7", "shift": "0.5", "layers": "2.5", "flag": "true"}


def test_texts_become_values_of_the_declared_types() -> None:
    assert params_from_texts(SPACE, TEXTS) == {"flag": True, "layers": 2.5, "rate": 0.15, "shift": 0.5, "size": 7}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("rate", "0.2", 0.25), ("rate", "1.0", 0.95), ("rate", "0.0", 0.05), ("shift", "1.7", 1.0), ("size", "8", 7)],
)
def test_a_number_beside_the_grid_or_the_range_becomes_the_nearest(name: str, text: str, value: float) -> None:
    assert params_from_texts(SPACE, {**TEXTS, name: text})[name] == pytest.approx(
        value, abs=0.05 if name == "rate" else 1e-6
    )


@given(share=st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_what_the_space_holds_comes_back(share: list[float]) -> None:
    params = {
        name: parameter.quantile(at) for (name, parameter), at in zip(SPACE.parameters.items(), share, strict=True)
    }
    texts = {name: to_text(value) for name, value in params.items()}
    assert params_from_texts(SPACE, texts) == SPACE.normalise(params)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"flag": "no"}, "parameter 'flag': one of"),
        ({"size": "many"}, "parameter 'size'"),
        ({"rate": "nan"}, "parameter 'rate'"),
        ({"other": "1"}, "a trial has exactly the parameters of its space"),
    ],
)
def test_what_is_no_value_is_refused(change: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        params_from_texts(SPACE, {**TEXTS, **change})


def test_a_missing_parameter_is_refused() -> None:
    with pytest.raises(ConfigError, match="a trial has exactly the parameters of its space"):
        params_from_texts(SPACE, {"flag": "true"})

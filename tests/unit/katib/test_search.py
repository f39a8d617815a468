"""How spaces and settings are written in Katib's words, and read back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config.parameters import CategoricalParameter, DiscreteParameter, FloatParameter, IntParameter, Parameter
from podium.config.search import Algorithm, algorithm_named
from podium.errors import ConfigError
from podium.hpo.experiment import Space
from podium.katib.experiment import KatibExperiment, from_katib, to_katib
from podium.katib.search import from_text, space_from_katib, space_to_katib, to_text
from podium.katib.template import TrialParameter, TrialTemplate
from podium.strict_yaml import kubernetes_yaml

from ..hpo.support import experiment


def katib_of(**changes: Any) -> KatibExperiment:
    study = experiment(**{"name": "study", **changes})
    names = list(study.space.parameters)
    command = [f"--{name}=${{trialParameters.{name}}}" for name in names]
    spec = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"containers": [{"name": "main"}]}}}}
    spec["spec"]["template"]["spec"]["containers"][0]["command"] = command  # type: ignore[index]
    parameters = tuple(TrialParameter(name=name, reference=name) for name in names)
    return KatibExperiment(study, TrialTemplate(primary_container="main", parameters=parameters, trial_spec=spec))


@pytest.mark.parametrize(
    ("algorithm", "names"),
    [
        (algorithm_named("tpe", {"n_ei_candidates": 9}), ["n_EI_candidates", "random_state"]),
        (
            algorithm_named("tpe", {"n_ei_candidates": 9, "n_startup_trials": 2}),
            ["n_ei_candidates", "n_startup_trials", "random_state"],
        ),
        (algorithm_named("multivariate-tpe", {"n_ei_candidates": 9}), ["n_ei_candidates", "random_state"]),
    ],
)
def test_settings_are_spelt_as_one_service_of_katib_spells_them(algorithm: Algorithm, names: list[str]) -> None:
    katib = katib_of(algorithm=algorithm)
    written = to_katib(katib)
    assert [item["name"] for item in written["spec"]["algorithm"]["algorithmSettings"]] == names
    assert from_katib(written).experiment.algorithm == algorithm


def test_an_algorithm_that_a_record_held_is_written_as_before() -> None:
    study = katib_of(algorithm=algorithm_named("tpe", {"n_ei_candidates": 9}))
    kept = type(study.experiment.algorithm).model_validate_json(study.experiment.algorithm.model_dump_json())
    assert to_katib(katib_of(algorithm=kept)) == to_katib(study)


def test_what_katib_lacks_is_not_written() -> None:
    with pytest.raises(ConfigError, match=r"spec\.algorithm: Katib has no setting 'multivariate' .*'multivariate-tpe'"):
        to_katib(katib_of(algorithm=algorithm_named("tpe", {"multivariate": True})))
    with pytest.raises(ConfigError, match="choices must differ as texts"):
        to_katib(katib_of(space=Space(parameters={"a": CategoricalParameter(choices=(1, "1"))})))


floats = st.floats(-1e6, 1e6, allow_nan=False)
bounds = st.tuples(floats, floats).filter(lambda pair: abs(pair[0] - pair[1]) > 1e-300).map(sorted)
whole_bounds = st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)).filter(lambda p: p[0] != p[1]).map(sorted)
positive = st.tuples(st.floats(1e-6, 1e3), st.floats(2e3, 1e6))
steps = st.none() | st.floats(1e-3, 10)


def float_of(bounds: tuple[float, float], **given: Any) -> FloatParameter:
    return FloatParameter(low=bounds[0], high=bounds[1], **given)


def int_of(bounds: tuple[int, int], **given: Any) -> IntParameter:
    return IntParameter(low=bounds[0], high=bounds[1], **given)


parameters: st.SearchStrategy[Parameter] = st.one_of(
    st.builds(lambda pair, step: float_of(pair, step=step), bounds, steps),
    st.builds(lambda pair: float_of(pair, log=True), positive),
    st.builds(lambda pair, step: int_of(pair, step=step), whole_bounds, st.integers(1, 9)),
    st.builds(
        lambda low, more: IntParameter(low=low, high=low + more, log=True), st.integers(1, 99), st.integers(0, 99)
    ),
    st.builds(lambda pair, step: float_of(pair, step=step, distribution="normal"), bounds, steps),
    st.builds(lambda pair, step: float_of(pair, log=True, step=step, distribution="normal"), positive, steps),
    st.builds(lambda pair: int_of(pair, distribution="normal"), whole_bounds),
    st.lists(st.integers(-99, 99) | floats, min_size=1, unique=True).map(
        lambda items: DiscreteParameter(choices=tuple(items))
    ),
    st.lists(st.text(min_size=1), min_size=1, unique=True).map(
        lambda items: CategoricalParameter(choices=tuple(items))
    ),
)


@given(
    space=st.dictionaries(st.text(min_size=1, max_size=8), parameters, min_size=1, max_size=4).map(
        lambda found: Space(parameters=found)
    )
)
def test_every_space_reads_back_as_it_was_written(space: Space) -> None:
    assert space_from_katib(space_to_katib(space, "p"), "p") == space


@given(parameter=parameters.filter(lambda item: getattr(item, "distribution", "") == "normal"), share=st.floats(0, 1))
def test_a_normal_value_lies_inside_and_is_read_back(parameter: FloatParameter | IntParameter, share: float) -> None:
    value = parameter.quantile(share)
    assert parameter.low <= value <= parameter.high
    assert parameter.normalise(value) == value
    assert from_text(parameter, to_text(value)) == value
    if parameter.step is None:
        assert parameter.share(value) == pytest.approx(share, abs=1e-4)


def test_a_normal_parameter_has_the_mean_and_deviation_of_katib() -> None:
    normal = FloatParameter(low=0.0, high=6.0, distribution="normal")
    assert normal.quantile(0.5) == pytest.approx(3.0)
    assert (normal.quantile(0.0), normal.quantile(1.0)) == pytest.approx((0.0, 6.0))
    assert normal.share(4.0) == pytest.approx(0.5 + 0.341345 / 0.997300, abs=1e-5)
    assert FloatParameter(low=1.0, high=100.0, log=True, distribution="normal").quantile(0.5) == pytest.approx(10.0)


def test_the_text_of_a_choice_is_the_choice() -> None:
    parameter = CategoricalParameter(choices=(8, True, "a"))
    assert [from_text(parameter, item) for item in ("8", "true", "a")] == [8, True, "a"]
    with pytest.raises(ValueError, match="is expected, but got '9'"):
        from_text(parameter, "9")


def test_texts_are_written_so_that_kubernetes_reads_texts() -> None:
    katib = katib_of(
        space=Space(
            parameters={
                "a": FloatParameter(low=1e-07, high=1e22),
                "b": CategoricalParameter(choices=("n", "1e3", "on")),
            }
        )
    )
    written = kubernetes_yaml(to_katib(katib))
    assert "min: '1e-07'" in written
    assert "max: '1e+22'" in written
    assert all(f"- '{choice}'" in written for choice in ("n", "1e3", "on"))
    assert from_katib(written) == katib


def test_a_normal_range_as_narrow_as_floats_go_divides_by_nothing() -> None:
    narrow = FloatParameter(low=0.0, high=5e-324, distribution="normal")
    assert all(narrow.low <= narrow.quantile(share) <= narrow.high for share in (0.0, 0.5, 1.0))
    assert [narrow.share(value) for value in (narrow.low, narrow.high)] == [0.0, 1.0]

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from podium.config.entrants import search_of
from podium.config.parameters import FloatParameter
from podium.config.schema import PodiumConfig
from podium.config.search import HpoConfig

LEARNING_RATE = {"type": "float", "low": 1e-5, "high": 1e-3, "log": True}


def build(**changes: Any) -> PodiumConfig:
    values: dict[str, Any] = {
        "dataset": {"name": "x", "path": "/x", "task": "text-classification"},
        "entrants": {"tiny": {"path": "/tiny"}},
        "hpo": {"space": {"learning_rate": LEARNING_RATE}},
    }
    for name, value in changes.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    return PodiumConfig.model_validate(values)


def test_the_metric_is_the_first_of_the_task_unless_given() -> None:
    assert build().hpo.metric == "macro_f1"
    assert build(dataset={"task": "ner"}).hpo.metric == "f1"
    assert build(hpo={"metric": "accuracy"}).hpo.metric == "accuracy"


@given(st.text())
@example("it's a:b/c@d")
@example("..")
@example("  ")
def test_every_data_set_gives_a_name_that_its_model_can_be_registered_under(name: str) -> None:
    made = build(dataset={"name": name}).model_name
    assert build(tracking={"model_name": made}).model_name == made
    assert not set("'\"/:@\n").intersection(made)


def test_data_keep_their_name_where_a_model_may_have_it() -> None:
    assert build(dataset={"name": "film reviews-2.v1 äöü"}).model_name == "film reviews-2.v1 äöü"
    assert build(dataset={"name": "it's a:b"}).model_name == "it-s a-b"


@pytest.mark.parametrize("name", ["", "a:b", "a/b", "it's", "a@champion", ".hidden", " x", "x" * 101])
def test_a_name_no_model_can_have_is_refused_with_one_that_would_do(name: str) -> None:
    with pytest.raises(ValidationError, match=r"tracking\.model_name(.|\n)*but got .*would do"):
        build(tracking={"model_name": name})


def test_linear_models_alone_need_no_space() -> None:
    alone = build(entrants={"tiny": {"path": None, "kind": "linear"}}, hpo={"space": {}})
    assert alone.hpo.space == {} and "C" in search_of(alone, "tiny").space
    PodiumConfig.model_validate({"dataset": alone.dataset.model_dump(), "entrants": {"linear": {"kind": "linear"}}})
    with pytest.raises(ValidationError, match=r"hpo\.space must name at least one parameter, since entrants\.big is a"):
        build(entrants={"tiny": {"path": None, "kind": "linear"}, "big": {"path": "/big"}}, hpo={"space": {}})


def test_choices_take_the_type_of_their_field() -> None:
    space = {
        "batch_size": {"type": "categorical", "choices": [8.0, 16]},
        "learning_rate": {"type": "categorical", "choices": [1, 2.5]},
        "dropout": {"type": "categorical", "choices": [0, 0.5]},
    }
    found = build(hpo={"space": space}).hpo.space
    assert [type(choice) for choice in found["batch_size"].choices or ()] == [int, int]
    assert [type(choice) for choice in found["learning_rate"].choices or ()] == [float, float]
    assert [type(choice) for choice in found["dropout"].choices or ()] == [float, float]


def test_conditions_take_the_type_of_the_field_they_name() -> None:
    space = {
        "batch_size": {"type": "categorical", "choices": [8, 16]},
        "dropout": {"type": "float", "low": 0, "high": 0.5, "when": {"batch_size": [8.0]}},
    }
    when = build(hpo={"space": space}).hpo.space["dropout"].when
    assert when == {"batch_size": (8,)}
    assert type(when["batch_size"][0]) is int


def test_whole_settings_are_integers_however_they_were_written() -> None:
    settings = build(hpo={"algorithm": {"name": "tpe", "settings": {"n_startup_trials": 10.0}}}).hpo.algorithm.settings
    assert type(settings.n_startup_trials) is int


def test_validating_a_config_twice_changes_nothing() -> None:
    config = build()
    assert PodiumConfig.model_validate(config.model_dump()) == config


def test_a_space_of_linear_models_takes_the_types_of_their_fields() -> None:
    space = {
        "C": {"type": "discrete", "choices": [1, 10]},
        "analyzer": {"type": "categorical", "choices": ["word", "char_wb"]},
        "max_features": {"type": "categorical", "choices": [1000.0, 20000], "when": {"C": [10]}},
    }
    found = build(hpo={"linear_space": space}).hpo.linear_space
    assert [type(choice) for choice in found["C"].choices or ()] == [float, float]
    assert [type(choice) for choice in found["max_features"].choices or ()] == [int, int]
    assert found["max_features"].when == {"C": (10.0,)}
    assert found["analyzer"].choices == ("word", "char_wb")
    assert build().hpo.linear_space == {}


@pytest.mark.parametrize(
    ("task", "field"), [("ner", "window"), ("text-classification", "min_df"), ("multi-label", "min_df")]
)
def test_a_space_of_linear_models_names_what_has_an_effect_for_the_task(task: str, field: str) -> None:
    space = {field: {"type": "int", "low": 1, "high": 3}}
    assert build(dataset={"task": task}, hpo={"linear_space": space}).hpo.linear_space[field].high == 3
    other = "text-classification" if task == "ner" else "ner"
    with pytest.raises(ValidationError) as caught:
        build(dataset={"task": other}, hpo={"linear_space": space})
    assert f"a space names linear fields that can be searched for {other}, but got {field!r}" in str(caught.value)


def test_entrants_may_be_of_several_kinds() -> None:
    found = build(entrants={"tiny": {"path": "/tiny"}, "quick": {"kind": "linear"}}).entrants
    assert {name: (one.kind, one.path) for name, one in found.items()} == {
        "tiny": ("transformer", "/tiny"),
        "quick": ("linear", None),
    }


def space_of(name: str, **parameter: Any) -> dict[str, Any]:
    return {"hpo": {"space": {name: parameter}}}


def linear_space_of(name: str, **parameter: Any) -> dict[str, Any]:
    return {"hpo": {"linear_space": {name: parameter}}}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (space_of("lr", type="float", low=1, high=2), "names training fields that can be searched, but got 'lr'"),
        (space_of("droput", type="float", low=0, high=0.5), "did you mean hpo.space.dropout?"),
        (space_of("learning_rate", type="float", low=-1, high=1), "training.learning_rate should be greater than 0"),
        (space_of("dropout", type="float", low=0, high=1), "hpo.space.dropout.high: training.dropout should be less"),
        (space_of("max_length", type="int", low=4, high=64), "hpo.space.max_length.low"),
        (space_of("batch_size", type="float", low=8, high=16), "set hpo.space.batch_size.type=int"),
        (space_of("batch_size", type="categorical", choices=[8, 2.5]), "valid integer"),
        (space_of("batch_size", type="categorical", choices=[8, "many"]), "but got 'many'"),
        (space_of("batch_size", type="categorical", choices=[8, True]), "but got True"),
        (space_of("max_length", type="discrete", choices=[32, 4]), "hpo.space.max_length.choices: training.max_length"),
        (space_of("batch_size", type="categorical", choices=[0]), "should be greater than 0, but got 0"),
        (space_of("learning_rate", type="float", low=2, high=1), "low <= high must hold, but got low=2.0, high=1.0"),
        (
            space_of("dropout", type="float", low=0, high=0.5, when={"batch_sise": [8]}),
            "hpo.space.dropout.when: a condition names a parameter of hpo.space, but got 'batch_sise'; these are",
        ),
        (
            space_of("dropout", type="float", low=0, high=0.5, when={"dropout": ["much"]}),
            "hpo.space.dropout.when.dropout: training.dropout should be a valid number",
        ),
        (linear_space_of("c", type="float", low=1, high=2), "hpo.linear_space.c: a space names linear fields"),
        (linear_space_of("min_dff", type="int", low=1, high=2), "did you mean hpo.linear_space.min_df?"),
        (linear_space_of("learning_rate", type="float", low=1, high=2), "but got 'learning_rate'; these are C,"),
        (linear_space_of("epochs", type="int", low=1, high=2), "can be searched for text-classification, but got"),
        (
            linear_space_of("C", type="float", low=0, high=1),
            "hpo.linear_space.C.low: linear.C should be greater",
        ),
        (linear_space_of("min_df", type="float", low=1, high=2), "set hpo.linear_space.min_df.type=int"),
        (
            linear_space_of("analyzer", type="categorical", choices=["words"]),
            "hpo.linear_space.analyzer.choices: linear.analyzer should be 'word' or 'char_wb', but got 'words'",
        ),
        (
            linear_space_of("min_df", type="int", low=1, high=2, when={"dropout": [0.1]}),
            "hpo.linear_space.min_df.when: a condition names a parameter of hpo.linear_space, but got 'dropout'",
        ),
        ({"hpo": {"space": {}}}, "hpo.space must name at least one parameter, since entrants.tiny is a transformer"),
        ({"hpo": {"metric": "f1"}}, "must be one of macro_f1, accuracy for dataset.task=text-classification"),
        ({"hpo": {"engine": "katib", "warm_start": ["abc"]}}, "Katib knows no trials of another study"),
        ({"hpo": {"max_trials": 2, "max_failed_trials": 3}}, "max_failed_trials <= max_trials must hold"),
        ({"hpo": {"fold_models": "best", "engine": "katib"}}, "fold_models=best needs engine=embedded"),
        ({"hpo": {"max_trials": 3}, "selection": {"min_trials": 4}}, "selection.min_trials <= hpo.max_trials"),
        (
            {"entrants": {"x": {"kind": "forest"}}},
            "entrants.x.kind must be one of transformer, linear, llm, but got 'forest'",
        ),
        ({"entrants": {"x": {"kind": "liner"}}}, "did you mean"),
        ({"entrants": {"x": {"kind": "linear", "path": "/x"}}}, "entrants.x.path: a linear model starts from nothing"),
        ({"entrants": {"x": {"kind": "linear", "revision": "v1"}}}, "entrants.x.revision: a linear model starts from"),
        (
            {"entrants": {"x": {"kind": "linear", "trust_remote_code": True}}},
            "entrants.x.trust_remote_code: a linear model starts from nothing",
        ),
        ({"entrants": {"x": {}}}, "entrants.x.path: a transformer starts from a pretrained model; give a directory"),
        ({"entrants": {"x": {"kind": "transformer"}}}, "entrants.x.path: a transformer starts from a pretrained model"),
        ({"linear": {"C": 0}}, "greater than 0"),
        ({"entrants": {"My_Model": {"path": "x"}}}, "got 'My_Model'"),
        ({"entrants": {"a" * 41: {"path": "x"}}}, "at most 40"),
        ({"entrants": {"1b": {"path": "x"}}}, "starts with a letter"),
        ({"entrants": {"a/b": {"path": "x"}}}, "got 'a/b'"),
        ({"dataset": {"validation_fraction": 0.5, "test_fraction": 0.5}}, "leave rows to train on"),
        ({"selection": {"promotion": {"force": True}}}, "states its reason"),
        (
            {"hpo": {"max_trials": 3}, "selection": {"promotion": {"min_trials": 4}}},
            "selection.promotion.min_trials <= hpo.max_trials",
        ),
        ({"benchmark": {"variants": ["eager", "eager"]}}, "items must not repeat"),
        ({"selection": {"constraints": {"memory_mb": 0}}}, "greater than 0"),
        (
            {"selection": {"constraints": {"latency_p95_ms": 8}}, "benchmark": {"repetitions": 1, "samples": 199}},
            "selection.constraints.latency_p95_ms needs 200 latency samples",
        ),
        (
            {"selection": {"cost": "latency_p95_ms"}, "benchmark": {"repetitions": 1, "samples": 199}},
            "selection.cost=latency_p95_ms needs 200 latency samples",
        ),
        ({"selection": {"confidence": 0.99, "resamples": 100}}, "no p-value can fall below 0.02"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        build(**changes)
    assert says in str(caught.value)


def test_contradictions_between_sections_are_all_listed() -> None:
    with pytest.raises(ValidationError) as caught:
        build(hpo={"metric": "f1", "max_trials": 3}, selection={"min_trials": 4}, entrants={"A": {"path": "x"}})
    text = str(caught.value)
    assert all(part in text for part in ("hpo.metric", "selection.min_trials", "entrants.A"))


def test_epochs_of_trials_have_one_source() -> None:
    epochs = FloatParameter(low=1, high=2)
    HpoConfig(space={"epochs": epochs})
    with pytest.raises(ValidationError, match="leave out one"):
        HpoConfig(space={"epochs": epochs}, epochs=1.0)


def test_no_entrant_is_refused() -> None:
    values = build().model_dump()
    with pytest.raises(ValidationError, match="entrants must name at least one model"):
        PodiumConfig.model_validate({**values, "entrants": {}})


def test_a_truth_value_is_no_number() -> None:
    with pytest.raises(ValidationError, match="valid integer"):
        build(hpo={"max_trials": True})
    with pytest.raises(ValidationError, match="valid number"):
        build(training={"dropout": True})


def test_one_trial_is_possible() -> None:
    assert build(hpo={"max_trials": 1, "max_failed_trials": 1}).hpo.max_trials == 1

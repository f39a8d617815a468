"""The linear kind: what it fits is what scikit-learn fits, to the precision of 32 bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from podium.config.parameters import FloatParameter
from podium.config.schema import DatasetConfig, EntrantConfig, LinearConfig
from podium.data.artifact import DataArtifact
from podium.data.prepare import prepare
from podium.entrants.linear import LINEAR, LinearSpec
from podium.entrants.linear_training import NEVER, LinearModel, fit, load
from podium.errors import DataError, OutOfMemory
from podium.evaluation.metrics import score
from podium.evaluation.predictions import Predictions
from podium.models.linear_package import LinearPackage, word_features
from podium.tasks import TASKS
from podium.tasks.base import Training
from tests.unit.conftest import TAGS, TEXT_LABELS, bbc_rows, conll_rows
from tests.unit.entrants.conformance import EntrantConformance, config_of

TEXT, MULTI, NER = (TASKS.get(name) for name in ("text-classification", "multi-label", "ner"))
STRANGE = [
    "",
    " ",
    "zzz unheard-of",
    "İSTANBUL ΟΔΟΣ straße",
    "日本 の 記事",
    "e\u0301 \u200b \ufeff",
    "A\x1cB",
    "the " * 500,
]


class TestLinear(EntrantConformance):
    kind = LINEAR

    @pytest.fixture
    def spec(self, bbc: Path, tmp_path: Path) -> LinearSpec:
        return spec_of("text-classification", TEXT_LABELS, bbc, tmp_path / "out", "accuracy")

    @pytest.fixture
    def entry(self) -> EntrantConfig:
        return EntrantConfig(kind="linear")


def spec_of(task: str, labels: tuple[str, ...], data: Path, output: Path, metric: str, **fields: Any) -> LinearSpec:
    return LinearSpec(
        **{"task": task, "labels": labels, "data": data, "output": output, "metric": metric, "config": LinearConfig()},
        **{"seed": 7, "cache": output, **fields},
    )


def package(model: LinearModel, folder: Path) -> LinearPackage:
    model.save(folder)
    return LinearPackage(folder)


def texts(count: int) -> tuple[list[str], list[int]]:
    columns = bbc_rows(count)
    return columns["text"], columns["label"]


@pytest.mark.parametrize(
    "config",
    [
        LinearConfig(),
        LinearConfig(C=0.3, word_ngrams=1, min_df=3, class_weights="balanced"),
        LinearConfig(analyzer="char_wb", char_ngrams=4, max_features=2000),
    ],
    ids=["default", "words", "characters"],
)
def test_logits_of_texts_are_those_of_scikit_learn(config: LinearConfig, tmp_path: Path) -> None:
    contents, targets = texts(12)
    del contents[7], targets[7]  # classes of unequal size
    word = config.analyzer == "word"
    theirs = make_pipeline(
        TfidfVectorizer(
            analyzer=config.analyzer,
            ngram_range=(1, config.word_ngrams) if word else (2, config.char_ngrams),
            token_pattern=r"\S+" if word else None,
            sublinear_tf=True,
            min_df=config.min_df,
            max_features=config.max_features,
        ),
        LogisticRegression(
            C=config.C, solver="newton-cg", class_weight=None if config.class_weights == "none" else "balanced"
        ),
    ).fit(contents, targets)
    own = package(fit(TEXT, TEXT_LABELS, Training(contents, targets), config, seed=1), tmp_path)
    asked = [*STRANGE, *contents[:20]]
    assert np.array(own.logits(asked)) == pytest.approx(theirs.decision_function(asked), rel=1e-5, abs=1e-5)
    probabilities = TEXT.decode([TEXT.reduce(row) for row in own.logits(asked)], TEXT_LABELS).probabilities
    assert probabilities == pytest.approx(theirs.predict_proba(asked), abs=1e-6)


def test_the_difference_of_two_logits_is_the_decision_function(tmp_path: Path) -> None:
    contents, targets = texts(10)
    rows = [(text, label) for text, label in zip(contents, targets, strict=True) if label in (1, 3)]
    training = Training([text for text, _ in rows], [label for _, label in rows])
    own = package(fit(TEXT, TEXT_LABELS, training, LinearConfig(), seed=1), tmp_path)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True)
    theirs = make_pipeline(vectorizer, LogisticRegression(C=10, solver="newton-cg")).fit(*training)
    logits = np.array(own.logits([*STRANGE, *contents]))
    assert logits[:, 3] - logits[:, 1] == pytest.approx(theirs.decision_function([*STRANGE, *contents]), abs=1e-5)
    assert (logits[:, [0, 2, 4]] == NEVER).all(), "labels that no row has"
    probabilities = TEXT.decode([TEXT.reduce(row) for row in logits], TEXT_LABELS).probabilities
    assert (probabilities[:, [0, 2, 4]] == 0).all()


def test_logits_of_several_labels_are_those_of_one_model_each(topics: Path, tmp_path: Path) -> None:
    data = DataArtifact(topics)
    rows = data.development
    training = Training(list(rows["text"]), list(rows["labels"]))
    own = package(fit(MULTI, data.labels, training, LinearConfig(), seed=1), tmp_path)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True)
    theirs = make_pipeline(vectorizer, OneVsRestClassifier(LogisticRegression(C=10, solver="newton-cg")))
    theirs.fit(training.contents, MULTI.truth(training.targets, data.labels))
    asked = [*STRANGE, *data.test["text"]]
    assert np.array(own.logits(asked)) == pytest.approx(theirs.decision_function(asked), abs=1e-5)


def test_labels_that_every_row_or_none_has_are_certain(tmp_path: Path) -> None:
    training = Training(["a b", "c d", "a c"], [[0, 2], [0], [0, 2]])
    for weights in ("none", "balanced"):
        model = fit(MULTI, ("always", "never", "some"), training, LinearConfig(class_weights=weights), seed=1)
        logits = np.array(package(model, tmp_path).logits(["a b", "x"]))
        assert (logits[:, 0] == -NEVER).all() and (logits[:, 1] == NEVER).all() and abs(logits[:, 2]).max() < 10


def test_logits_of_words_are_those_of_scikit_learn(tmp_path: Path) -> None:
    columns = conll_rows(150)
    training, config = Training(columns["tokens"], columns["tags"]), LinearConfig(C=2.0, window=1, epochs=4)
    own = package(fit(NER, TAGS, training, config, seed=11), tmp_path)
    names = [feature for sentence in training.contents for feature in word_features(sentence, 1)]
    theirs = make_pipeline(
        CountVectorizer(analyzer=lambda features: features, dtype=np.float64),
        SGDClassifier(loss="log_loss", alpha=1 / (2 * len(names)), max_iter=4, tol=None, random_state=11),
    ).fit(names, np.concatenate(training.targets))
    asked = [*columns["tokens"][:30], ["İstanbul", "日本", "\u200b"], ["unheard-of"]]
    logits = np.concatenate(own.logits(asked))
    own_classes = theirs.classes_.tolist()
    expected = theirs.decision_function([feature for sentence in asked for feature in word_features(sentence, 1)])
    assert logits[:, own_classes] == pytest.approx(expected, rel=1e-5, abs=1e-4)
    never = [label for label in range(len(TAGS)) if label not in own_classes]
    assert (logits[:, never] == NEVER).all()


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_rows_of_one_class_give_that_class(class_weights: Any, tmp_path: Path) -> None:
    config = LinearConfig(class_weights=class_weights)
    text = package(fit(TEXT, ("a", "b"), Training(["x y", "z"], [1, 1]), config, seed=1), tmp_path / "text")
    assert text(["x", "unknown"]) == ["b", "b"]
    assert TEXT.reduce(text.logits(["x"])[0]).tolist() == [0, 1]
    words = package(fit(NER, TAGS, Training([["x", "y"]], [[0, 0]]), config, seed=1), tmp_path / "words")
    assert words([["x", "Rome"]]) == [["O", "O"]]


def test_without_a_term_in_enough_texts_the_shares_of_the_classes_are_left(tmp_path: Path) -> None:
    for min_df in (3, 99):
        model = fit(TEXT, ("a", "b"), Training(["x", "y", "z"], [1, 1, 0]), LinearConfig(min_df=min_df), seed=1)
        logits = package(model, tmp_path).logits(["x"])[0]
        assert TEXT.reduce(logits) == pytest.approx([1 / 3, 2 / 3])


def test_weights_of_classes_are_those_of_scikit_learn(tmp_path: Path) -> None:
    columns = conll_rows(60)
    training = Training(columns["tokens"], columns["tags"])
    config = LinearConfig(class_weights="balanced", window=0, epochs=3)
    names = [feature for sentence in training.contents for feature in word_features(sentence, 0)]
    theirs = make_pipeline(
        CountVectorizer(analyzer=lambda features: features, dtype=np.float64),
        SGDClassifier(
            loss="log_loss",
            alpha=1 / (10 * len(names)),
            max_iter=3,
            tol=None,
            random_state=1,
            class_weight="balanced",
        ),
    ).fit(names, np.concatenate(training.targets))
    logits = np.concatenate(package(fit(NER, TAGS, training, config, seed=1), tmp_path).logits(training.contents))
    assert logits[:, theirs.classes_] == pytest.approx(theirs.decision_function(names), rel=1e-4, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=4, max_size=8), st.sampled_from(["word", "char_wb"]))
def test_any_texts_can_be_fitted_and_give_scikit_learns_logits(
    tmp_path_factory: pytest.TempPathFactory, contents: list[str], analyzer: Any
) -> None:
    training = Training(contents, [row % 3 for row in range(len(contents))])
    model = fit(TEXT, ("a", "b", "c"), training, LinearConfig(analyzer=analyzer, char_ngrams=3), seed=1)
    own = package(model, tmp_path_factory.mktemp("model"))
    vectorizer = TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=(1, 2) if analyzer == "word" else (2, 3),
        token_pattern=r"\S+" if analyzer == "word" else None,
        sublinear_tf=True,
    )
    if not model.inputs.vocabulary:
        return
    theirs = make_pipeline(vectorizer, LogisticRegression(C=10, solver="newton-cg")).fit(*training)
    assert np.array(own.logits(contents)) == pytest.approx(theirs.decision_function(contents), rel=1e-5, abs=1e-5)


def test_learns_entities_and_keeps_a_share_of_its_rows(conll: Path, tmp_path: Path) -> None:
    spec = spec_of("ner", TAGS, conll, tmp_path, "f1")
    result = LINEAR.train(spec)
    assert result.metrics["f1"] > 0.3 and set(result.metrics) == {"f1", "precision", "recall", "token_accuracy"}
    assert (result.epoch, result.steps) == (10, 10)
    half = LINEAR.train(spec.model_copy(update={"data_fraction": 0.2}))
    assert half.metrics["f1"] < result.metrics["f1"]
    card = (tmp_path / "model" / "README.md").read_text()
    assert "Linear model by Podium" in card and "| train rows | 32 |" in card and "LinearPackage" in card


def test_learns_several_labels(topics: Path, tmp_path: Path) -> None:
    labels = DataArtifact(topics).labels
    result = LINEAR.train(spec_of("multi-label", labels, topics, tmp_path, "micro_f1"))
    assert result.metrics["micro_f1"] > 0.9
    assert Predictions.load(tmp_path / "predictions").probabilities is not None


@pytest.mark.parametrize("task", [TEXT, NER])
def test_seed_and_threads(task: Any, tmp_path: Path) -> None:
    columns = conll_rows(80) if task is NER else bbc_rows(8)
    training = Training(columns[task.content], columns[task.target])
    labels = TAGS if task is NER else TEXT_LABELS

    def coefficients(seed: int, threads: int = 1) -> Any:
        return fit(task, labels, training, LinearConfig(), seed, threads).solution.coefficients

    assert np.array_equal(coefficients(1), coefficients(1, threads=2))
    assert np.array_equal(coefficients(1), coefficients(2)) == (task is TEXT), "only words are gone through at random"


def test_only_what_a_task_uses_can_be_tuned() -> None:
    assert LINEAR.tunable(TEXT) == LINEAR.tunable(MULTI)
    assert "window" in LINEAR.tunable(NER) and "window" not in LINEAR.tunable(TEXT)
    assert "min_df" in LINEAR.tunable(TEXT) and "min_df" not in LINEAR.tunable(NER)


def test_a_config_may_give_the_space_and_an_entry_no_path() -> None:
    config = config_of("ner")
    own = {"C": FloatParameter(low=1, high=2)}
    given = config.model_copy(update={"hpo": config.hpo.model_copy(update={"linear_space": own})})
    assert LINEAR.space_in(given) == own != LINEAR.space_in(config)
    assert "leave it out" in str(LINEAR.check_entry(EntrantConfig(kind="linear", path="bert")))


def test_a_lack_of_memory_says_what_to_lower(bbc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("podium.entrants.linear_training.fit", exhausted)
    with pytest.raises(OutOfMemory, match="lower max_features"):
        LINEAR.train(spec_of("text-classification", TEXT_LABELS, bbc, tmp_path, "accuracy"))


def test_data_without_rows_to_score_is_refused(bbc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DataArtifact, "test", property(lambda self: self.train.select([])))
    with pytest.raises(DataError, match="rows to train on and to score"):
        LINEAR.train(spec_of("text-classification", TEXT_LABELS, bbc, tmp_path, "accuracy"))


def test_a_package_holds_no_pickle_and_is_for_its_task(bbc: Path, tmp_path: Path) -> None:
    LINEAR.train(spec_of("text-classification", TEXT_LABELS, bbc, tmp_path, "accuracy"))
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["README.md", "linear.json", "model.safetensors"]
    about = json.loads((tmp_path / "model" / "linear.json").read_text())
    assert (about["task"], about["decoding"], about["labels"]) == ("text-classification", "single", list(TEXT_LABELS))
    with pytest.raises(Exception, match="must be that of the data"):
        load(tmp_path / "model", "ner", TAGS)
    with pytest.raises(Exception, match="labels must be those"):
        load(tmp_path / "model", "text-classification", ("a", "b"))


def refitted(rows: Path, task: str, folder: Path) -> Predictions:
    """Predictions of the test rows of a file by a model that was refitted on the others."""
    metric = TASKS.get(task).objectives[0]
    found = prepare(DatasetConfig(name="x", path=str(rows), task=task, folds=2), 13, folder / "data")
    LINEAR.train(spec_of(task, found.labels, folder / "data", folder / "out", metric))
    return Predictions.load(folder / "out" / "predictions")


def test_it_learns_which_words_tell(tmp_path: Path) -> None:
    words = {"sport": "match goal team coach league win", "money": "bank market price share profit tax"}
    rows = [
        f'{{"text": "{text.split()[row % 6]} number {row}", "label": "{label}"}}'
        for label, text in words.items()
        for row in range(80 if label == "sport" else 40)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    found = refitted(tmp_path / "rows.jsonl", "text-classification", tmp_path)
    assert score(found, "accuracy") == 1.0
    assert found.probabilities is not None and found.probabilities.sum(axis=1) == pytest.approx(1)


def test_it_sees_shape_and_neighbours_of_a_word(tmp_path: Path) -> None:
    """What follows `in` is a place, though never twice the same one."""
    lines = [f"Ada B-PER\nlives O\nin O\nTown{row:03} B-LOC\nsince O\n{row} O\n" for row in range(90)]
    (tmp_path / "rows.conll").write_text("\n".join(lines))
    assert score(refitted(tmp_path / "rows.conll", "ner", tmp_path), "f1") == 1.0


@pytest.mark.parametrize(
    ("texts_of", "language"), [(("日本 の 記事", "別 の 話"), "Japanese"), (("! !", "? ?"), "marks alone")]
)
def test_texts_without_latin_words_have_features_too(texts_of: Any, language: str, tmp_path: Path) -> None:
    rows = [f'{{"text": "{text} {row}", "label": "{n}"}}' for n, text in enumerate(texts_of) for row in range(20)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    found = refitted(tmp_path / "rows.jsonl", "text-classification", tmp_path)
    assert score(found, "accuracy") == 1.0, language


def test_predictions_know_the_documents_of_the_test_sentences(tmp_path: Path) -> None:
    sentences = (f"Ada{row} B-PER\nlives O\n\nin O\nTown{row} B-LOC\n" for row in range(12))
    (tmp_path / "rows.conll").write_text("\n".join(f"-DOCSTART- O\n\n{text}" for text in sentences))
    found = refitted(tmp_path / "rows.conll", "ner", tmp_path).documents
    assert found == tuple(DataArtifact(tmp_path / "data").test["document"]) and len(found) == 2 * len(set(found))

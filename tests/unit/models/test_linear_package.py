from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from sklearn.feature_extraction.text import CountVectorizer

from podium.models import linear_package
from podium.models.linear_package import LinearPackage, text_terms, word_features, word_shape

TEXTS = st.text() | st.text(
    "aA .\t\n\x0b\x1c\x1f\x85\xa0\u1680\u2003\u2028\u3000\u200b\ufeffİßΣσς\u0301日本", max_size=60
)


@given(TEXTS, st.sampled_from(["word", "char_wb"]), st.integers(2, 5))
@example("İSTANBUL ΟΔΟΣ ΣΑΣ straße", "word", 2)
@example("a\x1cb\u3000c\u200bd\ufeff", "word", 3)
@example("a bb ccc dddd", "char_wb", 4)
def test_the_terms_of_a_text_are_those_of_scikit_learn(text: str, analyzer: str, longest: int) -> None:
    shortest = 1 if analyzer == "word" else 2
    theirs = CountVectorizer(analyzer=analyzer, ngram_range=(shortest, longest), token_pattern=r"\S+").build_analyzer()
    assert Counter(text_terms(text, analyzer, longest)) == Counter(theirs(text))


@given(st.lists(st.text(min_size=1), max_size=6), st.integers(0, 3))
def test_every_word_has_as_many_features(sentence: list[str], window: int) -> None:
    found = [len(names) for names in word_features(sentence, window)]
    assert found == [7 + 4 * window] * len(sentence)


def test_a_word_is_seen_with_its_neighbours() -> None:
    first, last = word_features(["In", "Rome2"], 1)
    assert first == [
        *("word=In", "lower=in", "shape=Xx", "prefix=In", "prefix=In", "suffix=In", "suffix=In"),
        *("-1=", "1=rome2", "-1 shape=", "1 shape=Xxd"),
    ]
    assert {"-1=in", "1=", "suffix=me2", "prefix=Rom"} <= set(last)
    assert [word_shape(word) for word in ("Rome", "42", "U.S.", "日本")] == ["Xx", "d", "X.X.", "日本"]


def package(folder: Path, decoding: str = "single", **changes: object) -> Path:
    """Texts: `good` speaks for ham and `bad` for spam. Words: `word=Ada` speaks for spam."""
    folder.mkdir(exist_ok=True)
    words = decoding == "tokens"
    about = {
        "task": "ner" if words else "text-classification",
        "decoding": decoding,
        "labels": ["ham", "spam"],
        "features": {"window": 1} if words else {"analyzer": "word", "longest": 1},
        "vocabulary": ["word=Ada", "lower=ada"] if words else ["good", "bad"],
    }
    (folder / "linear.json").write_text(json.dumps({**about, **changes}))
    tensors = {
        "coefficients": np.array([[1, -1], [-2, 3]], dtype=np.float32),
        "intercepts": np.array([0.5, -0.5], dtype=np.float32),
    }
    save_file(tensors if words else {**tensors, "idf": np.array([1, 2], np.float32)}, folder / "model.safetensors")
    return folder


def test_a_text_is_answered_by_its_known_terms(tmp_path: Path) -> None:
    model = LinearPackage(package(tmp_path))
    good, mixed, unknown, empty = model.logits(["GOOD good thing", "bad good", "日本 の", ""])
    assert good.tolist() == [1.5, -1.5] and good.dtype == np.float32
    values = np.array([1, 2]) / np.sqrt(5)
    assert mixed == pytest.approx([values @ [1, -2] + 0.5, values @ [-1, 3] - 0.5])
    assert unknown.tolist() == empty.tolist() == [0.5, -0.5], "the intercepts alone"
    assert model(["good", "bad", "else"]) == ["ham", "spam", "ham"]
    assert model.tokens(["good  thing", ""]) == [2, 0] and model.labels == ("ham", "spam")
    assert model.logits([]) == model([]) == []


def test_each_label_is_answered_for_itself(tmp_path: Path) -> None:
    model = LinearPackage(package(tmp_path, "multi"))
    assert model(["bad", "else", "good bad"]) == [["spam"], ["ham"], ["spam"]]


def test_each_word_is_answered(tmp_path: Path) -> None:
    model = LinearPackage(package(tmp_path, "tokens"))
    assert model.logits([["Ada", "ada", "x"]])[0].tolist() == [[-0.5, 1.5], [-1.5, 2.5], [0.5, -0.5]]
    assert model([["Ada", "x"], [], ["x"]]) == [["spam", "ham"], [], ["ham"]]
    assert model.tokens([["Ada", "x"], []]) == [2, 0]


@pytest.mark.parametrize("size", [0, 4, 40, -1])
def test_a_file_that_is_cut_off_is_refused(size: int, tmp_path: Path) -> None:
    file = package(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"model\.safetensors must be whole"):
        LinearPackage(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": ["good"]}, r"coefficients of shape \(1, 2\)"),
        ({"labels": ["ham"]}, r"coefficients of shape \(2, 1\)"),
        ({"vocabulary": ["good", "good"]}, r"coefficients of shape \(1, 2\)"),
        ({"labels": None}, "must be a linear model"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        LinearPackage(package(tmp_path, **changes))


@pytest.mark.parametrize("name", ["linear.json", "model.safetensors"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    (package(tmp_path) / name).unlink()
    with pytest.raises(ValueError, match=f"must have {name}"):
        LinearPackage(tmp_path)


def test_it_runs_with_numpy_alone(tmp_path: Path) -> None:
    package(tmp_path / "model")
    shutil.copy(linear_package.__file__, tmp_path)
    code = (
        "import sys; from pathlib import Path; from linear_package import LinearPackage\n"
        "print(LinearPackage(Path('model'))(['bad']))\n"
        "print([name for name in ('podium', 'sklearn', 'scipy', 'safetensors', 'torch') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines() == ["['spam']", "[]"]

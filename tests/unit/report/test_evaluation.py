"""What an evaluation says in a terminal and on its page."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from podium.evaluation.answered import Answered, of_predictions, of_texts
from podium.evaluation.evaluated import Evaluation, evaluate
from podium.evaluation.predictions import Predictions
from podium.report.evaluation import as_html, page_of, said
from podium.report.evaluation_text import as_text
from podium.report.render import as_markdown

HOSTILE = "<script>alert(1)</script>"
ROWS = 300


def answered(name: str, sharp: float, silent: int = 0, **about: Any) -> Answered:
    """A model of two labels, surer and more often right the larger `sharp` is."""
    draw = np.random.default_rng(3)
    truth = draw.integers(2, size=ROWS)
    source = draw.choice(["web", "print", HOSTILE, "averyveryverylongword" * 6], ROWS, p=[0.5, 0.3, 0.15, 0.05])
    given = 1 / (1 + np.exp(-(sharp * (2 * truth - 1) + np.random.default_rng(len(name)).normal(0, 2, ROWS))))
    probability = np.column_stack([1 - given, given])
    predicted = probability.argmax(axis=1)
    predicted[:silent], probability[:silent] = -1, 0
    ids = tuple(f"reviews.csv:{row}" for row in range(ROWS))
    one = Predictions("text-classification", ("ham", "spam"), ids, truth, predicted, probability)
    found = of_predictions(one, "spam", name=name, model=f"tiny@{name}", source=f"inference {name}")
    columns = {"source": source.tolist(), "stars": draw.integers(50, size=ROWS).tolist()}
    return replace(found, columns=columns, outcomes={"ok": ROWS - silent, "unparseable": silent}, **about)


def compared() -> Evaluation:
    """An evaluation with all that there can be."""
    one = answered("new", 2.0, 5, notes=("7 rows without a label are left out",))
    return evaluate(one, answered("old", 0.8), ("source", "stars"), "0123456789ab")


def test_the_text_has_figures_findings_and_what_is_not_known() -> None:
    text = as_text(compared(), terminal=False)
    assert text.startswith("new: tiny@new, inference new, 300 rows, text-classification\n")
    assert "outcomes: ok 295, unparseable 5\n5 rows have no valid answer and count as wrong\n" in text
    assert re.search(r"accuracy +0\.\d{3} +0\.\d{3} to 0\.\d{3}", text)
    assert re.search(r"accuracy +0\.\d{3} +0\.\d{3} +\+0\.\d{3} \(\+.* to \+.*\) +0\.\d{3} +really better", text)
    assert re.search(r"\d+ rows became right and \d+ became wrong; they are in changes.csv", text)
    assert "(small)" in text
    assert re.search(r"accuracy: 0\.\d{3} between .* \(lowest\) and .* \(highest\), p [=<]", text)
    assert "p-values are not corrected" in text
    assert "The expected calibration error is" in text
    assert "Average precision of spam" in text
    bare = replace(answered("new", 2.0), predictions=None)
    assert "calibration not known: the answers have no probabilities" in as_text(evaluate(bare), terminal=False)


def test_the_page_needs_nothing_but_itself_and_escapes_what_it_is_given() -> None:
    page = as_html(compared())
    assert HOSTILE not in page
    assert not re.search(r"<script|https?://|url\(|@import", page)
    assert "default-src 'none'" in page
    for section in ("metrics", "against", "slices", "calibration", "thresholds", "errors", "about"):
        assert f'<section id="{section}"' in page
    assert 'class="verdict' not in page
    assert "7 rows without a label are left out." in page
    assert "counts as the wrong one of the two answers" in page


def test_the_page_says_what_it_begins_with() -> None:
    found = compared()
    page = page_of(found)
    assert page.answer is not None
    assert page.answer.text.startswith("**tiny@new** reaches macro F1 **0.")
    assert "5 of them have no valid answer" in page.answer.text
    assert page.answer.text.endswith("really better.")
    figures = {name: value for name, value, _ in page.answer.figures}
    assert figures["Became right"] == f"{found.against.gained:,}"  # type: ignore[union-attr]
    assert as_markdown(page).splitlines()[4].startswith("**tiny@new** reaches")


def test_parts_without_evidence_say_why() -> None:
    texts = of_texts(["a", "b"], ["yes", "no"], ["yes", None], name="r", model="m", source="s")
    page = as_html(evaluate(texts))
    assert page.count("Not known: the answers have no probabilities.") == 2
    assert "No valid answer in 1 rows" in page
    right = of_texts(["a"], ["yes"], ["yes"], name="r", model="m", source="s")
    assert "Every row is right." in as_html(evaluate(right))


def test_answers_are_written_for_people() -> None:
    assert said(None) == "no valid answer"
    assert said(["B-PER", "O"]) == "B-PER, O"
    assert said("a\n  b") == "a b"
    assert len(said("word " * 100)) == 161

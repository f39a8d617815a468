from __future__ import annotations

import numpy as np
import pytest

from podium.evaluation.answered import of_texts
from podium.evaluation.texts import TEXT_METRICS, TextAnswers, chrf_of

TRUTH = ["The cat sat on the mat.", "Shares fell sharply on Monday", "Größe und Maß", "Москва слезам не верит", "yes"]
GIVEN = ["the cat sat on a mat", "Shares rose on Monday", "Größe und Mass", "Москва слезам верит", None]


def values(answers: TextAnswers) -> dict[str, float]:
    return {metric.name: metric.value(answers) for metric in TEXT_METRICS}


def test_figures_are_those_of_the_libraries() -> None:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import CHRF

    answers = TextAnswers(TRUTH[:2], GIVEN[:2])
    found = values(answers)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    theirs = [scorer.score(true, given) for true, given in zip(TRUTH[:2], GIVEN[:2], strict=True)]
    for name in ("rouge1", "rouge2", "rougeL"):
        assert found[name] == pytest.approx(np.mean([one[name].fmeasure for one in theirs]))
    whole = TextAnswers(TRUTH, GIVEN)
    texts = [text or "" for text in GIVEN]
    assert values(whole)["chrf"] == pytest.approx(CHRF().corpus_score(texts, [TRUTH]).score / 100)
    rows = np.random.default_rng(0).integers(5, size=20)
    some = CHRF().corpus_score([texts[row] for row in rows], [[TRUTH[row] for row in rows]]).score / 100
    assert float(chrf_of(whole.chrf[rows].sum(axis=0))) == pytest.approx(some)


def test_words_of_every_script_count() -> None:
    assert values(TextAnswers([TRUTH[3]], [GIVEN[3]]))["rouge1"] == pytest.approx(6 / 7)


def test_an_exact_match_forgives_the_form_of_characters_and_white_space_only() -> None:
    answers = TextAnswers(["Maß\u0308", "yes", "yes", "no"], [" Maß\u0308\n", "Yes", None, "no"])
    assert answers.matches.tolist() == [True, False, False, True]
    composed = TextAnswers(["caf\u00e9"], ["cafe\u0301"])
    assert composed.matches.all()


def test_a_row_without_an_answer_counts_against_every_metric() -> None:
    found = of_texts("abc", ["yes", "no", "no"], ["yes", "no", None], name="r", model="m", source="s")
    assert found.unanswered == 1
    assert {metric.name: round(metric.sums.total(), 3) for metric in found.metrics} == {
        "exact_match": 0.667,
        "rouge1": 0.667,
        "rouge2": 0.0,
        "rougeL": 0.667,
        "chrf": 0.852,  # precision 1, recall the mean of 5/7, 3/4 and 1
    }

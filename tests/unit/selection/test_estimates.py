from __future__ import annotations

from dataclasses import replace

import numpy as np

from podium.evaluation.predictions import Predictions
from podium.selection.estimates import ComparedModel, Estimate, estimates, rows_of


def tagged(seed: int) -> Predictions:
    """Sentences of one word in documents of ten, where all of a document are right or wrong together."""
    right = np.repeat(np.random.default_rng(seed).random(40) < 0.8, 10)
    predicted = [["B-PER" if one else "O"] for one in right]
    names = tuple(str(row // 10) for row in range(400))
    ids = tuple(f"row-{row}" for row in range(400))
    return Predictions("ner", ("O", "B-PER"), ids, [["B-PER"]] * 400, predicted, documents=names)


def f1(predictions: Predictions) -> Estimate:
    found = estimates(ComparedModel("run", "tiny (eager)", "decision 0123", predictions=predictions))["f1"]
    assert isinstance(found, Estimate)
    return found


def test_documents_are_resampled_where_there_are_any() -> None:
    by_document, by_row = f1(tagged(1)), f1(replace(tagged(1), documents=None))
    assert by_document.interval is not None and by_row.interval is not None
    assert by_document.interval.method == "percentile bootstrap of documents"
    assert by_document.draws is not None and by_row.draws is not None
    assert np.std(by_document.draws) > 2.5 * np.std(by_row.draws)


def test_rows_are_other_rows_when_their_documents_are_not_known() -> None:
    """What is resampled by document is in no pairs with what is resampled by row."""
    known = tagged(1)
    assert rows_of(known) == rows_of(tagged(2)) == rows_of(known.aligned_to(known.ids[::-1]))
    assert rows_of(known) != rows_of(replace(known, documents=None))

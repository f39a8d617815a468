from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from podium.evaluation.predictions import Predictions
from podium.evaluation.thresholds import thresholds
from tests.unit.evaluation.test_calibration import binary


def test_points_are_what_answering_from_their_threshold_on_gives() -> None:
    one = binary(400, 1.0)
    assert one.probabilities is not None
    likely, truth = one.probabilities[:, 1], one.truth == 1
    found = thresholds(one, 1, 0.95)
    assert found is not None
    assert found.best is not None
    assert found.average_precision == pytest.approx(average_precision_score(truth, likely))
    assert len(found.points) == 100
    for point in (*found.points[::10], found.best):
        assert point.f1 == pytest.approx(f1_score(truth, likely >= point.threshold))
    assert found.best.f1 >= max(point.f1 for point in found.points)


def test_accuracy_by_coverage_counts_rows_without_an_answer_as_never_covered() -> None:
    one = binary(400, 1.0, silent=100)
    found = thresholds(one, None, 0.95)
    assert found is not None
    assert found.points == ()
    assert found.coverage[-1].coverage == pytest.approx(0.75)
    assert one.probabilities is not None
    for point in (*found.coverage[::20], *found.at):
        kept = one.probabilities.max(axis=1) >= point.threshold
        assert point.coverage == pytest.approx(kept.mean())
        assert point.accuracy.value == pytest.approx((one.truth == one.predicted)[kept].mean())
    assert [round(point.coverage, 2) for point in found.at] == [0.5, 0.7, 0.75]


def test_of_several_labels_all_pairs_are_looked_at() -> None:
    draw = np.random.default_rng(1)
    given = draw.random((200, 3))
    truth = (draw.random((200, 3)) < given).astype(int)
    one = Predictions("multi-label", ("a", "b", "c"), tuple(map(str, range(200))), truth, given > 0.5, given)
    found = thresholds(one, None, 0.95)
    assert found is not None
    assert (found.of, found.coverage) == ("all labels", ())
    assert found.average_precision == pytest.approx(average_precision_score(truth.ravel(), given.ravel()))


def test_nothing_is_shown_where_no_row_has_an_answer() -> None:
    assert thresholds(binary(10, 1.0, silent=10), 1, 0.95) is None

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config.algorithms import stopping_named
from podium.hpo.experiment import Objective
from podium.hpo.stopping import Stopper
from podium.records import Report, StoppingRule, TrialRecord

from .support import experiment


def stopper(name: str, direction: Any = "maximize", **settings: int) -> Stopper:
    return Stopper(
        experiment(
            early_stopping=stopping_named(name, settings), objective=Objective(metric="score", direction=direction)
        )
    )


def numbered(*values: float) -> tuple[Report, ...]:
    return tuple(Report(value=value) for value in values)


def course(*points: tuple[float, float]) -> tuple[Report, ...]:
    """Reports of a cross-validated trial by progress."""
    return tuple(Report(value=value, fold=0, progress=progress) for progress, value in points)


def ended(number: int, reports: Sequence[Report], status: Any = "succeeded") -> TrialRecord:
    return TrialRecord(number=number, params={}, status=status, score=0.5, reports=tuple(reports))


def rule_of(subject: Stopper) -> StoppingRule:
    rule = subject.rule()
    assert rule is not None
    return rule


def test_without_early_stopping_there_is_no_rule() -> None:
    subject = Stopper(experiment(), [ended(0, numbered(0.5))])
    assert subject.rule() is None


@pytest.mark.parametrize("name", ["median", "medianstop"])
def test_a_rule_needs_succeeded_trials_that_reported(name: str) -> None:
    subject = stopper(name, min_trials_required=2, start_step=1)
    subject.add(ended(0, numbered(0.5)))
    subject.add(ended(1, numbered(0.5), "failed"))
    subject.add(ended(2, numbered(0.5), "pruned"))
    subject.add(ended(3, ()))
    assert subject.rule() is None
    subject.add(ended(4, numbered(0.7)))
    assert rule_of(subject).thresholds == {1: pytest.approx(0.6)}


def test_medianstop_judges_once_by_the_best_value_against_a_mean_of_means() -> None:
    """The service of Katib (`pkg/earlystopping/v1beta1/medianstop/service.py`) averages each trial's first values."""
    subject = stopper("medianstop", min_trials_required=2, start_step=2)
    subject.add(ended(0, numbered(0.2, 0.4, 0.9)))
    subject.add(ended(1, numbered(0.6, 0.8, 0.1)))
    rule = rule_of(subject)
    assert (rule.compared, rule.thresholds) == ("best", {2: pytest.approx(0.5)})
    assert [rule.stops(numbered(*values)) for values in ([0.1], [0.1, 0.4], [0.6, 0.1], [0.6, 0.6, 0.1])] == [
        False,
        True,
        False,
        False,
    ]


def test_median_judges_every_report_by_the_last_value() -> None:
    subject = stopper("median", min_trials_required=3)
    for number, values in enumerate([(0.1, 0.5), (0.2, 0.6), (0.9, 0.7)]):
        subject.add(ended(number, numbered(*values)))
    rule = rule_of(subject)
    assert rule.thresholds == {1: 0.2, 2: 0.6}
    assert [rule.stops(numbered(*values)) for values in ([0.1], [0.2], [0.9, 0.5], [0.1, 0.6], [0.1, 0.1, 0.1])] == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_median_leaves_the_first_reports_alone() -> None:
    subject = stopper("median", min_trials_required=1, start_step=2)
    subject.add(ended(0, course((0.5, 0.8), (1.0, 0.9))))
    rule = rule_of(subject)
    assert not rule.stops(course((0.5, 0.1)))
    assert rule.stops(course((0.5, 0.1), (1.0, 0.8)))


def test_smaller_is_better_when_scores_are_minimised() -> None:
    subject = stopper("median", "minimize", min_trials_required=1)
    subject.add(ended(0, numbered(0.5)))
    assert rule_of(subject).stops(numbered(0.6)) and not rule_of(subject).stops(numbered(0.4))
    assert not rule_of(stopper_with_mean("minimize")).stops(numbered(0.6, 0.4)), "the best so far is the smallest"


def stopper_with_mean(direction: Any) -> Stopper:
    subject = stopper("medianstop", direction, min_trials_required=1, start_step=2)
    subject.add(ended(0, numbered(0.5, 0.5)))
    return subject


def test_trials_of_different_lengths_are_compared_at_the_same_share_of_a_fold() -> None:
    subject = stopper("median", min_trials_required=1)
    subject.add(ended(0, course((0.5, 0.4), (1.0, 0.6), (1.5, 0.5), (2.0, 0.7))))
    subject.add(ended(1, course((0.25, 0.1), (0.5, 0.2), (0.75, 0.3), (1.0, 0.4), (2.0, 0.5))))
    rule = rule_of(subject)
    assert rule.thresholds == {
        0.25: 0.1,
        0.5: pytest.approx(0.3),
        0.75: pytest.approx(0.35),
        1.0: pytest.approx(0.5),
        1.5: 0.5,
        2.0: pytest.approx(0.6),
    }
    assert rule.threshold(course((0.2, 0.0))) is None
    assert rule.threshold(course((0.34, 0.0))) == 0.1
    assert rule.threshold(course((0.34, 0.0), (0.67, 0.0))) == pytest.approx(0.3)
    assert rule.threshold(course((1.34, 0.0))) is None, "the end of a fold says nothing about the next one's middle"


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(1, 8).map(lambda eighth: eighth / 4), st.floats(0, 1)),
            min_size=1,
            max_size=8,
            unique_by=lambda point: point[0],
        ).map(sorted),
        min_size=1,
        max_size=6,
    )
)
def test_thresholds_are_medians_whatever_the_order_of_the_trials(courses: list[list[tuple[float, float]]]) -> None:
    trials = [ended(number, course(*points)) for number, points in enumerate(courses)]
    forth, back = stopper("median", min_trials_required=1), stopper("median", min_trials_required=1)
    for trial in trials:
        forth.add(trial)
    for trial in reversed(trials):
        back.add(trial)
    rule = rule_of(forth)
    assert rule == back.rule() == StoppingRule.model_validate_json(rule.model_dump_json())
    for point, threshold in rule.thresholds.items():
        first = 0 if point <= 1 else 1
        reached = [[v for p, v in points if first < p <= point] for points in courses]
        assert threshold == pytest.approx(median(values[-1] for values in reached if values))

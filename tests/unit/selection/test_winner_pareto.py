from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium.config.benchmark import SelectionConfig
from podium.selection.winner import Candidate, pareto_fronts
from tests.unit.selection.evidence import choose


def candidates(entry, measurement, interval, figures):
    return [
        Candidate(entry(f"m{number}", 0.5), measurement(f"m{number}", p50), interval(score), None, ())
        for number, (score, p50) in enumerate(figures)
    ]


def pareto_front(found, name):
    return pareto_fronts(found).get(name, ())


def names(front):
    return [point.entrant for point in front]


def test_who_is_beaten_on_both_is_not_on_the_front(entry, measurement, interval):
    found = candidates(entry, measurement, interval, [(0.9, 10.0), (0.8, 5.0), (0.85, 12.0), (0.8, 7.0), (0.7, 4.0)])
    assert names(pareto_front(found, "latency_p50_ms")) == ["m4", "m1", "m0"]


def test_equals_are_all_on_it(entry, measurement, interval):
    assert names(pareto_front(candidates(entry, measurement, interval, [(0.9, 5.0)] * 3), "latency_p50_ms")) == [
        "m0",
        "m1",
        "m2",
    ]


def test_there_is_a_front_for_what_was_measured(entry, measurement):
    choice = choose([entry("a")], [], [measurement("a", p90=None)], SelectionConfig())
    fronts = pareto_fronts(choice.candidates)
    assert set(fronts) == {"latency_p50_ms", "memory_mb", "size_mb"}
    assert fronts["memory_mb"][0].model_dump() == {"entrant": "a", "variant": "eager", "score": 0.9, "cost": 500.0}
    assert set(pareto_fronts(choose([entry("a")], [], [], SelectionConfig()).candidates)) == {"size_mb"}


FIGURES = st.lists(st.tuples(st.sampled_from([0.7, 0.8, 0.9]), st.sampled_from([1.0, 2.0, 3.0])), max_size=7)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(figures=FIGURES, data=st.data())
def test_the_front_depends_on_no_order_and_on_nobody_that_is_not_on_it(entry, measurement, interval, figures, data):
    found = candidates(entry, measurement, interval, figures)
    front = pareto_front(found, "latency_p50_ms")
    assert pareto_front(data.draw(st.permutations(found)), "latency_p50_ms") == front
    assert pareto_front([one for one in found if one.entry.entrant in names(front)], "latency_p50_ms") == front
    assert [point.score for point in front] == sorted(point.score for point in front)
    assert bool(front) == bool(figures)

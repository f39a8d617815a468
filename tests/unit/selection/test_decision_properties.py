"""What holds for any evidence and any policy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from podium.config.benchmark import PromotionConfig
from podium.records import Comparison, Interval, LeaderboardEntry
from tests.unit.selection.test_decision import candidate, incumbent, verdict

BOUNDS = st.floats(-0.2, 0.2)


SORTED = st.tuples(BOUNDS, BOUNDS, BOUNDS).map(sorted)


def paired_with(reference: str, values: list[float]) -> Comparison:
    low, value, high = values
    return Comparison(
        reference=reference,
        challenger="a",
        metric="macro_f1",
        difference=Interval(value=value, low=low, high=high, confidence=0.95, method="m"),
        p_value=0.5,
        measurably_worse=high < 0,
    )


POLICY = st.fixed_dictionaries(
    {
        "min_gain": st.floats(0, 0.1),
        "min_test_rows": st.integers(0, 200),
        "min_trials": st.integers(0, 3),
        "must_beat_baselines": st.booleans(),
    }
)


@given(values=SORTED, baseline=SORTED, eased=POLICY, strict=POLICY)
def test_asking_for_more_never_promotes_more(values, baseline, eased, strict):
    paired = paired_with("news", values)
    baselines = [paired_with("majority", baseline)]
    winner = LeaderboardEntry(
        entrant="a",
        model_key="k",
        model_digest="new",
        trial=0,
        cv_score=0.9,
        cv_std=0,
        trials=1,
        test=paired.difference,
        size_mb=1,
        parameters=1,
    )
    strict = {name: max(value, strict[name]) for name, value in eased.items()}

    def under(policy: dict) -> str:
        return verdict(candidate(winner), incumbent(), PromotionConfig(**policy), paired, baselines=baselines)[0]

    assert not (under(strict) == "PROMOTE" and under(eased) != "PROMOTE")
    assert under(eased) != "REJECT" or under(strict) == "REJECT"

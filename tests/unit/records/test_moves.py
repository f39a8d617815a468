from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from podium.records import Move, rollback_target, withdrawn


def moves(*steps: tuple[str, str, str]) -> list[Move]:
    """Each step: how, version before, version after."""
    return [
        Move(how=how, before=before, before_model=before and f"m{before}", after=after, after_model=f"m{after}",
             by="me@host", reason="because", state="done")
        for how, before, after in steps
    ]  # fmt: skip


FIRST, SECOND, THIRD = ("decided", "", "1"), ("decided", "1", "2"), ("decided", "2", "3")


def target(*steps: tuple[str, str, str]) -> str | None:
    found = rollback_target(moves(*steps))
    return found.after if found else None


def test_a_rollback_goes_to_the_champion_before() -> None:
    assert target(FIRST, SECOND, THIRD) == "2"
    assert target(FIRST) is None
    assert target() is None


def test_a_second_rollback_goes_further_back_and_not_to_what_was_rolled_back() -> None:
    assert target(FIRST, SECOND, THIRD, ("rollback", "3", "2")) == "1"
    assert target(FIRST, SECOND, ("rollback", "2", "1")) is None


def test_what_was_rolled_back_is_withdrawn_until_it_is_promoted_again() -> None:
    back = ("rollback", "2", "1")
    assert list(withdrawn(moves(FIRST, SECOND, back))) == ["m2"]
    assert withdrawn(moves(FIRST, SECOND, back))["m2"].startswith("version 2 was rolled back by me@host on ")
    assert withdrawn(moves(FIRST, SECOND, back, ("forced", "1", "2"))) == {}
    assert withdrawn(moves(FIRST, SECOND)) == {}


STEPS = st.lists(st.tuples(st.sampled_from(["decided", "forced", "rollback"]), st.integers(1, 4)), max_size=12)


@given(STEPS)
def test_the_champion_is_never_withdrawn_and_never_its_own_target(steps: list[tuple[str, int]]) -> None:
    made, before = [], ""
    for how, after in steps:
        made += moves((how, before, str(after))) if str(after) != before else []
        before = str(after)
    if made:
        found = rollback_target(made)
        assert made[-1].after_model not in withdrawn(made)
        assert found is None or found.after_model not in {made[-1].after_model, *withdrawn(made)}

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from podium.tasks.bio import invalid_tag, tag_list, to_bio2

TAGS = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), max_size=12)


@given(TAGS)
def test_the_entities_stay_as_conlleval_counts_them(tags: list[str]) -> None:
    converted, rewritten = to_bio2(tags)
    assert get_entities(converted) == get_entities(tags)
    assert rewritten == sum(before != after for before, after in zip(tags, converted, strict=True))


@given(TAGS)
def test_bio2_stays_as_it_is(tags: list[str]) -> None:
    once, _ = to_bio2(tags)
    assert to_bio2(once) == (once, 0)


def test_an_entity_that_changes_its_type_midway_is_two() -> None:
    assert to_bio2(["B-PER", "I-LOC", "I-LOC"]) == (["B-PER", "B-LOC", "I-LOC"], 1)


def test_other_schemes_are_refused() -> None:
    assert invalid_tag(["O", "B-PER", "I-PER"]) is None
    for tag in ("S-PER", "E-PER", "L-PER", "U-PER", "PER", "B", "b-PER", "", "B-"):
        assert repr(tag) in (invalid_tag(["O", tag]) or "")


def test_the_tag_list_starts_outside() -> None:
    assert tag_list({"PER", "LOC"}) == ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")


@given(TAGS)
def test_every_entity_of_the_result_begins_with_b(tags: list[str]) -> None:
    converted, _ = to_bio2(tags)
    assert sum(tag[0] == "B" for tag in converted) == len(get_entities(converted))

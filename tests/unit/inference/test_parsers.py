"""From replies to answers: what is clear is read, and nothing is guessed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podium.inference import parsers
from podium.inference.parsers import PARSERS
from podium.models.prompted.replies import entities_of, split_reasoning
from tests.unit.inference.parser_contract import LABELS, WORDS, ParserContract

TAGS = ("O", "B-PER", "B-LOC", "I-PER", "I-LOC")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("good", "good"),
        ("  Good.\n", "good"),
        ("**bad**", "Bad"),
        ('"not good"', "not good"),
        ("The answer is: not good!", "not good"),
        ("Label: 42", "42"),
        ("good, very good", "good"),
        ("good or bad", None),
        ("not good, but good", None),
        ("goodness", None),
        ("", None),
        ("neither", None),
    ],
)
def test_a_label_is_the_reply_or_the_only_one_it_mentions(text: str, found: str | None) -> None:
    parsed = PARSERS.get("label").parse(text, LABELS, None)
    assert (parsed.answer if parsed else None) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"label": "good", "rationale": "since"}', ("good", "since")),
        ('Sure:\n```json\n{"label": "BAD"}\n```', ("Bad", None)),
        ('```\n{"label": 42}\n```', ("42", None)),
        ('{"rationale": "a {brace} in it", "label": "good"} and more', ("good", "a {brace} in it")),
        ('{"labels": ["good", "Bad"]}', (["Bad", "good"], None)),
        ('{"labels": []}', ([], None)),
        ('{"label": "good"} {"label": "good"}', ("good", None)),
        ('{"label": "good"} {"label": "Bad"}', None),
        ('{"label": "excellent"}', None),
        ('{"labels": ["good", "excellent"]}', None),
        ('{"label": true}', None),
        ('{"label": "go', None),
        ("good", None),
        ("[1, 2]", None),
        ("{" * 5000, None),
    ],
)
def test_json_has_a_label_that_is_one_of_them(text: str, found: Any) -> None:
    assert PARSERS.get("json").parse(text, LABELS, None) == found


def test_without_labels_the_object_is_the_answer() -> None:
    parsed = PARSERS.get("json").parse('{"price": 3, "rationale": "it says so"}', (), None)
    assert parsed == ({"price": 3, "rationale": "it says so"}, "it says so")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", ["O"] * 7),
        ('[{"text": "Ada Lovelace", "type": "PER"}]', ["B-PER", "I-PER", *["O"] * 5]),
        (
            '{"entities": [{"text": "ada", "type": "per"}, {"text": "Ada", "type": "PER"}, '
            '{"text": "New York", "type": "LOC"}]}',
            ["B-PER", "O", "O", "B-PER", "O", "B-LOC", "I-LOC"],
        ),
        ('[{"text": "NewYork", "label": "LOC"}]', [*["O"] * 5, "B-LOC", "I-LOC"]),
        ('[{"text": "Ada", "label": "PER"}]', ["B-PER", *["O"] * 6]),
        ('[{"text": "Ada", "label": "PER"}, {"text": "Ada Lovelace", "label": "PER"}]', None),
        ('[{"text": "Ada Love", "label": "PER"}]', None),
        ('[{"text": ["Ada"], "label": "PER"}]', None),
        ('[{"text": "Ada Byron", "type": "PER"}]', None),
        ('[{"text": "Ada", "type": "ORG"}]', None),
        ('[{"text": "", "type": "PER"}]', None),
        ("[] []", None),
        ("none", None),
        ('["Ada"]', None),
    ],
)
def test_spans_become_a_tag_for_each_word(text: str, found: list[str] | None) -> None:
    parsed = PARSERS.get("spans").parse(text, TAGS, WORDS)
    assert (parsed.answer if parsed else None) == found


def test_the_entities_of_tags_are_read_as_these_tags() -> None:
    tags = ["B-PER", "I-PER", "O", "B-PER", "O", "B-LOC", "I-LOC"]
    entities = entities_of(WORDS, tags)
    assert entities[0] == {"text": "Ada Lovelace", "label": "PER"} and len(entities) == 3
    parsed = PARSERS.get("spans").parse(json.dumps(entities), TAGS, WORDS)
    assert parsed is not None and parsed.answer == tags


def test_text_is_taken_as_it_is_unless_it_is_empty() -> None:
    parser = PARSERS.get("text")
    assert (parser.parse(" a text \n", (), None), parser.parse(" \n", (), None)) == (("a text", None), None)


class TestLabel(ParserContract):
    parser = parsers.LABEL


class TestJson(ParserContract):
    parser = parsers.JSON


class TestSpans(ParserContract):
    parser = parsers.SPANS


class TestText(ParserContract):
    parser = parsers.TEXT


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("sport", "sport", None),
        ("<think>a goal\nby two</think>\n\nsport", "sport", "a goal\nby two"),
        ("<think>never ends", "", "never ends"),
        (
            "<|channel|>analysis<|message|>a goal<|end|><|start|>assistant<|channel|>final<|message|>sport",
            "sport",
            "a goal",
        ),
        ("<|channel|>analysis<|message|>not finis", "", "not finis"),
        ("<|channel|>final<|message|>sport<|return|>", "sport", None),
    ],
)
def test_reasoning_is_kept_apart(text: str, answer: str, reasoning: str | None) -> None:
    assert split_reasoning(text) == (answer, reasoning)

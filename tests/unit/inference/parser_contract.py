"""What every parser holds; a subclass names the parser."""

from __future__ import annotations

from typing import Any

import pytest

from podium.inference.parsers import Parser

LABELS = ("good", "not good", "Bad", "42")
WORDS = ["Ada", "Lovelace", "met", "Ada", "in", "New", "York"]
REPLIES = ["", "{}", "\x00", "ü" * 10_000, "[[[", '{"label": null}', '{"labels": [null]}', "{" * 5000, "good"]


class ParserContract:
    """Subclass it as `TestMine(ParserContract)`."""

    parser: Parser

    def test_it_has_a_name_and_a_version(self) -> None:
        assert self.parser.name and self.parser.version >= 1

    @pytest.mark.parametrize("text", REPLIES, ids=range(len(REPLIES)))
    @pytest.mark.parametrize("labels", [LABELS, (), ("O", "B-PER", "I-PER")], ids=("labels", "free", "tags"))
    @pytest.mark.parametrize("content", [None, "a text", WORDS], ids=("nothing", "text", "words"))
    def test_no_reply_breaks_it_and_equal_replies_are_read_alike(
        self, text: str, labels: tuple[str, ...], content: Any
    ) -> None:
        found = self.parser.parse(text, labels, content)
        assert found == self.parser.parse(text, labels, content)
        assert found is None or found.answer is not None

    def test_an_empty_reply_is_no_answer(self) -> None:
        assert self.parser.parse("", LABELS, None) is None

"""From the text of a reply to an answer, or to none: one class per form of answer, by name. Nothing is guessed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from podium.models.prompted.replies import Parsed, read_json, read_label, read_tags
from podium.plugins import Registry
from podium.tasks import TASKS


class Parser(ABC):
    """A form of answers. An instance is stateless.

    Another package adds its own as an entry point of the group `podium.parsers`, under its `name`.

    Attributes:
        name: as `--parser` gives it.
        version: raised whenever it reads some reply differently: a part of the key.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    @abstractmethod
    def parse(self, text: str, labels: Sequence[str], content: Any) -> Parsed | None:
        """The answer in a reply; None where there is no valid one, or more than one may be meant.

        Args:
            text: the reply without the model's reasoning.
            labels: what may be answered; empty where anything may.
            content: what the row holds: a text, a list of words, or None.
        """


PARSERS: Registry[Parser] = Registry(
    "podium.parsers",
    "parser",
    {
        "label": "podium.inference.parsers:LABEL",
        "json": "podium.inference.parsers:JSON",
        "spans": "podium.inference.parsers:SPANS",
        "text": "podium.inference.parsers:TEXT",
    },
)
"""The parsers by name."""


class _Label(Parser):
    """One of the labels: see `read_label`."""

    name = "label"

    def parse(self, text: str, labels: Sequence[str], content: Any) -> Parsed | None:
        found = read_label(text, labels)
        return None if found is None else Parsed(found)


class _Json(Parser):
    """A JSON object with a label or with several: see `read_json`."""

    name = "json"

    def parse(self, text: str, labels: Sequence[str], content: Any) -> Parsed | None:
        return read_json(text, labels)


class _Spans(Parser):
    """Entities in JSON, as a BIO tag for each word: see `read_tags`."""

    name = "spans"
    version = 2

    def parse(self, text: str, labels: Sequence[str], content: Any) -> Parsed | None:
        found = read_tags(text, TASKS.get("ner").kinds_of(labels), content) if isinstance(content, list) else None
        return None if found is None else Parsed(found)


class _Text(Parser):
    """The reply itself, if it is not empty."""

    name = "text"

    def parse(self, text: str, labels: Sequence[str], content: Any) -> Parsed | None:
        return Parsed(text.strip()) if text.strip() else None


LABEL, JSON, SPANS, TEXT = _Label(), _Json(), _Spans(), _Text()

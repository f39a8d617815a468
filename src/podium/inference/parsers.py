"""From the text of a reply to an answer, or to none: one class per form of answer, by name. Nothing is guessed."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from podium.plugins import Registry
from podium.tasks.ner import OUTSIDE

_FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
_WRAPPED = " \t\r\n\"'`*_.,:;!()[]{}<>„“”‚‘’«»"
_HARMONY = re.compile(r"<\|channel\|>\s*(\w+).*?<\|message\|>(.*?)(?=<\|(?:end|return|start|channel)\|>|$)", re.DOTALL)
_THOUGHT = re.compile(r"^\s*<(think|thinking|reasoning)>(.*?)</\1>", re.DOTALL)


class Parsed(NamedTuple):
    """An answer, and the reason that the model gives for it beside the answer."""

    answer: Any
    rationale: str | None = None


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
    """One of the labels: the whole reply, or the only one that the reply mentions as a word, whatever its case."""

    name = "label"

    def parse(self, text: str, labels: Sequence[str], content: Any) -> Parsed | None:
        whole = _named(text.strip(), labels) or _named(text.strip(_WRAPPED), labels)
        if whole is not None:
            return Parsed(whole)
        places: list[tuple[int, int, str]] = []
        for label in labels:
            pattern = rf"(?<!\w){re.escape(label.casefold())}(?!\w)"
            places += [(*found.span(), label) for found in re.finditer(pattern, text.casefold())]
        # A label inside a longer one, such as `good` in `not good`, is not mentioned by itself.
        alone = {
            label
            for start, end, label in places
            if not any(low <= start and end <= high and high - low > end - start for low, high, _ in places)
        }
        return Parsed(alone.pop()) if len(alone) == 1 else None


class _Json(Parser):
    """A JSON object with `label`, or with the list `labels`, and perhaps `rationale`, alone or within other text.

    Without labels the object itself is the answer.
    """

    name = "json"

    def parse(self, text: str, labels: Sequence[str], content: Any) -> Parsed | None:
        found = []
        for value in _objects(text):
            parsed = self._read(value, labels)
            if parsed is None:
                return None
            found.append(parsed)
        return found[0] if found and all(one.answer == found[0].answer for one in found) else None

    @staticmethod
    def _read(value: dict[str, Any], labels: Sequence[str]) -> Parsed | None:
        rationale = value.get("rationale")
        reason = rationale if isinstance(rationale, str) else None
        if not labels:
            return Parsed(value, reason)
        if isinstance(several := value.get("labels"), list):
            names = [_named(one, labels) for one in several]
            return None if None in names else Parsed(sorted({str(name) for name in names}), reason)
        name = _named(value.get("label"), labels)
        return None if name is None else Parsed(name, reason)


class _Spans(Parser):
    """A JSON list of `{"text": ..., "type": ...}`, or an object with it as `entities`: a BIO tag for each word.

    Every entity must be words of the row, in order; of equal words the first that is not taken yet is meant.
    """

    name = "spans"

    def parse(self, text: str, labels: Sequence[str], content: Any) -> Parsed | None:
        if not isinstance(content, list):
            return None
        entities = _entities(text)
        if entities is None:
            return None
        types = {label[2:].casefold(): label[2:] for label in labels if label[1:2] == "-"}
        folded = [str(word).casefold() for word in content]
        tags = [OUTSIDE] * len(folded)
        for entity in entities:
            if not isinstance(entity, dict):
                return None
            words = str(entity.get("text", "")).casefold().split()
            kind = types.get(str(entity.get("type", "")).casefold())
            place = _free_place(folded, tags, words)
            if kind is None or place is None:
                return None
            tags[place : place + len(words)] = [f"B-{kind}", *[f"I-{kind}"] * (len(words) - 1)]
        return Parsed(tags)


class _Text(Parser):
    """The reply itself, if it is not empty."""

    name = "text"

    def parse(self, text: str, labels: Sequence[str], content: Any) -> Parsed | None:
        return Parsed(text.strip()) if text.strip() else None


def split_reasoning(text: str) -> tuple[str, str | None]:
    """The answer in generated text, and what the model thought before it, where it marks that.

    It knows the channels of gpt-oss (harmony), of which `final` is the answer, and `<think>` elements. What was not
    finished before the text ended is reasoning.
    """
    channels = _HARMONY.findall(text)
    if channels:
        final = [part for name, part in channels if name == "final"]
        others = [part.strip() for name, part in channels if name != "final"]
        return (final[-1].strip() if final else ""), "\n".join(others) or None
    if found := _THOUGHT.match(text):
        return text[found.end() :].strip(), found[2].strip() or None
    if re.match(r"\s*<(think|thinking|reasoning)>", text):
        return "", text.strip()
    return text, None


def _named(value: Any, labels: Sequence[str]) -> str | None:
    """The label that a value is, exactly or else in another case, if that is one label only."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    name = str(value).strip()
    if name in labels:
        return name
    alike = [label for label in labels if label.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text."""
    yield from (value for value in _values(text, "{") if isinstance(value, dict))


def _entities(text: str) -> list[Any] | None:
    """The list of entities in a reply; None where there is none, or more than one."""
    found = list(_values(text, "[{"))
    if len(found) != 1:
        return None
    inner = found[0].get("entities") if isinstance(found[0], dict) else found[0]
    return inner if isinstance(inner, list) else None


def _values(text: str, starts: str) -> Iterator[Any]:
    if fenced := _FENCE.match(text):
        text = fenced[1]
    decoder, place = json.JSONDecoder(), 0
    while place < len(text):
        if text[place] not in starts:
            place += 1
            continue
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        yield value


def _free_place(words: Sequence[str], tags: Sequence[str], wanted: Sequence[str]) -> int | None:
    size = len(wanted)
    places = range(len(words) - size + 1) if size else ()
    fits = (at for at in places if list(words[at : at + size]) == list(wanted))
    return next((at for at in fits if all(tag == OUTSIDE for tag in tags[at : at + size])), None)


LABEL, JSON, SPANS, TEXT = _Label(), _Json(), _Spans(), _Text()

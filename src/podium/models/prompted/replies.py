"""From the text of a reply to an answer, or to none. Nothing is guessed.

It imports nothing of Podium, since it is deployed with prompted models: `podium infer` and a served model read replies
with this code alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

OUTSIDE = "O"

_FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
_WRAPPED = " \t\r\n\"'`*_.,:;!()[]{}<>„“”‚‘’«»"
_HARMONY = re.compile(
    r"<\|channel\|>\s*(\w+).*?<\|message\|>(.*?)(?=<\|(?:end|return|start|channel|call)\|>|$)", re.DOTALL
)
_THOUGHT = re.compile(r"^\s*<(think|thinking|reasoning)>(.*?)</\1>", re.DOTALL)
_OPEN_THOUGHT = re.compile(r"\s*<(?:think|thinking|reasoning)>")


class Parsed(NamedTuple):
    """An answer, and the reason that the model gives for it beside the answer."""

    answer: Any
    rationale: str | None = None


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
    if found := _OPEN_THOUGHT.match(text):
        return "", text[found.end() :].strip()
    return text, None


def read_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that is the whole reply, or the only one that the reply mentions as a word, whatever its case."""
    whole = named(text.strip(), labels) or named(text.strip(_WRAPPED), labels)
    if whole is not None:
        return whole
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
    return alone.pop() if len(alone) == 1 else None


def read_json(text: str, labels: Sequence[str]) -> Parsed | None:
    """What the JSON objects in a reply, alone or within other text, all give: a label or a sorted list of labels.

    An object has `label`, or the list `labels`, and perhaps `rationale`. Without labels the object is the answer.
    """
    found = []
    for value in _values(text, "{"):
        parsed = _of_object(value, labels)
        if parsed is None:
            return None
        found.append(parsed)
    return found[0] if found and all(one.answer == found[0].answer for one in found) else None


def read_tags(text: str, types: Sequence[str], words: Sequence[str]) -> list[str] | None:
    """A BIO2 tag for each word, from a JSON list of `{"text": ..., "label": ...}` or an object with it as `entities`.

    Entities take words in the order in which the reply mentions them: of several places with equal words, the first one
    that is not taken yet. So a name that occurs twice is tagged once where it is mentioned once. Case and white space
    make no difference, and an entity begins and ends with a word. An entity that the row does not have, or one of an
    unknown type, makes the whole reply invalid.
    """
    entities = _entities(text)
    if entities is None:
        return None
    folded = ["".join(str(word).casefold().split()) for word in words]
    tags = [OUTSIDE] * len(folded)
    for entity in entities:
        if not isinstance(entity, dict) or not isinstance(entity.get("text"), str):
            return None
        kind = named(entity.get("label", entity.get("type")), types)
        place = _free_place(folded, tags, "".join(entity["text"].casefold().split()))
        if kind is None or place is None:
            return None
        tags[place.start : place.stop] = [f"B-{kind}", *[f"I-{kind}"] * (len(place) - 1)]
    return tags


def entities_of(words: Sequence[str], tags: Sequence[str]) -> list[dict[str, str]]:
    """The entities that BIO2 tags name, in the form that `read_tags` reads."""
    found: list[tuple[list[str], str]] = []
    for word, tag, before in zip(words, tags, [OUTSIDE, *tags], strict=False):
        if tag.startswith("B-"):
            found.append(([word], tag[2:]))
        elif tag != OUTSIDE and found and before[2:] == tag[2:]:
            found[-1][0].append(word)
    return [{"text": " ".join(own), "label": kind} for own, kind in found]


def is_whole(text: str, start: str) -> bool:
    """Whether a text that is being written has a whole JSON value that begins with `start`, which ends the answer."""
    return next(_values(split_reasoning(text)[0], start), None) is not None


def schema_start(schema: Mapping[str, Any] | None) -> str | None:
    """The character that an answer of this schema begins with; None where it may be no object and no list."""
    return None if schema is None else {"object": "{", "array": "["}.get(str(schema.get("type")))


def named(value: Any, labels: Sequence[str]) -> str | None:
    """The label that a value is, exactly or else in another case, if that is one label only."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    name = str(value).strip()
    if name in labels:
        return name
    alike = [label for label in labels if label.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def _of_object(value: Any, labels: Sequence[str]) -> Parsed | None:
    rationale = value.get("rationale")
    reason = rationale if isinstance(rationale, str) else None
    if not labels:
        return Parsed(value, reason)
    if isinstance(several := value.get("labels"), list):
        names = [named(one, labels) for one in several]
        return None if None in names else Parsed(sorted({str(name) for name in names}), reason)
    name = named(value.get("label"), labels)
    return None if name is None else Parsed(name, reason)


def _entities(text: str) -> list[Any] | None:
    """The list of entities in a reply; None where there is none, or more than one."""
    found = list(_values(text, "[{"))
    if len(found) != 1:
        return None
    inner = found[0].get("entities") if isinstance(found[0], dict) else found[0]
    return inner if isinstance(inner, list) else None


def _values(text: str, starts: str) -> Iterator[Any]:
    """The outermost JSON values in a text that begin with one of these characters."""
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


def _free_place(words: Sequence[str], tags: Sequence[str], wanted: str) -> range | None:
    """The first run of words, none of which is tagged, that is the wanted text when it is joined without blanks."""
    for start in range(len(words) if wanted else 0):
        joined = ""
        for end in range(start, len(words)):
            if tags[end] != OUTSIDE:
                break
            joined += words[end]
            if joined == wanted:
                return range(start, end + 1)
            if not wanted.startswith(joined):
                break
    return None

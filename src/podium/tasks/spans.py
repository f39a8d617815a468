"""Entities given as character spans, as annotation tools export them, aligned to the words of the text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from podium.tasks.annotations import annotations_of, most_frequent

_WORD = re.compile(r"\w+|[^\w\s]")
_STARTS = ("start", "start_offset", "start_char", "begin")
_ENDS = ("end", "end_offset", "end_char")
_LABELS = ("label", "labels", "type", "tag", "entity_group", "entity", "class")


class Span(NamedTuple):
    """An entity: its characters from `start` up to, and without, `end`."""

    start: int
    end: int
    label: str


def spans_of(value: Any) -> list[Span] | None:
    """The spans of a cell; None where it holds something else.

    Read are: lists of `[start, end, label]`; of objects with start, end and label under the names of doccano, Prodigy,
    spaCy and Label Studio; such lists under `entities` or `spans`; and annotations of Label Studio with their results.
    """
    if isinstance(value, Mapping):
        inner = next((value[name] for name in ("entities", "spans", "result") if name in value), None)
        return None if inner is None else spans_of(inner)
    if not isinstance(value, list):
        return None
    if (annotations := annotations_of(value)) is not None:
        each = [_marked(one["result"]) for one in annotations]
        return None if None in each else most_frequent(each) or []
    found: list[Span] = []
    for one in value:
        span = _span(one)
        if span is None:
            return None
        found.append(span)
    return found


def _marked(results: list[Any]) -> list[Span] | None:
    """The spans among the results of an annotation."""
    return spans_of([one for one in results if not isinstance(one, Mapping) or "start" in _body(one)])


def _body(one: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = one.get("value")
    return inner if isinstance(inner, Mapping) else one


def _span(one: Any) -> Span | None:
    if isinstance(one, Mapping):
        body = _body(one)
        start, end = (next((body[name] for name in names if name in body), None) for names in (_STARTS, _ENDS))
        label: Any = next((body[name] for name in _LABELS if body.get(name)), None)
        if isinstance(label, list) and len(label) == 1:
            label = label[0]
    elif isinstance(one, Sequence) and not isinstance(one, str) and len(one) == 3:
        start, end, label = one
    else:
        return None
    if bool in (type(start), type(end)) or not isinstance(start, int) or not isinstance(end, int):
        return None
    return Span(start, end, label.strip()) if isinstance(label, str) and label.strip() else None


def looks_like_spans(cells: Sequence[Any]) -> bool:
    """Whether cells hold spans, and at least one of them has one."""
    found = [spans_of(cell) for cell in cells]
    return all(one is not None for one in found) and any(found)


class Aligned(NamedTuple):
    """Words, their BIO2 tags, how many spans cut a word, and how many were left out for another one over them."""

    words: list[str]
    tags: list[str]
    cutting: int
    overlapping: int


def align(text: str, spans: Sequence[Span], tokens: Sequence[tuple[int, int]] | None = None) -> Aligned:
    """The words of a text with the tags that the spans give them; a word that a span cuts belongs to it whole.

    Of spans over each other the longest counts.

    Args:
        tokens: places of the words in the text where they are known; else words are runs of letters and digits, and
            single other characters.

    Raises:
        ValueError: a span is empty or not in the text.
    """
    places = list(tokens) if tokens is not None else [match.span() for match in _WORD.finditer(text)]
    tags = ["O"] * len(places)
    cutting = overlapping = 0
    for span in sorted(spans, key=lambda one: (one.start - one.end, one.start)):
        if not 0 <= span.start < span.end <= len(text):
            raise ValueError(
                f"must hold spans of the text's {len(text)} characters, but {span.label!r} is from {span.start} to "
                f"{span.end}"
            )
        inside = [number for number, (start, end) in enumerate(places) if start < span.end and end > span.start]
        if not inside:
            raise ValueError(f"must hold spans with a word in them, but {span.label!r} at {span.start} has none")
        if any(tags[number] != "O" for number in inside):
            overlapping += 1
            continue
        cutting += places[inside[0]][0] < span.start or places[inside[-1]][1] > span.end
        for number in inside:
            tags[number] = f"{'B' if number == inside[0] else 'I'}-{span.label}"
    return Aligned([text[start:end] for start, end in places], tags, cutting, overlapping)


def words_of(text: str) -> list[str]:
    """The words of a text, as `align` finds them."""
    return _WORD.findall(text)

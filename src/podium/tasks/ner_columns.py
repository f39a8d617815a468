"""Which columns of a data set hold words and their tags, or texts and their spans."""

from __future__ import annotations

from collections.abc import Sequence

from podium.errors import InputError
from podium.tasks.columns import Choice, Column, ambiguous, choose, text_column
from podium.tasks.spans import looks_like_spans
from podium.tasks.tags import OUTSIDE, are_numbers, are_tags, sentence_column

_SPAN_NAMES = ("entities", "spans", "label", "labels", "annotations", "ner")
_LONGEST_WORD = 25.0


def recognised(columns: Sequence[Column], tag_names: Sequence[str]) -> bool:
    """Whether there are texts with spans, words with tags, or tokens with tags in the rows of numbered sentences."""
    if _spans(columns):
        return any(column.texts for column in columns)
    words = [column for column in columns if _has_words(column)]
    tagged = [column for column in taggable(columns, tag_names) if any(one is not column for one in words)]
    return bool(tagged) or (sentence_column([column.name for column in columns]) is not None and bool(_tokens(columns)))


def choose_both(
    columns: Sequence[Column], content: str | None, target: str | None, words: Sequence[str], tags: Sequence[str]
) -> Choice:
    """The columns of content and target; errors as for `Task.choose_columns`."""
    spans = [column for column in _spans(columns) if column.name != content]
    if spans and (target is None or any(column.name == target for column in spans)):
        name, why = choose(spans, target, _SPAN_NAMES, "character spans", ambiguous("spans", "--label-column", columns))
        text, reason = text_column(columns, content, name, "named entity recognition")
        return Choice(text, reason, name, f"{why}, character spans")
    rows = _tokens(columns)
    if rows and not any(map(_has_words, columns)):
        candidates = [column for column in rows if column.name != content]
        name, why = choose(candidates, target, tags, "tags", ambiguous("tags", "--label-column", columns))
        token, reason = _choose_tokens(columns, rows, content, words)
        return Choice(token, f"{reason}, one token a row", name, why)
    found = [column for column in taggable(columns, tags) if column.name != content]
    name, why = choose(found, target, tags, "lists of BIO tags", ambiguous("tags", "--label-column", columns))
    lists = [column for column in columns if any(column.lists) and column.name != name]
    token, reason = choose(lists, content, words, "the other lists", ambiguous("tokens", "--text-column", columns))
    chosen = next(column for column in columns if column.name == name)
    if any(chosen.lists) and all(map(are_numbers, chosen.lists)):
        why += ", numbers"
    return Choice(token, reason, name, why)


def choose_words(
    columns: Sequence[Column], given: str | None, target: str | None, words: Sequence[str], tags: Sequence[str]
) -> tuple[str, str]:
    """The column of the words, or of texts that are parted into words; errors as for `Task.choose_content`."""
    if given is not None:
        return given, "given"
    tagged = {target, *(column.name for column in taggable(columns, tags))}
    lists = [column for column in columns if _has_words(column) and column.name not in tagged]
    if lists:
        return choose(lists, given, words, "the only lists of words", ambiguous("tokens", "--text-column", columns))
    if rows := _tokens(columns):
        return _choose_tokens(columns, rows, given, words)
    try:
        name, reason = text_column(columns, None, target, "named entity recognition")
    except InputError:
        raise ambiguous("tokens", "--text-column", columns) from None
    return name, f"{reason}, parted into words"


def taggable(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """Columns whose lists hold tags with prefixes; else those with a name of tags and a list of words for each list."""
    prefixed = [column for column in columns if any(column.lists) and all(map(are_tags, column.lists))]
    if prefixed:
        return prefixed
    named = [column for column in columns if any(column.lists) and column.name.lower() in names]
    return [column for column in named if any(_beside(column, other) for other in columns if other is not column)]


def _beside(tags: Column, words: Column) -> bool:
    """Whether there is one tag, a number or a short text, for each word."""
    if not _has_words(words) or [len(one) for one in tags.lists] != [len(one) for one in words.lists]:
        return False
    flat = [one for tag in tags.lists for one in tag]
    return are_numbers(flat) or (all(isinstance(one, str) for one in flat) and OUTSIDE in flat)


def _has_words(column: Column) -> bool:
    return any(column.lists) and all(isinstance(one, str) for words in column.lists for one in words)


def _spans(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if column.lists and looks_like_spans(column.lists)]


def _tokens(columns: Sequence[Column]) -> list[Column]:
    """Columns whose texts are tags, in rows that are one token each."""
    tags = [column for column in columns if column.texts and not column.lists and _has_tags(column)]
    return tags if any(_is_token(column) for column in columns if column not in tags) else []


def _has_tags(column: Column) -> bool:
    values = sorted(column.values - {""})
    return are_tags(values) and any(value != OUTSIDE for value in values)


def _is_token(column: Column) -> bool:
    return column.texts > 0 and column.length / column.texts < _LONGEST_WORD


def _choose_tokens(
    columns: Sequence[Column], tags: Sequence[Column], given: str | None, words: Sequence[str]
) -> tuple[str, str]:
    """The column of the tokens of rows that are one token each."""
    others = [one for one in columns if one.texts and one not in tags and sentence_column([one.name]) is None]
    return choose(others, given, words, "the other texts", ambiguous("tokens", "--text-column", columns))

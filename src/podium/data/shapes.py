"""Rows as people have them, brought to the shape that a task reads.

For words with tags that is: a list of words and a list of BIO tags, from character spans, other schemes of tags,
numbers in the place of tags, lists written as text, or one token a row. Labels given as numbers get their names.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

from podium.config.schema import DatasetConfig
from podium.data.readers.base import BadRow, Reader, Row
from podium.errors import DataError
from podium.tasks import TASKS
from podium.tasks.annotations import DISPUTED, annotations_of, answer, answers_of, beside, is_submitted, set_aside
from podium.tasks.columns import columns_named, inner_names, is_one, missing
from podium.tasks.spans import align, spans_of, words_of
from podium.tasks.tags import are_numbers, to_bio
from podium.tasks.tags import sentence_column as usual_sentence_column

CUTTING = "spans that begin or end inside a word, which was taken whole"
OVERLAPPING = "spans that were left out because a longer one is over them"
TOKEN_ROWS = "sentences put together from one token a row"

_NAME_FILES = ("labels.txt", "label_list.txt", "tags.txt", "classes.txt")
_LISTED = re.compile(r"\s*(\[.*\]|\(.*\)|\{.*\}|set\(\))\s*", re.DOTALL)
_ITEM = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|-?[0-9]+"""
_ARRAY = re.compile(rf"\s*\[\s*(?:{_ITEM})(?:\s+(?:{_ITEM}))+\s*\]\s*")
"""A numpy array as pandas writes it into a cell: blanks part its items, so that Python would join the texts."""


def rows_of(
    reader: Reader, names: tuple[str, str], config: DatasetConfig, whole: bool = False
) -> Iterator[Row | BadRow]:
    """The rows of a reader in the shape that the task of `config` reads, without those that nobody has labelled.

    Args:
        names: columns of content and target; an empty target where there is none.
        whole: give all columns, and the rows that nobody has labelled, too.

    Raises:
        DataError: what the rows need is missing; the message says what to set.
    """
    task = TASKS.get(config.task)
    if not task.words:
        several = columns_named(names[1], reader.columns() if "," in names[1] else ())
        wanted = {name for name in (*names, *several) if name} | beside(names[1])
        for row in reader.rows(None if whole else wanted):
            if isinstance(row, BadRow):
                yield row
            elif len(several) > 1:
                yield _indicated(reader, row, several, names[1], whole)
            elif whole or _counts(reader, row, names[1]):
                yield _labelled(row, names[1], config.label_names, task.several)
        return
    rows = reader.rows()
    first = list(islice(rows, 1))
    if first and isinstance(first[0], Row) and _is_token(first[0], names):
        yield from _sentences(reader, names, sentence_column(reader, config))
        return
    labels = tag_names(reader, config)
    for row in chain(first, rows):
        if isinstance(row, BadRow):
            yield row
        elif whole or _counts(reader, row, names[1]):
            yield _words_and_tags(reader, row, names, labels)


class Shaped(Reader):
    """All rows of another reader in the shape that the task of `config` reads, and the columns that they then have."""

    def __init__(self, reader: Reader, names: tuple[str, str], config: DatasetConfig) -> None:
        super().__init__(reader.source, config)
        self._reader, self._names = reader, names

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        return rows_of(self._reader, self._names, self.config, whole=True)

    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._reader.columns(), *filter(None, self._names))))


def _counts(reader: Reader, row: Row, target: str) -> bool:
    """Whether a row has been labelled; else it is counted, as are rows on which annotators disagree."""
    if note := set_aside(row.values, target):
        reader.notes[note] += 1
        return False
    given = row.values.get(target)
    each = answers_of(given) or [spans_of([one]) for one in annotations_of(given) or ()]
    reader.notes[DISPUTED] += any(one != each[0] for one in each)
    return True


def _indicated(reader: Reader, row: Row, columns: Sequence[str], name: str, whole: bool) -> Row | BadRow:
    """The row with the names of the columns that hold a 1, in one column."""
    labels = []
    for column, label in zip(columns, inner_names(columns, row.values), strict=True):
        try:
            labels += [label] if is_one(row.values.get(column)) else []
        except ValueError as error:
            if not whole:
                return BadRow(row.file, row.line, column, str(error), reader.unit)
            return row  # its text can be predicted all the same
    return row._replace(values={**row.values, name: labels})


def _labelled(row: Row, name: str, labels: Sequence[str], several: bool) -> Row:
    """The row with names in the place of the numbers of labels, and with a list where one is written as text."""
    if not name:
        return row
    given = row.values.get(name)
    value = as_list(given)
    if several and is_submitted(row.values):
        value = [] if missing(value) else [value] if isinstance(value, str) and value else value
    with suppress(ValueError, TypeError):
        place = int(value) if not isinstance(value, (bool, list)) else -1
        if 0 <= place < len(labels) and float(value) == place:
            return row._replace(values={**row.values, name: labels[place]})
    if isinstance(value, list) and are_numbers(value) and all(one < len(labels) for one in value):
        value = [labels[one] for one in value]
    return row if value is given else row._replace(values={**row.values, name: value})


def _words_and_tags(reader: Reader, row: Row, names: tuple[str, str], labels: Sequence[str]) -> Row | BadRow:
    content, target = (as_list(row.values.get(name)) for name in names)
    if isinstance(content, str) and target in (None, ""):
        # Without a column of tags the words are only to be predicted; Prodigy leaves an empty list of spans out.
        target = [] if "answer" in row.values or is_submitted(row.values) else target
        content = content if names[1] else words_of(content)
    if isinstance(content, str) and (spans := spans_of(target)) is not None:
        tokens = row.values.get("tokens") if names[0] != "tokens" else None
        try:
            found = align(content, spans, _places(tokens))
        except ValueError as error:
            return BadRow(row.file, row.line, names[1], str(error), reader.unit)
        reader.notes[CUTTING] += found.cutting
        reader.notes[OVERLAPPING] += found.overlapping
        content, target = found.words, found.tags
    if isinstance(target, list) and target:
        if labels and are_numbers(target):
            if (largest := max(target)) >= len(labels):
                reason = f"must hold places in dataset.label_names, which has {len(labels)}, but got {largest}"
                return BadRow(row.file, row.line, names[1], reason, reader.unit)
            target = [labels[place] for place in target]
        if all(isinstance(tag, str) for tag in target):
            target, scheme, rewritten = to_bio(target)
            if rewritten:
                reader.notes[f"tags that were rewritten from {scheme} to BIO2"] += rewritten
    tagged = {names[1]: target} if names[1] else {}
    return row._replace(values={**row.values, names[0]: content, **tagged})


def as_list(value: Any) -> Any:
    """A list that is written as text, as cells of CSV files hold it, or what annotators say; else the value itself."""
    if isinstance(value, str) and _LISTED.fullmatch(value):
        for read in (_array, json.loads, ast.literal_eval):
            with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                if isinstance(found := answer(read(value)), (list, tuple, set)):
                    return sorted(found) if isinstance(found, set) else list(found)
    return list(value) if isinstance(value, tuple) else answer(value)


def _array(text: str) -> list[Any]:
    if not _ARRAY.fullmatch(text):
        raise ValueError("it is no array")
    return [ast.literal_eval(item) for item in re.findall(_ITEM, text)]


def _places(tokens: Any) -> list[tuple[int, int]] | None:
    """Places of the words as Prodigy gives them."""
    with suppress(TypeError, KeyError):
        return [(int(token["start"]), int(token["end"])) for token in tokens] or None
    return None


def _is_token(row: Row, names: tuple[str, str]) -> bool:
    """Whether a row is one token with its tag."""
    content, target = (as_list(row.values.get(name)) for name in names)
    return bool(names[1]) and isinstance(target, str) and target != "" and isinstance(content, (str, int, float))


def sentence_column(reader: Reader, config: DatasetConfig) -> str:
    """The column that numbers the sentences of rows that are one token each.

    Raises:
        DataError: there is none.
    """
    columns = reader.columns()
    if config.sentence_column is not None:
        if config.sentence_column in columns:
            return config.sentence_column
        raise DataError(f"dataset.sentence_column must name a column, one of: {', '.join(columns)}")
    found = usual_sentence_column(columns)
    if found is None:
        raise DataError(
            f"{reader.source.location} has one token a row, so a column must number the sentences, but none is named "
            f"so; set dataset.sentence_column to one of: {', '.join(columns)}"
        )
    return found


def _sentences(reader: Reader, names: tuple[str, str], column: str) -> Iterator[Row | BadRow]:
    """A row for each run of tokens of one sentence; an empty number goes on with the sentence before."""
    sentence: list[Row] = []
    current: Any = None
    bad: BadRow | None = None
    for row in reader.rows():
        number = None if isinstance(row, BadRow) else row.values.get(column)
        begins = not isinstance(row, BadRow) and not missing(number) and number not in ("", current)
        if begins:
            if sentence or bad:
                yield bad or _joined(reader, sentence, names)
            sentence, bad, current = [], None, number
        if isinstance(row, BadRow):
            bad = bad or row
        else:
            sentence.append(row)
    if sentence or bad:
        yield bad or _joined(reader, sentence, names)


def _joined(reader: Reader, rows: list[Row], names: tuple[str, str]) -> Row | BadRow:
    words, tags = ([row.values.get(name) for row in rows] for name in names)
    words = [word if isinstance(word, str) else "" if missing(word) else str(word) for word in words]
    reader.notes[TOKEN_ROWS] += 1
    values = {**rows[0].values, names[0]: words, names[1]: [None if missing(tag) else str(tag).strip() for tag in tags]}
    return _words_and_tags(reader, rows[0]._replace(values=values), names, ())


def tag_names(reader: Reader, config: DatasetConfig) -> tuple[str, ...]:
    """The names of tags that are given as numbers: those of the config, or of a file beside the data; else none."""
    if config.label_names:
        return config.label_names
    place = Path(reader.source.files[0].path).parent if reader.source.files else None
    for folder in () if place is None else (place, place.parent):
        for name in _NAME_FILES:
            with suppress(OSError, UnicodeDecodeError):
                lines = (folder / name).read_text("utf-8").split("\n")
                if names := tuple(line.strip() for line in lines if line.strip()):
                    return names
    return ()

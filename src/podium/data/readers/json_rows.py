"""JSON Lines, and one JSON array of objects."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from podium.data.readers.base import BadRow, Content, Reader, Row, encoding_of, flattened, opened
from podium.data.sources import SourceFile, suffix_of
from podium.errors import DataError

_ESCAPED = re.compile("[\udc80-\udcff]")
_DECODER = json.JSONDecoder()
_OF_A_ROW = ("schema", "features", "annotations", "entities", "spans", "tokens")
_SPACE = re.compile(r"[ \t\r\n\ufeff]*")


class JsonLines(Reader):
    """One JSON object per line; blank lines are skipped."""

    name = "jsonl"
    encoded = True
    extensions = (".jsonl", ".ndjson")

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        first = _first_byte(head)
        if suffix_of(path) != ".json":
            return first == b"{"
        return first != b"[" and not _is_one_document(head)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        for item in self.filled_lines():
            yield item if isinstance(item, BadRow) else self._row(*item)

    def _row(self, name: str, number: int, line: str) -> Row | BadRow:
        try:
            return _object(name, number, json.loads(line.rstrip("\r\n")), self.unit)
        except json.JSONDecodeError as error:
            return BadRow(name, number, None, f"is not JSON: {error.msg} (column {error.colno})")
        except (ValueError, RecursionError) as error:
            return BadRow(name, number, None, f"is not JSON: {error}")


class JsonArray(Reader):
    """One array of JSON objects, parsed element by element: memory never holds the whole array.

    Rows are counted from 1, since all of them may stand on one line. The text of the elements that follow is in a
    window, which slides and grows as far as the longest element needs.
    A document that is an object is read whole: a list of rows in one of its fields, or a table as pandas writes it.
    """

    name = "json"
    encoded = True
    unit = "row"

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        return suffix_of(path) == ".json" and (_first_byte(head) == b"[" or _is_one_document(head))

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield one row per element.

        Raises:
            DataError: the text is not a JSON array, or an element is broken or longer than `max_row_bytes`.
        """
        self.notes.clear()
        for file in self.source.files:
            with opened(file, self.config.encoding) as raw:
                encoding = self._encoding = encoding_of(raw, self.config.encoding)
                self._text = io.TextIOWrapper(raw, encoding, "surrogateescape", newline="")
                self._window, self._at, self._line = "", 0, 1
                yield from self._elements(file)

    def _elements(self, file: SourceFile) -> Iterator[Row | BadRow]:
        first = self._next()
        if first == "{":
            yield from self._documents(file)
            return
        if first not in ("", "["):
            raise DataError(
                f"{file.name} must hold one JSON array of objects, but starts with {first!r}; use dataset.format=jsonl "
                "for one object per line, or give the array itself"
            )
        self._at += 1
        if first == "" or self._next() == "]":
            return
        for number in count(1):
            value, text = self._element(f"{file.name} line {self._line}")
            if not text.isascii() and _ESCAPED.search(text):
                # It has bytes outside the declared encoding.
                data = text.encode(self._encoding, "surrogateescape")
                again = self.decoded(data, file.name, number, encoding=self._encoding)
                yield again if isinstance(again, BadRow) else _object(file.name, number, json.loads(again))
            else:
                yield _object(file.name, number, value)
            following = self._next()
            if following == "]":
                return
            if following != ",":
                raise DataError(
                    f"{file.name} line {self._line}: ',' or ']' must follow an element, but got {following!r}"
                )
            self._at += 1
            self._next()

    def _documents(self, file: SourceFile) -> Iterator[Row | BadRow]:
        """The rows of a document that is an object, or of several objects one after another."""
        text = self._window[self._at :] + self._text.read()
        objects, at = [], 0
        try:
            while at < len(text):
                value, at = _DECODER.raw_decode(text, at)
                objects.append(value)
                at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, getattr(error, "pos", 0)) + 1
            raise DataError(f"{file.name} line {line}: is not JSON: {getattr(error, 'msg', error)}") from error
        rows = objects if len(objects) > 1 else rows_of_document(file.name, objects[0])
        for number, value in enumerate(rows, 1):
            yield _object(file.name, number, value)

    def _next(self) -> str:
        """Move to the next character that is neither white space nor a byte order mark; "" at the end."""
        while True:
            start, self._at = self._at, _SPACE.match(self._window, self._at).end()  # type: ignore[union-attr]
            self._line += self._window.count("\n", start, self._at)
            if self._at < len(self._window):
                return self._window[self._at]
            if not self._grow():
                return ""

    def _element(self, where: str) -> tuple[Any, str]:
        """Value and text of the element that starts here; more text is read until the element is complete."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._window, self._at)
            except json.JSONDecodeError as error:
                problem = f"{error.msg} near character {error.pos - self._at} of the element"
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where}: is not JSON: {error}") from error
            else:
                if end < len(self._window):
                    text = self._window[self._at : end]
                    self._line += text.count("\n")
                    self._at = end
                    return value, text
                problem = "the array must end with ']'"
            if len(self._window) - self._at > self.config.max_row_bytes:
                raise DataError(f"{where}: {self.too_long()} (or broken: {problem})")
            if not self._grow():
                raise DataError(f"{where}: is not JSON: {problem}")

    def _grow(self) -> bool:
        chunk = self._text.read(1 << 16)
        self._window = self._window[self._at :] + chunk
        self._at = 0
        return bool(chunk)


def _first_byte(head: bytes) -> bytes:
    """The first byte that is neither white space nor part of a byte order mark."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]


def _is_one_document(head: bytes) -> bool:
    """Whether the first line is no object of its own, or is one that holds rows, as far as the first bytes show."""
    text = head.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n")
    first, end, rest = text.partition("\n")
    if not first.startswith("{"):
        return False
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        # One object over several lines, or the beginning of a long one; a line of rows would be followed by another.
        return not end or not rest.lstrip().startswith("{")
    with suppress(DataError):
        return not rest.strip() and len(rows_of_document("", value)) != 1
    return True


def rows_of_document(file: str, value: dict[str, Any]) -> list[Any]:
    """The rows that an object holds: in a list, in columns, or in the orientations of pandas; else it is one row.

    Raises:
        DataError: it holds several lists of rows.
    """
    while len(value) == 1 and isinstance(inside := next(iter(value.values())), dict):
        value = inside
    lists = {name: one for name, one in value.items() if isinstance(one, list)}
    objects = [name for name, one in lists.items() if one and all(isinstance(row, (dict, list)) for row in one)]
    tables = [name for name in objects if name not in _OF_A_ROW]
    if len(tables) == 1 and not any(isinstance(one, str) and " " in one for one in value.values()):
        return list(lists[tables[0]])
    if len(tables) > 1 and len(lists) == len(value):
        raise DataError(f"{file} holds several lists of rows: {', '.join(tables)}; put each into a file of its own")
    if {"columns", "data"} <= lists.keys():
        return [dict(zip(map(str, value["columns"]), row, strict=False)) for row in value["data"]]
    inner = list(value.values())
    if inner and all(isinstance(one, dict) and one for one in inner):
        outside, inside = list(value), list(inner[0])
        by_row = len(outside) > len(inside)
        if all(map(str.isdigit, outside)) != all(map(str.isdigit, inside)):
            by_row = all(map(str.isdigit, outside))
        if by_row:
            return inner
        return [{name: value[name].get(row) for name in outside} for row in inside]
    sizes = {len(one) for one in lists.values()}
    if len(lists) == len(value) > 1 and len(sizes) == 1 and all(any(isinstance(x, str) for x in c) for c in inner[:1]):
        return [dict(zip(value, row, strict=True)) for row in zip(*inner, strict=True)]
    return [value]


def _object(name: str, number: int, value: Any, unit: str = JsonArray.unit) -> Row | BadRow:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict):
        # The training data of spaCy: a text and its annotations.
        value = {"text": value[0], **value[1]}
    if isinstance(value, list) and len(value) > 1 and {str} <= set(map(type, value)) <= {str, int, float}:
        value = {f"column_{place}": one for place, one in enumerate(value, 1)}
    if isinstance(value, dict):
        return Row(name, number, flattened(value))
    reason = f"must be an object with named fields, but got {type(value).__name__}"
    return BadRow(name, number, None, reason, unit)

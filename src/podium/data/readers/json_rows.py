"""JSON Lines, and one JSON array of objects."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from podium.data.lines import Decoder, text_lines, too_long, undecodable
from podium.data.readers.base import Content, Reader
from podium.data.rows import BadRow, Row
from podium.data.sources import SourceFile
from podium.errors import DataError

_ESCAPED = re.compile("[\udc80-\udcff]")
_SPACE = re.compile(r"[ \t\r\n]*")


class JsonLines(Reader):
    """One JSON object per line; blank lines are skipped."""

    name = "jsonl"
    extensions = (".jsonl", ".ndjson")

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        first = _first_byte(head)
        return first == b"{" or (path.suffix.lower() == ".json" and first != b"[")

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield one row per line that is not blank."""
        self.notes.clear()
        for file in self.source.files:
            for item in text_lines(file, self.config, self.notes):
                if isinstance(item, BadRow):
                    yield item
                elif not item[1].isspace():
                    yield self._row(file.name, *item)

    def _row(self, name: str, number: int, line: str) -> Row | BadRow:
        try:
            value = json.loads(line.rstrip("\r\n"))
        except json.JSONDecodeError as error:
            return BadRow(name, number, None, f"is not JSON: {error.msg} (column {error.colno})")
        except (ValueError, RecursionError) as error:
            return BadRow(name, number, None, f"is not JSON: {error}")
        return _object(name, number, value)


class JsonArray(Reader):
    """One array of JSON objects, parsed element by element: memory never holds the whole array."""

    name = "json"

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        return path.suffix.lower() == ".json" and _first_byte(head) == b"["

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield one row per element.

        Raises:
            DataError: the text is not a JSON array, or an element is broken or longer than `max_row_bytes`.
        """
        self.notes.clear()
        for file in self.source.files:
            for number, value, text in self._elements(file):
                if text.isascii() or not _ESCAPED.search(text):
                    yield _object(file.name, number, value)
                else:
                    yield self._decoded(file.name, number, text)

    def _decoded(self, name: str, number: int, text: str) -> Row | BadRow:
        """Decode an element again that has bytes outside the declared encoding."""
        decoder = Decoder(self.config.encoding, self.config.fallback_encoding, self.notes)
        try:
            return _object(
                name, number, json.loads(decoder.decode(text.encode(self.config.encoding, "surrogateescape")))
            )
        except UnicodeDecodeError as error:
            return BadRow(name, number, None, undecodable(error))

    def _elements(self, file: SourceFile) -> Iterator[tuple[int, Any, str]]:
        window = _Window(self._text(file), file.name, self.config.max_row_bytes, too_long(self.config))
        first = window.next_character()
        if first == "":
            return
        if first != "[":
            raise DataError(
                f"{file.name} must hold one JSON array of objects, but starts with {first!r}; use dataset.format=jsonl "
                "for one object per line, or give the array itself"
            )
        window.skip()
        if window.next_character() == "]":
            return
        while True:
            window.next_character()
            number = window.line
            yield (number, *window.element())
            following = window.next_character()
            if following == "]":
                return
            if following != ",":
                raise DataError(
                    f"{file.name} line {window.line}: ',' or ']' must follow an element, but got {following!r}"
                )
            window.skip()

    def _text(self, file: SourceFile) -> Iterator[str]:
        try:
            with io.TextIOWrapper(file.open(), self.config.encoding, "surrogateescape", newline="") as stream:
                while chunk := stream.read(1 << 16):
                    yield chunk
        except UnicodeError as error:
            raise DataError(f"{file.name} is not {self.config.encoding}: {error}; set dataset.encoding") from error
        except OSError as error:
            raise DataError(f"{file.name} cannot be read: {error}") from error


class _Window:
    """A window that slides over JSON text and holds one element at a time."""

    def __init__(self, chunks: Iterator[str], name: str, limit: int, too_long: str) -> None:
        self._chunks = chunks
        self._name = name
        self._limit = limit
        self._too_long = too_long
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()
        self.line = 1

    def next_character(self) -> str:
        """Move to the next character that is neither white space nor a byte order mark; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            end = match.end() if match else self._at
            self.line += self._text.count("\n", self._at, end)
            self._at = end
            if self._at < len(self._text) and self._text[self._at] != "\ufeff":
                return self._text[self._at]
            if self._at < len(self._text):
                self._at += 1
            elif not self._grow():
                return ""

    def skip(self) -> None:
        """Move past one character."""
        self._at += 1

    def element(self) -> tuple[Any, str]:
        """Value and text of the element that starts here; more text is read until the element is complete."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                problem = f"{error.msg} near character {error.pos - self._at} of the element"
            except (ValueError, RecursionError) as error:
                raise DataError(f"{self._name} line {self.line}: is not JSON: {error}") from error
            else:
                if end < len(self._text):
                    text = self._text[self._at : end]
                    self.line += text.count("\n")
                    self._at = end
                    return value, text
                problem = "the array must end with ']'"
            if len(self._text) - self._at > self._limit:
                raise DataError(f"{self._name} line {self.line}: {self._too_long} (or broken: {problem})")
            if not self._grow():
                raise DataError(f"{self._name} line {self.line}: is not JSON: {problem}")

    def _grow(self) -> bool:
        chunk = next(self._chunks, "")
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return bool(chunk)


def _first_byte(head: bytes) -> bytes:
    """The first byte that is neither white space nor part of a byte order mark."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]


def _object(name: str, number: int, value: Any) -> Row | BadRow:
    if isinstance(value, dict):
        return Row(name, number, value)
    return BadRow(name, number, None, f"must be an object with named fields, but got {type(value).__name__}")

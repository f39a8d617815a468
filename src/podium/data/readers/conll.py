"""CoNLL: one token per line with its columns, a blank line between sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from podium.data.lines import text_lines, too_long
from podium.data.readers.base import Content, Reader
from podium.data.rows import BadRow, Row
from podium.data.sources import SourceFile

DOCUMENT_START = "-DOCSTART-"
"""First column of a line that separates documents in CoNLL-2003 (Tjong Kim Sang and De Meulder, 2003)."""


class Conll(Reader):
    """The first column of a line is the token, the last one its tag; tabs or spaces separate them."""

    name = "conll"
    extensions = (".conll", ".bio", ".iob", ".iob2")
    contents = frozenset[Content]({"tokens"})
    fixed_columns = ("tokens", "tags")

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        """A file of no other format is taken for CoNLL where the task needs tokens."""
        return content == "tokens" or _has_tags(head)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield one row per sentence, with the lines of its first token and of the `-DOCSTART-` of its document."""
        self.notes.clear()
        for file in self.source.files:
            yield from self._sentences(file)

    def _sentences(self, file: SourceFile) -> Iterator[Row | BadRow]:
        sentence = _Sentence(file.name, self.config.max_row_bytes, too_long(self.config))
        for item in text_lines(file, self.config, self.notes):
            if isinstance(item, BadRow):
                sentence.reject(item)
                continue
            number, line = item
            columns = _columns(line)
            if columns and columns[0] != DOCUMENT_START:
                sentence.add(number, columns, len(line))
                continue
            if (row := sentence.finish()) is not None:
                yield row
            if columns:
                sentence.document = number
        if (row := sentence.finish()) is not None:
            yield row


def _has_tags(head: bytes) -> bool:
    """Whether the lines are sentences whose last column is a BIO tag."""
    lines = [line.split() for line in head.decode("utf-8", "replace").splitlines()[:-1][:500]]
    rows = [line for line in lines if line and line[0] != DOCUMENT_START]
    if not rows or len(rows) == len(lines):
        return False
    tags = [row[-1] for row in rows]
    return all(len(row) >= 2 and (tag == "O" or tag[:2] in ("B-", "I-")) for row, tag in zip(rows, tags, strict=True))


def _columns(line: str) -> list[str]:
    """Split at tabs if there are any, else at spaces. Other white space may be part of a token."""
    line = line.strip(" \t\r\n")
    return [column for part in line.split("\t" if "\t" in line else " ") if (column := part.strip(" "))]


class _Sentence:
    """The sentence being read, and the line where its document began."""

    def __init__(self, name: str, limit: int, too_long: str) -> None:
        self._name = name
        self._limit = limit
        self._too_long = too_long
        self.document = 0
        self._clear()

    def _clear(self) -> None:
        self._first = 0
        self._size = 0
        self._tokens: list[str] = []
        self._tags: list[str] = []
        self._bad: BadRow | None = None

    def add(self, number: int, columns: list[str], size: int) -> None:
        """Add a line. A sentence is rejected for the first error in it."""
        self._first = self._first or number
        self._size += size
        if self._bad is not None:
            return
        if len(columns) < 2:
            self.reject(BadRow(self._name, number, "tags", f"must have a token and a tag, but has only {columns[0]!r}"))
        elif self._size > self._limit:
            self.reject(
                BadRow(
                    self._name, self._first, None, f"{self._too_long} (or blank lines between sentences are missing)"
                )
            )
        else:
            self._tokens.append(columns[0])
            self._tags.append(columns[-1])

    def reject(self, row: BadRow) -> None:
        """Mark the sentence as bad, and release its tokens."""
        self._bad = self._bad or row
        self._tokens, self._tags = [], []

    def finish(self) -> Row | BadRow | None:
        """Return the sentence, if any line belonged to it, and begin the next one."""
        row: Row | BadRow | None = self._bad
        if row is None and self._tokens:
            row = Row(self._name, self._first, {"tokens": self._tokens, "tags": self._tags}, self.document)
        self._clear()
        return row

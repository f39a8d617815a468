"""CoNLL: one token per line with its columns, a blank line between sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path

from podium.data.readers.base import BadRow, Content, Reader, Row
from podium.data.sources import SourceFile

DOCUMENT_START = "-DOCSTART-"
"""First column of a line that separates documents in CoNLL-2003 (Tjong Kim Sang and De Meulder, 2003)."""


class Conll(Reader):
    """The first column of a line is the token, the last one its tag; tabs or spaces separate them."""

    name = "conll"
    encoded = True
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
        """A sentence is rejected for the first error in it."""
        document = first = size = 0
        tokens: list[str] = []
        tags: list[str] = []
        bad: BadRow | None = None
        for item in chain(self.lines(file), [(0, "")]):
            if isinstance(item, BadRow):
                bad = bad or item
                continue
            number, line = item
            columns = _columns(line)
            if columns and columns[0] != DOCUMENT_START:
                first, size = first or number, size + len(line)
                if len(columns) < 2:
                    reason = f"must have a token and a tag, but has only {columns[0]!r}"
                    bad = bad or BadRow(file.name, number, "tags", reason)
                elif size > self.config.max_row_bytes:
                    reason = f"{self.too_long()} (or blank lines between sentences are missing)"
                    bad = bad or BadRow(file.name, first, None, reason)
                elif bad is None:
                    tokens.append(columns[0])
                    tags.append(columns[-1])
                continue
            if bad or tokens:
                yield bad or Row(file.name, first, {"tokens": tokens, "tags": tags}, document)
            tokens, tags, bad, first, size = [], [], None, 0, 0
            if columns:
                document = number


def _has_tags(head: bytes) -> bool:
    """Whether the lines are sentences whose last column is a BIO tag."""
    lines = [line.split() for line in head.decode("utf-8", "replace").splitlines()[:-1][:500]]
    rows = [line for line in lines if line and line[0] != DOCUMENT_START]
    if not rows or len(rows) == len(lines):
        return False
    return all(len(row) >= 2 and (row[-1] == "O" or row[-1][:2] in ("B-", "I-")) for row in rows)


def _columns(line: str) -> list[str]:
    """Split at tabs if there are any, else at spaces. Other white space may be part of a token."""
    line = line.strip(" \t\r\n")
    return [column for part in line.split("\t" if "\t" in line else " ") if (column := part.strip(" "))]

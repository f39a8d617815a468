"""CoNLL: one token per line with its columns, a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import ClassVar

from podium.config.schema import DatasetConfig
from podium.data.readers.base import BadRow, Content, Reader, Row
from podium.data.sources import SourceFile
from podium.errors import DataError
from podium.tasks.tags import are_tags

DOCUMENT_START = "-DOCSTART-"
"""First column of a line that separates documents in CoNLL-2003 (Tjong Kim Sang and De Meulder, 2003)."""

_NAMED = re.compile(r"#\s*global\.columns\s*=\s*(.+)")
_SAMPLE = 50


class Conll(Reader):
    """The first column of a line is the token, the last one its tag; tabs or spaces separate them.

    `dataset.text_column` and `dataset.label_column` may be other columns, by number from 1 or by the names that a line
    `# global.columns = …` gives. Comments before a sentence are left out. A sentence of tokens alone has no tags.
    """

    name = "conll"
    encoded = True
    extensions = (".conll", ".bio", ".iob", ".iob2")
    contents = frozenset[Content]({"tokens"})
    fixed_columns: ClassVar[tuple[str, str]] = ("tokens", "tags")

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        """A file of no other format is taken for CoNLL where the task needs tokens."""
        return content == "tokens" or _has_tags(head)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield one row per sentence, with the lines of its first token and of the `-DOCSTART-` of its document."""
        self.notes.clear()
        for file in self.source.files:
            yield from self._sentences(file)

    def _places(self, named: list[str]) -> tuple[int, int]:
        """Places of the columns of token and tag in a line; -1 is the last."""

        def place(field: str, usual: int) -> int:
            given = str(getattr(self.config, field))
            if given.isdigit() and int(given) > 0:
                return int(given) - 1
            if given in named:
                return named.index(given)
            if given in (DatasetConfig.model_fields[field].default, *self.fixed_columns):
                return usual
            known = f", or one of {', '.join(named)}" if named else ""
            raise DataError(f"dataset.{field} of a CoNLL file must be the number of a column{known}, but got {given!r}")

        return place("text_column", 0), place("label_column", -1)

    def doubts(self) -> list[str]:
        rows = [row.values["tokens"] for row in islice(self.rows(), _SAMPLE) if isinstance(row, Row)]
        counting = [all(token == str(n) for n, token in enumerate(tokens, 1)) for tokens in rows if len(tokens) > 1]
        if counting and all(counting):
            return [
                "the first column counts the tokens of a sentence; if the second has them, set dataset.text_column=2"
            ]
        return []

    def _sentences(self, file: SourceFile) -> Iterator[Row | BadRow]:
        """A sentence is rejected for the first error in it."""
        document = first = size = 0
        alone: tuple[int, str] | None = None
        named: list[str] = []
        places: tuple[int, int] | None = None
        tokens: list[str] = []
        tags: list[str] = []
        bad: BadRow | None = None
        for item in chain(self.lines(file), [(0, "")]):
            if isinstance(item, BadRow):
                bad = bad or item
                continue
            number, line = item
            if line.startswith("#") and not tokens and bad is None and _is_comment(line):
                if (found := _NAMED.match(line)) is not None:
                    named = found[1].split()
                continue
            columns = _columns(line)
            if columns and columns[0] != DOCUMENT_START:
                first, size = first or number, size + len(line)
                if size > self.config.max_row_bytes:
                    reason = f"{self.too_long()} (or blank lines between sentences are missing)"
                    bad = bad or BadRow(file.name, first, None, reason)
                elif len(columns) < 2:
                    tokens.append(columns[0])
                    alone = alone or (number, columns[0])
                elif bad is None:
                    places = places or self._places(named)
                    if len(columns) <= max(places):
                        reason = f"must have column {max(places) + 1}, but has {len(columns)} columns"
                        bad = BadRow(file.name, number, "tags", reason)
                        continue
                    tokens.append(columns[places[0]])
                    tags.append(columns[places[1]])
                continue
            if bad or tokens:
                yield bad or _sentence(file.name, first, tokens, tags, alone, document)
            tokens, tags, bad, first, size, alone = [], [], None, 0, 0, None
            if columns:
                document = number


def _sentence(
    file: str, first: int, tokens: list[str], tags: list[str], alone: tuple[int, str] | None, document: int
) -> Row | BadRow:
    """The row of a sentence; `alone` is the line and text of its first token without a tag."""
    if alone and tags:
        return BadRow(file, alone[0], "tags", f"must have a token and a tag, but has only {alone[1]!r}")
    return Row(file, first, {"tokens": tokens} if alone else {"tokens": tokens, "tags": tags}, document)


def _is_comment(line: str) -> bool:
    """Whether a line that begins with `#` says something about a sentence: it has no tag at its end."""
    columns = _columns(line)
    return "=" in columns or not are_tags(columns[-1:])


def _has_tags(head: bytes) -> bool:
    """Whether the lines are sentences whose last column is a tag of a known scheme."""
    texts = head.decode("utf-8", "replace").splitlines()[:-1][:500]
    lines = [line.split() for line in texts if not (line.startswith("#") and _is_comment(line))]
    rows = [line for line in lines if line and line[0] != DOCUMENT_START]
    if not rows or len(rows) == len(lines):
        return False
    return all(len(row) >= 2 and are_tags(row[-1:]) for row in rows)


def _columns(line: str) -> list[str]:
    """Split at tabs if there are any, else at spaces. Other white space may be part of a token."""
    line = line.strip(" \t\r\n")
    return [column for part in line.split("\t" if "\t" in line else " ") if (column := part.strip(" "))]

"""The schema of a row: what a content and a target must be, and their canonical form."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Any, NamedTuple

from podium.config.schema import DatasetConfig
from podium.data.rows import BadRow, Row
from podium.tasks import TASKS

DIGEST_BYTES = 16
"""Size of a content digest: two different contents share one with probability below 1e-20 for 1e9 rows."""


class ValidRow(NamedTuple):
    """A row that keeps the schema.

    Attributes:
        content: the text as found, or the tokens.
        target: what `Task.read_target` reads: the label, or the list of labels or tags.
        digest: digest of the normalised content; equal for exact duplicates.
        size: UTF-8 bytes of the content.
        rewritten: how many labels or tags were rewritten to another form.
        document: line where the document of the row begins; 0 where the file names none.
    """

    file: str
    line: int
    content: Any
    target: Any
    digest: bytes
    size: int
    rewritten: int = 0
    document: int = 0


class RowCheck:
    """Checks rows of one source against the declared schema.

    Args:
        content: column with the content.
        target: column with the target.
        unit: what row numbers of the source count.
    """

    def __init__(self, config: DatasetConfig, content: str, target: str, unit: str) -> None:
        self._task = TASKS.get(config.task)
        self._options = config.task_options
        self._limit = config.max_row_bytes
        self._content = content
        self._target = target
        self._unit = unit

    def check(self, row: Row) -> ValidRow | BadRow:
        """The row in canonical form, or what is wrong with it."""
        content = row.values.get(self._content)
        if problem := self._task.content_problem(content):
            return self._bad(row, self._content, problem)
        try:
            target, rewritten = self._task.read_target(row.values.get(self._target), content, self._options)
        except ValueError as error:
            return self._bad(row, self._target, str(error))
        try:
            size, digest = _digest(self._task.as_text(content))
        except UnicodeEncodeError as error:
            return self._bad(row, self._content, f"holds a character that UTF-8 cannot: {error.object[error.start]!r}")
        if size > self._limit:
            return self._bad(row, self._content, f"has {size} bytes, more than dataset.max_row_bytes={self._limit}")
        return ValidRow(row.file, row.line, content, target, digest, size, rewritten, row.document)

    def _bad(self, row: Row, field: str, reason: str) -> BadRow:
        return BadRow(row.file, row.line, field, reason, self._unit)


def normalise(text: str) -> str:
    """Canonical form by which texts are compared: Unicode NFC, `\\n` line ends, no surrounding white space."""
    text = text.strip()
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _digest(text: str) -> tuple[int, bytes]:
    data = normalise(text).encode()
    return len(data), hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()

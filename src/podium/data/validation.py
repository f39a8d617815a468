"""The schema of a row: what a content and a target must be, and their canonical form."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from typing import Any, NamedTuple

from podium.config.schema import DatasetConfig
from podium.data.rows import BadRow, Row
from podium.data.tags import invalid_tag, to_bio2

DIGEST_BYTES = 16
"""Size of a content digest: two different contents share one with probability below 1e-20 for 1e9 rows."""


class ValidRow(NamedTuple):
    """A row that keeps the schema.

    Attributes:
        content: the text as found, or the tokens.
        target: the label, or the tags in BIO2, one per token.
        digest: digest of the normalised content; equal for exact duplicates.
        size: UTF-8 bytes of the content.
        rewritten: tags that were rewritten to BIO2.
        document: line where the document of the row begins; 0 where none is known to.
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
        content: column with the text or the tokens.
        target: column with the label or the tags.
        unit: what row numbers of the source count.
    """

    def __init__(self, config: DatasetConfig, content: str, target: str, unit: str) -> None:
        self._limit = config.max_row_bytes
        self._content = content
        self._target = target
        self._unit = unit
        self.check = self._check_tokens if config.task == "ner" else self._check_text

    def _check_text(self, row: Row) -> ValidRow | BadRow:
        text = row.values.get(self._content)
        if not isinstance(text, str):
            return self._bad(
                row, self._content, "is missing" if _missing(text) else f"must be text, but got {_show(text)}"
            )
        if not text or text.isspace():
            return self._bad(row, self._content, "must hold text, but is empty")
        label, problem = _label(row.values.get(self._target))
        if problem:
            return self._bad(row, self._target, problem)
        try:
            size, digest = _digest(text)
        except UnicodeEncodeError as error:
            return self._bad(row, self._content, f"holds a character that UTF-8 cannot: {error.object[error.start]!r}")
        if size > self._limit:
            return self._bad(row, self._content, f"has {size} bytes, more than dataset.max_row_bytes={self._limit}")
        return ValidRow(row.file, row.line, text, label, digest, size)

    def _check_tokens(self, row: Row) -> ValidRow | BadRow:
        tokens: Any = row.values.get(self._content)
        tags: Any = row.values.get(self._target)
        if problem := _token_problem(tokens):
            return self._bad(row, self._content, problem)
        if problem := _tag_problem(tags, len(tokens)):
            return self._bad(row, self._target, problem)
        try:
            size, digest = _digest("\0".join(tokens))
        except UnicodeEncodeError as error:
            return self._bad(row, self._content, f"holds a character that UTF-8 cannot: {error.object[error.start]!r}")
        if size > self._limit:
            return self._bad(row, self._content, f"has {size} bytes, more than dataset.max_row_bytes={self._limit}")
        tags, rewritten = to_bio2(tags)
        return ValidRow(row.file, row.line, tokens, tags, digest, size, rewritten, row.document)

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


def _label(value: Any) -> tuple[str, str]:
    """The label in text form, and what is wrong with it ("" when nothing is): 1 and 1.0 are "1", true is "true"."""
    if _missing(value) or (isinstance(value, str) and not value.strip()):
        return "", "is missing"
    if isinstance(value, str):
        label = value.strip()
        return label, "" if _encodable(label) else f"holds a character that UTF-8 cannot: {_show(label)}"
    if isinstance(value, bool):
        return str(value).lower(), ""
    if isinstance(value, (list, dict, bytes)):
        return "", f"must be one label, text or number, but got {_show(value)}"
    return str(int(value) if isinstance(value, float) and value.is_integer() else value), ""


def _token_problem(tokens: Any) -> str | None:
    if not isinstance(tokens, list):
        return f"must be a list of tokens, but {_found(tokens)}"
    if not tokens:
        return "must hold tokens, but is empty"
    for number, token in enumerate(tokens):
        if not isinstance(token, str):
            return f"must hold text tokens, but token {number} is {_show(token)}"
        if not token or token.isspace():
            return f"must hold text tokens, but token {number} is empty"
    return None


def _tag_problem(tags: Any, tokens: int) -> str | None:
    if not isinstance(tags, list):
        return f"must be a list of tags, but {_found(tags)}"
    if len(tags) != tokens:
        return f"must have one tag per token, but {len(tags)} tags for {tokens} tokens"
    return invalid_tag(tags)


def _encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _found(value: Any) -> str:
    return "is missing" if _missing(value) else f"got {_show(value)}"


def _show(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:40] + '…'}"

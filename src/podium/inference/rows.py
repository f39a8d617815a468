"""The rows that a model predicts."""

from __future__ import annotations

Row = str | list[str]
"""A text, or the tokens of a sentence."""


def row_length(row: Row) -> int:
    """Length of a row in characters; a token counts one more for the separator behind it."""
    return len(row) if isinstance(row, str) else sum(len(token) + 1 for token in row)

"""Reading single values as files hold them: is it missing, is it a label, and how it is shown in a message."""

from __future__ import annotations

import math
from typing import Any


def missing(value: Any) -> bool:
    """Whether a cell holds nothing: null, or the NaN that takes its place in columns of numbers."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def shown(value: Any) -> str:
    """Type and beginning of a value, for messages."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:40] + '…'}"


def found(value: Any) -> str:
    """`is missing`, or what was found instead, for the end of a message."""
    return "is missing" if missing(value) else f"got {shown(value)}"


def encodable(text: str) -> bool:
    """Whether UTF-8 can encode the text; it cannot encode halves of surrogate pairs."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def read_label(value: Any) -> str:
    """A label as text: 1 and 1.0 are "1", true is "true".

    Raises:
        ValueError: the value is missing or is no label; the message completes "field 'label': ...".
    """
    if missing(value) or (isinstance(value, str) and not value.strip()):
        raise ValueError("is missing")
    if isinstance(value, str):
        label = value.strip()
        if not encodable(label):
            raise ValueError(f"holds a character that UTF-8 cannot: {shown(label)}")
        return label
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, dict, bytes)):
        raise ValueError(f"must be one label, text or number, but got {shown(value)}")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)

"""Names and values in the form that MLflow takes, and without credentials."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

MAX_NAME = 250
MAX_PARAM = 6000
MAX_TAG = 8000
MAX_DATASET_DIGEST = 36
"""Limits of MLflow 3 in characters (`mlflow.utils.validation`)."""

_FORBIDDEN = re.compile(r"[^/\w.\- ]")
_USERINFO = re.compile(r"(?<=://)[^/?#\s\"'<>]*@")
_SECRET_QUERY = re.compile(
    r"(?<=[?&;])((?:[\w.\-]*(?:password|passwd|pwd|token|secret|signature|credential|api_?key|access_?key)[\w\-]*|sig)=)"
    r"[^&;#\s\"'<>]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """`text` with the credentials of every URI in it replaced by `***`.

    These are the user information (`//user:password@host`) and the values of query parameters whose name says
    password, token, secret, signature, credential or key.
    """
    return _SECRET_QUERY.sub(r"\1***", _USERINFO.sub("***@", text))


def tidy_name(name: str) -> str:
    """`name` as MLflow allows it for a tag, parameter or metric; a changed name ends in digits that keep it unique."""
    tidy = _FORBIDDEN.sub("_", name)
    if posixpath.normpath(tidy) != tidy or tidy.startswith((".", "/")):
        tidy = tidy.replace("/", "_").lstrip(".")
    if tidy and tidy == name and len(name) <= MAX_NAME:
        return name
    return f"{tidy[: MAX_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def flatten(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and text of every leaf: nested mappings give dotted names, other structures JSON."""
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            yield f"{prefix}{name}", value
        else:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False, default=str)

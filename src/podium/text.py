"""Wording that messages of all packages share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from textwrap import shorten

_USERINFO = re.compile(r"(?<=://)[^/?#\s\"'<>]*@")
_SECRET_QUERY = re.compile(
    r"(?<=[?&;])((?:[\w.\-]*(?:password|passwd|pwd|token|secret|signature|credential|api_?key|access_?key)[\w\-]*|sig)=)"
    r"[^&;#\s\"'<>]+",
    re.IGNORECASE,
)

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0e-\x1f\x7f]")
_LONGEST_REASON = 400
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def foreign(error: BaseException) -> str:
    """What an error of another library says, on one line without terminal escapes, with the last of its causes.

    Long messages are cut.
    """
    last = error
    while (before := last.__cause__ or (None if last.__suppress_context__ else last.__context__)) is not None:
        last = before
    said, half = _one_line(error, _LONGEST_REASON), _LONGEST_REASON // 2
    if last is error or _one_line(last, half) in said:
        return said
    return f"{_one_line(error, half)} (because of {type(last).__name__}: {_one_line(last, half)})"


def _one_line(error: BaseException, most: int) -> str:
    said = shorten(_ESCAPES.sub("", str(error)), most, placeholder=" …")
    return said or type(error).__name__


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is most like `name`, whatever its case; None where none is similar.

    Args:
        cutoff: the least similarity, from 0 (anything) to 1 (equal), as `difflib` measures it.
    """
    folded = {one.lower(): one for one in known}
    close = get_close_matches(name.lower(), folded, n=1, cutoff=cutoff)
    return folded[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`; did you mean "X"?` for the known name that is most like `name`, or an empty string."""
    close = nearest(name, known, cutoff)
    return f'; did you mean "{close}"?' if close else ""


def shortened(items: Sequence[str], limit: int, separator: str = ", ") -> str:
    """The first `limit` items, and `and N more` where there are others."""
    shown = separator.join(items[:limit])
    left = len(items) - limit
    return f"{shown}{' ' if separator == ', ' else separator}and {left} more" if left > 0 else shown


def hint(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known name that is most like it, and all of them."""
    listed = ", ".join(sorted(known))
    close = nearest(name, known, cutoff=0.5)
    if close:
        return f"; did you mean {close!r}? Known: {listed}"
    return f"; known: {listed}" if listed else ""


def file_name(text: str) -> str:
    """`text` as every file system takes it for a name; empty where it has no letter or digit."""
    return _UNSAFE.sub("-", text).strip("-.")


def redact(text: str) -> str:
    """`text` with the credentials of every URI in it replaced by `***`.

    These are the user information (`//user:password@host`) and the values of query parameters whose name says
    password, token, secret, signature, credential or key.
    """
    return _SECRET_QUERY.sub(r"\1***", _USERINFO.sub("***@", text))

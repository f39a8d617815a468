"""In which encoding a text file is: by its byte order mark, or as its bytes look."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from podium.data.compressed import open_file

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8"),
)
_CHUNK = 1 << 20
_LINES = 200
_LINE_BYTES = 2000
_LIKELY = (
    "cp1252",
    "cp1251",
    "cp1250",
    "koi8_r",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp932",
    "gb18030",
    "big5",
    "cp949",
)
_LATIN = ("cp1250", "cp1252", "cp1254")
_CLOSE = 0.1


def marked(head: bytes, declared: str) -> str:
    """The encoding that the byte order mark at the beginning of a file tells, or else the declared one."""
    if declared.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        return declared
    return next((name for mark, name in _MARKS if head.startswith(mark)), declared)


@dataclass(frozen=True)
class Guess:
    """What the bytes of files that are not UTF-8 look like.

    Attributes:
        encoding: the most likely encoding; empty where none fits.
        mixed: whether lines in UTF-8 stand beside lines that are not.
        sample: a piece of a line as the encoding reads it.
        where: the file, and its first line that is not UTF-8.
    """

    encoding: str
    mixed: bool
    sample: str
    where: str


def guess(files: Iterable[tuple[str, Path]]) -> Guess | None:
    """What the encoding of these files, of which some line is not UTF-8, is; None where all are UTF-8 or marked.

    Reads all bytes; memory holds a line at a time.
    """
    lines: list[bytes] = []
    mixed = False
    where = ""
    for name, path in files:
        with open_file(path) as stream:
            head = stream.read(4)
        if marked(head, ""):
            continue
        if unmarked := _without_mark(head):
            if not lines:
                return Guess(unmarked, False, "", f"{name} line 1")
            continue
        with open_file(path) as stream:
            for number, line in enumerate(iter(partial(stream.readline, _CHUNK), b""), 1):
                if line.isascii():
                    continue
                try:
                    line.decode()
                    mixed = True
                except UnicodeDecodeError:
                    where = where or f"{name} line {number}"
                    if len(lines) < _LINES:
                        lines.append(line[:_LINE_BYTES])
    if not lines:
        return None
    encoding = _likely(b"".join(lines))
    return Guess(encoding, mixed, _piece(lines[0], encoding), where)


def _without_mark(head: bytes) -> str:
    """UTF-16 without a byte order mark, where every other of the first bytes is null."""
    if len(head) < 4 or 0 not in head:
        return ""
    if head[1] == head[3] == 0 and head[0] and head[2]:
        return "utf-16-le"
    return "utf-16-be" if head[0] == head[2] == 0 and head[1] and head[3] else ""


def _likely(sample: bytes) -> str:
    """The most likely encoding of bytes that are not UTF-8; of close Latin ones the Western, as it is the most used."""
    from charset_normalizer import from_bytes

    found = from_bytes(sample, cp_isolation=list(_LIKELY))
    best = found.best()
    if best is None:
        with suppress(UnicodeDecodeError):
            sample.decode("cp1252")
            return "cp1252"
        return ""
    of = {name: one.chaos for one in found for name in one.could_be_from_charset}
    western = of.get("cp1252")
    close = western is not None and western <= best.chaos + _CLOSE and best.encoding in _LATIN
    return "cp1252" if close and best.language not in ("Czech", "Polish", "Turkish", "Slovak") else best.encoding


def _piece(line: bytes, encoding: str) -> str:
    """The words around the first byte that is not ASCII."""
    if not encoding:
        return ""
    text = line.decode(encoding, "replace").strip()
    at = next((place for place, character in enumerate(text) if not character.isascii()), 0)
    return text[max(0, at - 15) : at + 15].strip()

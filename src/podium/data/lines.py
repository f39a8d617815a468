"""Reads the lines of a text file with bounded memory: a line that is longer than the limit is skipped."""

from __future__ import annotations

import codecs
import io
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO, cast

from podium.config.schema import DatasetConfig
from podium.data.rows import BadRow
from podium.data.sources import SourceFile
from podium.errors import DataError

FALLBACK = "fallback"
"""The note under which rows decoded with the fallback encoding are counted."""

_CHUNK = 1 << 16


def check_encodings(config: DatasetConfig) -> None:
    """Check that Python knows the declared encodings.

    Raises:
        DataError: an encoding is unknown.
    """
    for field in ("encoding", "fallback_encoding"):
        name = getattr(config, field)
        if name is None:
            continue
        try:
            codecs.lookup(name)
        except LookupError:
            raise DataError(
                f"dataset.{field} must be an encoding that Python knows, but got {name!r}; common ones are utf-8, "
                "cp1252, latin-1, utf-16, shift_jis, gb18030"
            ) from None


class Decoder:
    """Decodes one row at a time: with the declared encoding, else with the fallback, which it counts."""

    def __init__(self, encoding: str, fallback: str | None, notes: Counter[str]) -> None:
        self._encoding = encoding
        self._fallback = fallback
        self._notes = notes

    def decode(self, data: bytes) -> str:
        """Decode `data`.

        Raises:
            UnicodeDecodeError: neither encoding fits.
        """
        try:
            return data.decode(self._encoding)
        except UnicodeDecodeError as error:
            if self._fallback is None:
                raise
            try:
                text = data.decode(self._fallback)
            except UnicodeDecodeError:
                raise error from None
        self._notes[FALLBACK] += 1
        return text


def undecodable(error: UnicodeDecodeError) -> str:
    """The reason that bytes cannot be decoded, and what to do."""
    byte = error.object[error.start]
    return (
        f"byte 0x{byte:02x} at offset {error.start} is not {error.encoding}; set dataset.encoding, or "
        "dataset.fallback_encoding for files that mix encodings"
    )


def too_long(config: DatasetConfig) -> str:
    """The reason that a row exceeds the limit, and what to do."""
    return f"is longer than dataset.max_row_bytes={config.max_row_bytes}; shorten the row or raise the limit"


def text_lines(file: SourceFile, config: DatasetConfig, notes: Counter[str]) -> Iterator[tuple[int, str] | BadRow]:
    """Yield number and text of every line, with its line end, or a `BadRow` if it is too long or undecodable.

    Memory holds at most `max_row_bytes` of the file at a time. A byte order mark is removed.

    Raises:
        DataError: the file cannot be opened, or a multi-byte encoding such as UTF-16 does not fit at all.
    """
    try:
        with file.open() as raw:
            wide = "\n".encode(config.encoding) != b"\n"
            stream = cast(BinaryIO, io.BufferedReader(_Utf8(raw, config.encoding))) if wide else raw
            decoder = Decoder("utf-8" if wide else config.encoding, config.fallback_encoding, notes)
            for number, data in _bounded_lines(stream, config.max_row_bytes):
                if data is None:
                    yield BadRow(file.name, number, None, too_long(config))
                    continue
                try:
                    text = decoder.decode(data)
                except UnicodeDecodeError as error:
                    yield BadRow(file.name, number, None, undecodable(error))
                    continue
                yield number, text.removeprefix("\ufeff") if number == 1 else text
    except UnicodeError as error:
        raise DataError(f"{file.name} is not {config.encoding}: {error}; set dataset.encoding") from error
    except OSError as error:
        raise DataError(f"{file.name} cannot be read: {error}") from error


def _bounded_lines(stream: BinaryIO, limit: int) -> Iterator[tuple[int, bytes | None]]:
    number = 0
    while data := stream.readline(limit + 1):
        number += 1
        if len(data) > limit and not data.endswith(b"\n"):
            while (rest := stream.readline(_CHUNK)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        else:
            yield number, data


class _Utf8(io.RawIOBase):
    """The UTF-8 bytes of a stream whose encoding does not write a line end as the byte 0x0a."""

    def __init__(self, raw: BinaryIO, encoding: str) -> None:
        self._text = io.TextIOWrapper(raw, encoding, newline="")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._text.read(max(1, len(buffer) // 4)).encode()
        buffer[: len(data)] = data
        return len(data)

"""Files that are compressed: read as what they hold, whatever their name says."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

from podium.errors import DataError

SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")
FAILURES = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, NotImplementedError)
"""What the decompressors raise beside OSError, for a file that is cut off, broken or encrypted."""

_BEGINNINGS = {
    b"\x1f\x8b\x08": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
    b"PK\x03\x04": "zip",
}
_BLOCK = b"1AY&SY"
"""What follows the first four bytes of a bz2 file that is not empty."""


def open_file(path: Path) -> BinaryIO:
    """The bytes that a file holds, decompressed where its first bytes say that it is compressed.

    Raises:
        DataError: it is a zip file with more than one file, or with none.
        OSError, and those of `FAILURES`, here or while it is read: it is cut off, broken or encrypted.
    """
    stream = path.open("rb")
    head = stream.read(10)
    stream.seek(0)
    kind = next((kind for start, kind in _BEGINNINGS.items() if head.startswith(start)), None)
    if kind is None or (kind == "bz2" and head[4:10] != _BLOCK):
        return stream
    if kind == "gz":
        import gzip

        return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    if kind == "bz2":
        import bz2

        return cast(BinaryIO, bz2.BZ2File(stream))
    if kind == "xz":
        return cast(BinaryIO, lzma.LZMAFile(stream))
    if kind == "zip":
        with stream:
            archive = zipfile.ZipFile(path)
        return cast(BinaryIO, archive.open(_member(path, archive)))
    import pyarrow

    stream.close()
    source: Any = pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd")
    return cast(BinaryIO, io.BufferedReader(source))


def held_name(path: Path) -> Path:
    """The path without the suffix of the compression; of a zip file, the name of the file that it holds.

    Raises:
        DataError: it is an archive of several files, or a broken zip file.
    """
    suffix = path.suffix.lower()
    if suffix == ".zip" and path.is_file():
        try:
            with zipfile.ZipFile(path) as archive:
                return path.with_name(Path(_member(path, archive)).name)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"{path} must be a zip file, but cannot be read as one: {error}") from error
    held = path.with_suffix("") if suffix in SUFFIXES else path
    if ".tar" in (held.suffix.lower(), suffix) or suffix in (".tgz", ".7z", ".rar"):
        raise DataError(f"{path} is an archive of files; unpack it, and give the folder or the file with the rows")
    return held


def _member(path: Path, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    names = [name for name in names if not any(part.startswith((".", "__MACOSX")) for part in Path(name).parts)]
    if len(names) != 1:
        listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        raise DataError(
            f"a zip file must hold one file, but {path} holds {len(names)}{f' ({listed})' if names else ''}; unpack "
            "it, and give the folder or the file with the rows"
        )
    return names[0]

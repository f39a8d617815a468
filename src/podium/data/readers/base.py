"""The contract of a data format: how it is recognised, where its rows are, and how they are read."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, NamedTuple, cast

from podium.config.schema import DatasetConfig
from podium.data.compressed import FAILURES, open_file
from podium.data.encodings import marked
from podium.data.sources import Role, Source, SourceFile, listing, prefix_of, shards
from podium.errors import DataError
from podium.keys import digest_file
from podium.tasks.annotations import columns_of

Content = Literal["text", "tokens"]
"""What a model reads of a row: one text, or a list of tokens."""

PEEK_ROWS = 200
"""How many rows are read to learn the columns of a source that has no header."""

FALLBACK = "fallback"
"""The note under which rows decoded with the fallback encoding are counted."""

_CHUNK = 1 << 16


class Row(NamedTuple):
    """One row as its format gives it, before any check.

    Attributes:
        file: display name of the source file.
        line: number of the line (or of the row, in formats without lines) from 1; 0 if the whole file is the row.
        document: line where the document of the row begins; 0 if no document begins before it.
    """

    file: str
    line: int
    values: Mapping[str, Any]
    document: int = 0


class BadRow(NamedTuple):
    """One row that breaks the schema. `field` is None if the reason concerns the row as a whole."""

    file: str
    line: int
    field: str | None
    reason: str
    unit: str = "line"

    def __str__(self) -> str:
        where = place(self.file, self.line, self.unit)
        return f"{where}: {self.reason}" if self.field is None else f"{where}, field {self.field!r}: {self.reason}"


def place(file: str, line: int, unit: str = "line") -> str:
    """Place of a row for people: `reviews.jsonl line 14`, or only the file if the whole file is the row."""
    return f"{file} {unit} {line}" if line else file


class Reader(ABC):
    """A data format, and a reader of one source in it.

    A new format is a subclass, and one line in `podium.data.formats.FORMATS`. Other packages register theirs as an
    entry point of the group `podium.formats`: the name of the entry point is `name`.

    The class recognises files and directories and finds the files to read. An instance streams the rows of one source.
    It holds a few rows at a time, each of at most `max_row_bytes` where the format shows the size of a row before the
    row is read. It yields every row in file order, as a `Row` or a `BadRow`. Its methods raise DataError where the
    source cannot be read (on). `rows` may be called again and then starts from the beginning.

    Attributes:
        name: what `dataset.format` calls the format.
        extensions: file name extensions, such as `.csv`, that are enough to know the format.
        markers: names of files that only a directory in this format holds.
        contents: what a row can hold for a model to read.
        fixed_columns: names of content and target where the columns of the format have no names of their own.
        unit: what the number of a row counts, for messages.
        encoded: whether rows are texts in an encoding, which `dataset.encoding` names.
        lenient: whether `sniffs` takes so much for this format that all others are asked before.
        by_query: whether rows come from `dataset.query` at a URL and not from files.
        config: how it reads: encodings, the longest row, the query.
        notes: counted remarks, such as rows decoded with the fallback encoding; they restart with `rows`.
    """

    name: ClassVar[str]
    extensions: ClassVar[tuple[str, ...]] = ()
    markers: ClassVar[tuple[str, ...]] = ()
    contents: ClassVar[frozenset[Content]] = frozenset({"text", "tokens"})
    fixed_columns: ClassVar[tuple[str, str] | None] = None
    unit: ClassVar[str] = "line"
    by_query: ClassVar[bool] = False
    encoded: ClassVar[bool] = False
    lenient: ClassVar[bool] = False

    def __init__(self, source: Source, config: DatasetConfig) -> None:
        self.source = source
        self.config = config
        self.notes: Counter[str] = Counter()

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        """Whether a file whose extension is not known is in this format.

        Its first bytes `head` are not all white space; `content` is what the task needs, None where it is not known.
        """
        return False

    @classmethod
    def sniffs_directory(cls, entries: Sequence[Path]) -> bool:
        """Whether a directory with these entries, which has neither markers nor known extensions, is in this format."""
        return False

    @classmethod
    def find(cls, path: Path, role: Role) -> Source:
        """The source of a role at an existing path: one file, or the files of a directory.

        Raises:
            DataError: it holds no data in this format.
        """
        if path.is_dir():
            return cls._source(path, role, *shards(path, cls.extensions, cls.name, role))
        return cls._source(path, role, [SourceFile(path.name, path)])

    @classmethod
    def implied(cls, train: Source, role: Role) -> Source | None:
        """The rows of another role that the source of the training rows brings with it; None where it has none."""
        path = Path(train.location)
        if not train.files or not path.is_dir() or not (found := listing(path, cls.extensions)).by_name:
            return None
        files = [SourceFile(file.relative_to(path).as_posix(), file) for file in found.roles.get(role, ())]
        return cls._source(path, role, files) if files else None

    @classmethod
    def _source(
        cls, path: Path, role: Role, files: list[SourceFile], ignored: Sequence[str] = (), split: str | None = None
    ) -> Source:
        named = tuple(SourceFile(prefix_of(role) + file.name, file.path) for file in files)
        return Source(role, str(path), cls.name, named, split, tuple(ignored))

    @abstractmethod
    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield the rows; fields outside `columns` may be left out."""

    def columns(self) -> tuple[str, ...]:
        """Names of the columns, as far as a header or the first rows show them."""
        rows = (row.values for row in islice(self.rows(), PEEK_ROWS) if isinstance(row, Row))
        return tuple(dict.fromkeys(name for values in rows for name in values))

    def found(self) -> list[str]:
        """What was found out about how each file is read, for people."""
        if not self.encoded:
            return []
        lines = []
        for file in self.source.files[:PEEK_ROWS]:
            with opened(file, self.config.encoding) as stream:
                encoding = encoding_of(stream, self.config.encoding)
            if encoding != self.config.encoding:
                lines.append(f"{file.name}: {encoding}, by its byte order mark")
        return lines

    def doubts(self) -> list[str]:
        """What is uncertain about how the source is read, each with the setting that decides it."""
        return []

    def digests(self) -> dict[str, str]:
        """sha256 of what the rows come from, by name: of every file, wherever the files lie."""
        try:
            return {file.name: digest_file(file.path) for file in self.source.files}
        except OSError as error:
            raise DataError(f"{error.filename} cannot be read: {error.strerror}; check its permissions") from error

    # What readers of text files share

    def lines(self, file: SourceFile) -> Iterator[tuple[int, str] | BadRow]:
        """Yield number and text of every line, with its line end, or a `BadRow` if it is too long or undecodable.

        Memory holds at most `max_row_bytes` of the file at a time. A byte order mark is removed.

        Raises:
            DataError: the file cannot be opened, or a multi-byte encoding such as UTF-16 does not fit at all.
        """
        limit = self.config.max_row_bytes
        with opened(file, self.config.encoding) as raw:
            encoding = encoding_of(raw, self.config.encoding)
            head = cast(Any, raw).peek(_CHUNK)
            # Old Macintosh files end their lines with \r alone.
            newline: Any = "\r" if b"\r" in head and b"\n" not in head else "\n"
            wide = newline == "\r" or "\n".encode(encoding) != b"\n"
            stream: Any = io.TextIOWrapper(raw, encoding, newline=newline) if wide else raw
            end: Any = newline if wide else b"\n"
            for number in count(1):
                if not (data := stream.readline(limit + 1)):
                    return
                if len(data) > limit and not data.endswith(end):
                    while (rest := stream.readline(_CHUNK)) and not rest.endswith(end):
                        pass
                    yield BadRow(file.name, number, None, self.too_long())
                    continue
                text = data if wide else self.decoded(data, file.name, number, encoding=encoding)
                if isinstance(text, BadRow):
                    yield text
                else:
                    yield number, text.removeprefix("\ufeff") if number == 1 else text

    def filled_lines(self) -> Iterator[tuple[str, int, str] | BadRow]:
        """Yield file, number and text of all lines that are not blank, and bad rows; errors as for `lines`."""
        self.notes.clear()
        for file in self.source.files:
            for item in self.lines(file):
                if isinstance(item, BadRow):
                    yield item
                elif not item[1].isspace():
                    yield file.name, *item

    def decoded(
        self, data: bytes, file: str, number: int, field: str | None = None, encoding: str = ""
    ) -> str | BadRow:
        """The text of a row in the declared encoding, else in the fallback, which is counted; or the bad row."""
        try:
            return data.decode(encoding or self.config.encoding)
        except UnicodeDecodeError as error:
            reason = (
                f"byte 0x{error.object[error.start]:02x} at offset {error.start} is not {error.encoding}; set "
                "dataset.encoding, or dataset.fallback_encoding for files that mix encodings"
            )
        if self.config.fallback_encoding is not None:
            with suppress(UnicodeDecodeError):
                text = data.decode(self.config.fallback_encoding)
                self.notes[FALLBACK] += 1
                return text
        return BadRow(file, number, field, reason, self.unit)

    def too_long(self) -> str:
        """The reason that a row exceeds the limit, and what to do."""
        return f"is longer than dataset.max_row_bytes={self.config.max_row_bytes}; shorten the row or raise the limit"


def flattened(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values, those of nested objects under dotted names, such as `data.text`, and the answers of annotators."""
    nested = {name: value for name, value in values.items() if isinstance(value, dict) and value.keys() != {"choices"}}
    answers = columns_of(values)
    if not nested and not answers:
        return values
    found = {**values, **answers}
    for name, value in nested.items():
        found |= {f"{name}.{inner}": one for inner, one in flattened(value).items()}
    return found


def encoding_of(stream: BinaryIO, declared: str) -> str:
    """The encoding of a file that was just opened: what its byte order mark tells, or else the declared one."""
    return marked(cast(Any, stream).peek(4)[:4], declared)


@contextmanager
def opened(file: SourceFile, encoding: str) -> Iterator[BinaryIO]:
    """Open a file as a stream of bytes; what fails while it is read and decoded becomes a DataError."""
    try:
        with open_file(file.path) as stream:
            yield stream
    except FAILURES as error:
        raise DataError(f"{file.name} cannot be decompressed: {error}; is it whole, and not encrypted?") from error
    except UnicodeError as error:
        raise DataError(f"{file.name} is not {encoding}: {error}; set dataset.encoding") from error
    except OSError as error:
        raise DataError(f"{file.name} cannot be read: {error}") from error

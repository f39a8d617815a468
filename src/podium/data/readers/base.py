"""The contract of a data format: how it is recognised, where its rows are, and how they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal

from podium.config.schema import DatasetConfig
from podium.data.rows import BadRow, Row
from podium.data.sources import Role, Source, SourceFile, prefix_of, shards
from podium.errors import DataError
from podium.keys import digest_file

Content = Literal["text", "tokens"]
"""What a model reads of a row: one text, or a list of tokens."""

PEEK_ROWS = 200
"""How many rows are read to learn the columns of a source that has no header."""


class Reader(ABC):
    """A data format, and a reader of one source in it.

    A new format is a subclass in a module of its own, and one line in `podium.data.formats.FORMATS`. Other packages
    register theirs as an entry point of the group `podium.formats`: the name of the entry point is `name`.

    The class recognises files and directories and finds the files to read. An instance streams the rows of one source.
    It holds a few rows at a time, each of at most `max_row_bytes` where the format shows the size of a row before the
    row is read. It yields every row in file order, as a `Row` or a `BadRow`, and raises DataError only where nothing
    more can be read. `rows` may be called again and then starts from the beginning.

    Attributes:
        name: what `dataset.format` calls the format.
        extensions: file name extensions, such as `.csv`, that are enough to know the format.
        markers: names of files that only a directory in this format holds.
        contents: what a row can hold for a model to read.
        fixed_columns: names of content and target where the columns of the format have no names of their own.
        unit: what the number of a row counts, for messages.
        by_query: whether rows come from `dataset.query` at a URL and not from files.
        source: what this instance reads.
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

    def __init__(self, source: Source, config: DatasetConfig) -> None:
        self.source = source
        self.config = config
        self.notes: Counter[str] = Counter()

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        """Whether a file whose extension is not known is in this format.

        Args:
            head: its first bytes, which are not all white space.
            path: of the file.
            content: what the task needs; None where the task is not known.
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
        files, ignored = [SourceFile(path.name, path)], list[str]()
        if path.is_dir():
            files, ignored = shards(path, cls.extensions, cls.name)
        return cls._source(path, role, files, ignored)

    @classmethod
    def implied(cls, train: Source, role: Role) -> Source | None:
        """The rows of another role that the source of the training rows brings with it; None where it has none."""
        return None

    @classmethod
    def _source(cls, path: Path, role: Role, files: list[SourceFile], ignored: Sequence[str] = ()) -> Source:
        named = tuple(SourceFile(prefix_of(role) + file.name, file.path) for file in files)
        return Source(role, str(path), cls.name, named, ignored=tuple(ignored))

    @abstractmethod
    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield the rows; fields outside `columns` may be left out.

        Raises:
            DataError: the source cannot be read on.
        """

    def columns(self) -> tuple[str, ...]:
        """Names of the columns, as far as a header or the first rows show them.

        Raises:
            DataError: the source cannot be read.
        """
        names: dict[str, None] = {}
        for row in islice(self.rows(), PEEK_ROWS):
            if isinstance(row, Row):
                names |= dict.fromkeys(row.values)
        return tuple(names)

    def digests(self) -> dict[str, str]:
        """sha256 of what the rows come from, by name: of every file, wherever the files lie.

        Raises:
            DataError: the source cannot be read.
        """
        try:
            return {file.name: digest_file(file.path) for file in self.source.files}
        except OSError as error:
            raise DataError(f"{error.filename} cannot be read: {error.strerror}; check its permissions") from error

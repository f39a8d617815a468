"""One folder per label, one file per row."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from podium.data.lines import Decoder, too_long, undecodable
from podium.data.readers.base import Content, Reader
from podium.data.rows import BadRow, Row
from podium.data.sources import Role, Source, SourceFile, visible
from podium.errors import DataError


class Folder(Reader):
    """The text is what a file holds, the label the name of its folder."""

    name = "folder"
    contents = frozenset[Content]({"text"})
    fixed_columns = ("text", "label")

    @classmethod
    def sniffs_directory(cls, entries: Sequence[Path]) -> bool:
        return any(entry.is_dir() for entry in entries)

    @classmethod
    def find(cls, path: Path, role: Role) -> Source:
        if not path.is_dir():
            raise DataError(f"dataset.format=folder needs a directory with one folder per label, but {path} is a file")
        files: list[SourceFile] = []
        ignored: list[str] = []
        for entry in visible(path):
            if not entry.is_dir():
                ignored.append(entry.name)
                continue
            members = visible(entry)
            below = [member for member in members if member.is_dir()]
            if below:
                raise DataError(
                    f"a label folder must hold its files directly, but {entry} holds the folder {below[0].name!r}; set "
                    "dataset.path (and dataset.test_path) to the directory whose folders are the labels"
                )
            files.extend(SourceFile(f"{entry.name}/{member.name}", member) for member in members)
        if not files:
            raise DataError(f"dataset.format=folder needs folders with one file per row, but {path} holds none")
        return cls._source(path, role, files, ignored)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield one row per file, in the order of labels and file names."""
        self.notes.clear()
        decoder = Decoder(self.config.encoding, self.config.fallback_encoding, self.notes)
        for file in self.source.files:
            try:
                with file.open() as stream:
                    data = stream.read(self.config.max_row_bytes + 1)
            except OSError as error:
                raise DataError(f"{file.name} cannot be read: {error}") from error
            if len(data) > self.config.max_row_bytes:
                yield BadRow(file.name, 0, None, too_long(self.config))
                continue
            try:
                text = decoder.decode(data).removeprefix("\ufeff")
            except UnicodeDecodeError as error:
                yield BadRow(file.name, 0, "text", undecodable(error))
                continue
            yield Row(file.name, 0, {"text": text, "label": file.path.parent.name})

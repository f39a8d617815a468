"""One folder per label, one file per row."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from podium.data.readers.base import BadRow, Content, Reader, Row, encoding_of, opened
from podium.data.sources import Role, Source, SourceFile, visible
from podium.errors import DataError

_UNLABELLED = re.compile(r"unsup(ervised)?|unlabell?ed", re.IGNORECASE)
"""Names of folders whose texts have no label."""


class Folder(Reader):
    """The text is what a file holds, the label the name of its folder. Folders of texts without labels are not read."""

    name = "folder"
    encoded = True
    contents = frozenset[Content]({"text"})
    fixed_columns = ("text", "label")

    @classmethod
    def sniffs_directory(cls, entries: Sequence[Path]) -> bool:
        return any(entry.is_dir() for entry in entries)

    @classmethod
    def find(cls, path: Path, role: Role) -> Source:
        if not path.is_dir():
            raise DataError(f"dataset.format=folder needs a directory with one folder per label, but {path} is a file")
        entries = visible(path)
        labels = [entry for entry in entries if entry.is_dir() and not _UNLABELLED.fullmatch(entry.name)]
        files: list[SourceFile] = []
        for label in labels:
            for member in visible(label):
                if member.is_dir():
                    raise DataError(
                        f"a label folder must hold its files directly, but {label} holds the folder {member.name!r}; "
                        "set dataset.path (and dataset.test_path) to the directory whose folders are the labels"
                    )
                files.append(SourceFile(f"{label.name}/{member.name}", member))
        if not files:
            raise DataError(f"dataset.format=folder needs folders with one file per row, but {path} holds none")
        return cls._source(path, role, files, [entry.name for entry in entries if entry not in labels])

    @classmethod
    def implied(cls, train: Source, role: Role) -> Source | None:
        return None

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield one row per file, in the order of labels and file names."""
        self.notes.clear()
        for file in self.source.files:
            with opened(file, self.config.encoding) as stream:
                encoding = encoding_of(stream, self.config.encoding)
                data = stream.read(self.config.max_row_bytes + 1)
            if len(data) > self.config.max_row_bytes:
                yield BadRow(file.name, 0, None, self.too_long())
                continue
            text = self.decoded(data, file.name, 0, "text", encoding)
            if isinstance(text, str):
                yield Row(file.name, 0, {"text": text.removeprefix("\ufeff"), "label": file.path.parent.name})
            else:
                yield text

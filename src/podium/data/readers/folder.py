"""One folder per label, one file per row."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import ClassVar

from podium.config.schema import Task
from podium.data.lines import Decoder, too_long, undecodable
from podium.data.readers.base import Reader, register
from podium.data.rows import BadRow, Row
from podium.errors import DataError


@register("folder")
class Folder(Reader):
    """The text is what a file holds, the label the name of its folder."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"text-classification"})
    fixed_columns = ("text", "label")

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield one row per file, in the order of labels and file names."""
        self.notes.clear()
        decoder = Decoder(self.config.encoding, self.config.fallback_encoding, self.notes)
        for file in self.source.files:
            try:
                with file.path.open("rb") as stream:
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

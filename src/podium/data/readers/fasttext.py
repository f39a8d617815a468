"""fastText: one text per line, and its labels as words that begin with `__label__`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from podium.data.readers.base import BadRow, Content, Reader, Row

_LABEL = re.compile(r"(?:^|(?<=\s))__label__(\S+)\s*")
_SAMPLE_LINES = 200
_LABELLED = 0.9


class FastText(Reader):
    """The labels of a line are a list; what is left of the line is the text. Blank lines are skipped."""

    name = "fasttext"
    encoded = True
    contents = frozenset[Content]({"text"})

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        lines = [line for line in head.decode("utf-8", "replace").split("\n")[:_SAMPLE_LINES] if line.strip()]
        return sum(_LABEL.search(line) is not None for line in lines) >= _LABELLED * len(lines)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        for item in self.filled_lines():
            if isinstance(item, BadRow):
                yield item
            else:
                name, number, line = item
                yield Row(name, number, {"text": _LABEL.sub("", line).strip(), "label": _LABEL.findall(line)})

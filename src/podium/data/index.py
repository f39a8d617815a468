"""What is kept in memory of every row: about 60 bytes, some 200 while it is split, whatever the length of its text."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from podium.data.rows import place, row_id
from podium.data.sources import ROLES, Role
from podium.data.validation import DIGEST_BYTES, ValidRow
from podium.tasks import TASKS

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass
class RowIndex:
    """Small facts of every valid row, in the order read.

    Attributes:
        task: name of the task.
        vocabulary: number of every label or tag, in order of first appearance.
        kinds: number of every different set of kinds (`Task.kinds`) that a row has, in order of first appearance.
    """

    task: str
    vocabulary: dict[str, int] = field(default_factory=dict)
    kinds: dict[frozenset[str], int] = field(default_factory=dict)
    _files: dict[str, int] = field(default_factory=dict)
    _units: dict[str, str] = field(default_factory=dict)
    _file: array[int] = field(default_factory=lambda: array("q"))
    _line: array[int] = field(default_factory=lambda: array("q"))
    _role: array[int] = field(default_factory=lambda: array("b"))
    _target: array[int] = field(default_factory=lambda: array("Q"))
    _kinds: array[int] = field(default_factory=lambda: array("i"))
    _document: array[int] = field(default_factory=lambda: array("i"))
    _digests: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self._line)

    def add(self, row: ValidRow, role: Role, unit: str) -> None:
        """Take in one valid row."""
        number = self._files.setdefault(row.file, len(self._files))
        if number == len(self._units):
            self._units[row.file] = unit
        self._file.append(number)
        self._line.append(row.line)
        self._role.append(ROLES.index(role))
        self._digests += row.digest
        text = row.target if isinstance(row.target, str) else "\0".join(row.target)
        self._target.append(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big"))
        kinds = frozenset(TASKS.get(self.task).kinds(row.target))
        self._kinds.append(self.kinds.setdefault(kinds, len(self.kinds)))
        self._document.append(row.document)

    def number_of(self, label: str) -> int:
        """Provisional number of a label or tag."""
        return self.vocabulary.setdefault(label, len(self.vocabulary))

    @property
    def roles(self) -> npt.NDArray[np.int8]:
        """Position in `ROLES` of every row's declared role."""
        return np.frombuffer(self._role, dtype=np.int8) if len(self) else np.zeros(0, np.int8)

    @property
    def targets(self) -> npt.NDArray[np.uint64]:
        """A hash of the target of every row."""
        return np.frombuffer(self._target, dtype=np.uint64) if len(self) else np.zeros(0, np.uint64)

    @property
    def kinds_of(self) -> Ints:
        """Number, in `kinds`, of the set of kinds of every row."""
        return np.frombuffer(self._kinds, dtype=np.int32).astype(np.int64) if len(self) else np.zeros(0, np.int64)

    @property
    def digests(self) -> npt.NDArray[np.uint64]:
        """Content digests as two numbers per row: shape (rows, 2)."""
        return np.frombuffer(self._digests, dtype=">u8").astype(np.uint64).reshape(-1, DIGEST_BYTES // 8)

    def groups(self) -> Ints:
        """Number of every row's content: rows share it exactly when they are duplicates of each other."""
        digests = self.digests
        if not len(digests):
            return np.zeros(0, np.int64)
        order = np.lexsort((digests[:, 1], digests[:, 0]))
        ordered = digests[order]
        new = np.ones(len(order), dtype=np.bool_)
        new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        groups = np.empty(len(order), dtype=np.int64)
        groups[order] = np.cumsum(new) - 1
        return groups

    @property
    def files(self) -> Ints:
        """Number of every row's file."""
        return np.frombuffer(self._file, dtype=np.int64) if len(self) else np.zeros(0, np.int64)

    @property
    def document_lines(self) -> Ints:
        """Line where the document of every row begins; 0 where its file names none."""
        return np.frombuffer(self._document, dtype=np.int32).astype(np.int64) if len(self) else np.zeros(0, np.int64)

    def ids(self, rows: Sequence[int] | Ints) -> list[str]:
        """Ids of rows in the prepared data set."""
        names = list(self._files)
        return [row_id(names[self._file[row]], self._line[row]) for row in rows]

    def places(self, rows: Sequence[int]) -> list[str]:
        """Names of rows for people: file and line."""
        names = list(self._files)
        found = [(names[self._file[row]], self._line[row]) for row in rows]
        return [place(name, line, self._units[name]) for name, line in found]

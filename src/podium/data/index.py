"""The check of rows against the schema, what is kept in memory of each (45 bytes), and which of them stay."""

from __future__ import annotations

import hashlib
import struct
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from podium.config.schema import DatasetConfig
from podium.data.readers.base import BadRow, Row, place
from podium.data.sources import ROLES, Role
from podium.tasks import TASKS

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_SHOWN = 3
_DIGEST_BYTES = 16
"""Size of a content digest: two different contents share one with probability below 1e-20 for 1e9 rows."""

_PACK = struct.Struct("<iqbii8s16s")
_FACTS = np.dtype(
    [
        ("file", "<i4"),
        ("line", "<i8"),
        ("role", "i1"),
        ("kinds", "<i4"),
        ("document", "<i4"),
        ("target", ">u8"),
        ("digest", f"S{_DIGEST_BYTES}"),
    ]
)


class ValidRow(NamedTuple):
    """A row that keeps the schema.

    Attributes:
        content: the text as found, or the tokens.
        target: what `Task.read_target` reads: the label, or the list of labels or tags.
        digest: digest of the normalised content; equal for exact duplicates.
        size: UTF-8 bytes of the content.
        rewritten: how many labels or tags were rewritten to another form.
        document: line where the document of the row begins; 0 where the file names none.
    """

    file: str
    line: int
    content: Any
    target: Any
    digest: bytes
    size: int
    rewritten: int = 0
    document: int = 0


def check_row(row: Row, names: tuple[str, str], config: DatasetConfig, unit: str) -> ValidRow | BadRow:
    """The row in canonical form, or what is wrong with it.

    Contents are compared in Unicode NFC, with `\\n` line ends and without surrounding white space.

    Args:
        unit: what row numbers of the source count.
    """
    task = TASKS.get(config.task)
    content, name = row.values.get(names[0]), names[0]
    problem = task.content_problem(content)
    if problem is None:
        try:
            target, rewritten = task.read_target(row.values.get(names[1]), content, config.task_options)
            data = comparable(task.as_text(content))
            if len(data) <= config.max_row_bytes:
                digest = hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
                return ValidRow(row.file, row.line, content, target, digest, len(data), rewritten, row.document)
            problem = f"has {len(data)} bytes, more than dataset.max_row_bytes={config.max_row_bytes}"
        except UnicodeEncodeError as error:
            problem = f"holds a character that UTF-8 cannot: {error.object[error.start]!r}"
        except ValueError as error:
            name, problem = names[1], str(error)
    return BadRow(row.file, row.line, name, problem, unit)


def comparable(text: str) -> bytes:
    """A content in the form in which contents are compared."""
    text = text.strip()
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).encode()


@dataclass
class RowIndex:
    """Small facts of every valid row, in the order read.

    Attributes:
        vocabulary: number of every label or tag, in order of first appearance.
        kinds: number of every different set of kinds (`Task.kinds`) that a row has, in order of first appearance.
    """

    task: str
    vocabulary: dict[str, int] = field(default_factory=dict)
    kinds: dict[frozenset[str], int] = field(default_factory=dict)
    _files: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Number of every file, and what its rows are counted in."""
    _packed: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self._packed) // _PACK.size

    def add(self, row: ValidRow, role: Role, unit: str) -> None:
        number, _ = self._files.setdefault(row.file, (len(self._files), unit))
        kinds = self.kinds.setdefault(frozenset(TASKS.get(self.task).kinds(row.target)), len(self.kinds))
        text = row.target if isinstance(row.target, str) else "\0".join(row.target)
        target = hashlib.blake2b(text.encode(), digest_size=8).digest()
        self._packed += _PACK.pack(number, row.line, ROLES.index(role), kinds, row.document, target, row.digest)

    def number_of(self, label: str) -> int:
        """Provisional number of a label or tag."""
        return self.vocabulary.setdefault(label, len(self.vocabulary))

    def column(self, name: str) -> Ints:
        """One fact of every row.

        Args:
            name: `file`; `line`; `role`, the position in `ROLES`; `kinds`, the number of its set in `kinds`; or
                `document`, the line where the document of the row begins, 0 where its file names none.
        """
        return np.frombuffer(self._packed, _FACTS)[name].astype(np.int64)

    @property
    def targets(self) -> npt.NDArray[np.uint64]:
        """A hash of the target of every row."""
        return np.frombuffer(self._packed, _FACTS)["target"].astype(np.uint64)

    @property
    def digests(self) -> npt.NDArray[np.uint64]:
        """Content digests as two numbers per row: shape (rows, 2)."""
        packed = np.ascontiguousarray(np.frombuffer(self._packed, _FACTS)["digest"])
        return packed.view(">u8").astype(np.uint64).reshape(-1, _DIGEST_BYTES // 8)

    def groups(self) -> Ints:
        """Number of every row's content: rows share it exactly when they are duplicates of each other."""
        return np.unique(np.frombuffer(self._packed, _FACTS)["digest"], return_inverse=True)[1]

    def ids(self, rows: Sequence[int] | Ints) -> list[str]:
        """Ids of rows in the prepared data set."""
        return [row_id(file, line) for file, line, _ in self._places(rows)]

    def places(self, rows: Sequence[int]) -> list[str]:
        """Names of rows for people: file and line."""
        return [place(*found) for found in self._places(rows)]

    def _places(self, rows: Sequence[int] | Ints) -> list[tuple[str, int, str]]:
        facts, names = np.frombuffer(self._packed, _FACTS)[["file", "line"]], list(self._files)
        found = [(names[file], line) for file, line in facts[rows].tolist()]
        return [(name, line, self._files[name][1]) for name, line in found]


def row_id(file: str, line: int) -> str:
    """Id of a row in a prepared data set: `reviews.jsonl:14`, or only the file if the whole file is the row."""
    return f"{file}:{line}" if line else file


def keep_rows(index: RowIndex, groups: Ints, deduplicate: bool) -> tuple[Ints, list[str]]:
    """The rows that stay (ascending), so that no content is on both sides of a split, and warnings for people.

    A content that fixed test rows have is removed from validation and train, one that fixed validation rows have from
    train: this holds whatever `deduplicate` says. With `deduplicate`, the first row of every content stays, also where
    its duplicates carry another label: the row is then as good as an annotator's first vote, and it is counted.
    """
    warnings = []
    roles = index.column("role")
    gone = leaked(roles, groups)
    for role, count in zip(ROLES, np.bincount(roles[gone], minlength=len(ROLES)), strict=True):
        if count:
            held_out = "test" if role == "validation" else "validation or test"
            warnings.append(f"{role} rows removed because the same content is in the fixed {held_out} rows: {count}")
    rows = np.flatnonzero(~gone)
    unique, first, members = np.unique(groups[rows], return_index=True, return_inverse=True)
    targets = index.targets[rows]
    differs = np.flatnonzero(targets != targets[first][members])
    if len(differs):
        pairs = [index.places([rows[first[members[row]]], rows[row]]) for row in differs[:_SHOWN]]
        what = "tags" if TASKS.get(index.task).words else "labels"
        outcome = "the first of each was kept" if deduplicate else "all were kept, which puts a ceiling on every score"
        warnings.append(
            f"contents that occur with different {what}: {len(np.unique(members[differs]))} of {len(unique)} (rows "
            f"that disagree with the first: {len(differs)}); {outcome}. For example "
            + "; ".join(f"{one} and {other}" for one, other in pairs)
        )
    return np.sort(rows[first]) if deduplicate else rows, warnings


def leaked(roles: Ints, groups: Ints) -> Mask:
    """Rows whose content also occurs in a role (by its position in `ROLES`) nearer to the final test."""
    strongest = np.zeros(int(groups.max(initial=-1)) + 1, dtype=np.int64)
    np.maximum.at(strongest, groups, roles)
    return np.asarray(roles < strongest[groups])


def documents(index: RowIndex) -> Ints | None:
    """First row of the document of every row, which names the document; None where there are no documents.

    Sentences of a document share names and topic, so a split never tears a document apart, and a bootstrap resamples
    documents. In a file that marks where documents begin, the rows before the first mark are a document, too. In files
    without marks each row is a document of its own. So it is in all files of a role that together have one document
    only: a single mark at the top of a file says nothing about the rows below it.
    """
    lines, files, roles = (index.column(name) for name in ("document", "file", "role"))
    rows = np.arange(len(index))
    if not lines.any():
        return None
    _, first, members = np.unique(files * (lines.max() + 1) + lines, return_index=True, return_inverse=True)
    found: Ints = np.where(np.isin(files, files[lines > 0]), first[members], rows)
    for number in range(len(ROLES)):
        own = np.flatnonzero(roles == number)
        if len(np.unique(found[own])) == 1:
            found[own] = own
    return None if np.array_equal(found, rows) else found

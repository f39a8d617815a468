"""The journal of an inference: one line per answered row, written so that no kill loses or repeats a row.

A line is written whole with one call as soon as the row is answered, so it outlives the process at once; every half
second what was written is flushed to the disk. A torn last line, which a kill or a full disk leaves behind, is cut off
when the journal is opened. Of an id that has several lines the last one counts.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from podium.errors import InputError, StoreError
from podium.inference.backends.base import Outcome

FAILED: frozenset[Outcome] = frozenset({"transient", "permanent"})
"""Outcomes of rows that the model was not, or not successfully, asked about; the others are what the model did."""

_FLUSH_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What came of one row.

    Attributes:
        id: of the row.
        answer: a label, a list of labels, the tags of all words, or a text; None where there is no valid answer.
        probabilities: one for each label of the run, in its order; None where the model gives none.
        reasoning: what a prompted model wrote before its answer.
        text: the reply of a prompted model as it came.
        prompt_tokens: tokens of the input.
        seconds: time spent on it; in a batch its share.
        attempts: how often a prompt was sent.
        error: the reason where there is no answer.
    """

    id: str
    outcome: Outcome
    answer: Any = None
    probabilities: tuple[float, ...] | None = None
    reasoning: str | None = None
    text: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None
    attempts: int = 1
    error: str | None = None


_FIELDS = tuple(field.name for field in fields(Entry))


class Journal:
    """The journal in one file, open for one process at a time. In memory is only where the line of each row lies.

    Attributes:
        outcomes: how many rows have each outcome.
        torn: whether a torn last line was cut off.
    """

    def __init__(self, path: Path) -> None:
        """Open or begin a journal.

        Raises:
            InputError: another process has it open.
            StoreError: a line other than the last one is damaged.
        """
        self.path = path
        self.outcomes: Counter[Outcome] = Counter()
        self.torn = False
        self._places: dict[str, int] = {}
        self._outcome: dict[str, Outcome] = {}
        """Of the rows whose outcome is not `ok`."""
        self._file = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise InputError(
                f"one process at a time may work on {path.parent}, but another one does; wait for it, or stop it"
            ) from None
        try:
            self._end = self._scan()
        except BaseException:
            self._file.close()
            raise
        self._flushed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, row: object) -> bool:
        return row in self._places

    def __len__(self) -> int:
        return len(self._places)

    def outcome(self, row: str) -> Outcome | None:
        """The outcome of a row; None where it has no line."""
        return self._outcome.get(row, "ok") if row in self._places else None

    def get(self, row: str) -> Entry:
        """The entry of a row, which must be there."""
        place = self._places[row]
        data, size = b"", 1 << 12
        while not data.endswith(b"\n"):
            # Most lines are short; a long one is read in ever larger parts.
            more = os.pread(self._file.fileno(), size, place + len(data))
            line, end, _ = more.partition(b"\n")
            data += line + end
            size *= 4
        return Entry(**json.loads(data))

    def add(self, entries: Iterable[Entry]) -> None:
        """Write entries; when this returns, no kill of this process can lose them.

        Raises OSError if the disk is full: then none of them is there.
        """
        lines = [(entry, _line(entry)) for entry in entries]
        data = memoryview(b"".join(line for _, line in lines))
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError:
            self._file.truncate(self._end)
            raise
        for entry, line in lines:
            self._note(entry.id, entry.outcome, self._end)
            self._end += len(line)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Make all entries survive a crash of the machine."""
        os.fsync(self._file.fileno())
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close the file; it may be called twice."""
        if not self._file.closed:
            self.flush()
            self._file.close()

    def _scan(self) -> int:
        """Take in every line; returns where the last one ends."""
        place = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    found = json.loads(line)
                    row, outcome = found["id"], found["outcome"]
                except (ValueError, KeyError, TypeError) as error:
                    if line.endswith(b"\n") and lines.read(1):
                        raise StoreError(
                            f"every line of a journal but the last must be whole, but line {number} of {self.path} is "
                            f"damaged ({error}); remove that line, and its row is asked again"
                        ) from error
                    break
                if not line.endswith(b"\n"):
                    break
                self._note(row, outcome, place)
                place += len(line)
        self.torn = place != self.path.stat().st_size
        self._file.truncate(place)
        return place

    def _note(self, row: str, outcome: Outcome, place: int) -> None:
        if (before := self.outcome(row)) is not None:
            self.outcomes[before] -= 1
            self._outcome.pop(row, None)
        self._places[row] = place
        self.outcomes[outcome] += 1
        if outcome != "ok":
            self._outcome[row] = outcome


def _line(entry: Entry) -> bytes:
    values = {name: getattr(entry, name) for name in _FIELDS}
    return json.dumps(values, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"

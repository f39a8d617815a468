"""The journal: nothing that was written is lost, and what is torn is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from podium.errors import InputError, StoreError
from podium.inference.journal import Entry, Journal


def entry(number: int, **fields: object) -> Entry:
    return Entry(id=f"row {number}", **{"outcome": "ok", "answer": number, **fields})  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_entries_come_back_and_the_last_one_of_an_id_counts(path: Path) -> None:
    long = entry(3, text="ü" * 50_000, probabilities=[0.25, 0.75], error="\ud800")
    with Journal(path) as journal:
        journal.add([entry(1), entry(2, outcome="transient", answer=None)])
        journal.add([long])
        journal.add([entry(2, answer="again")])
    with Journal(path) as journal:
        assert len(journal) == 3
        assert ("row 1" in journal, "row 9" in journal) == (True, False)
        assert journal.get("row 3") == long
        assert (journal.get("row 2").answer, journal.outcome("row 2"), journal.outcome("row 9")) == (
            "again",
            "ok",
            None,
        )
        assert +journal.outcomes == {"ok": 3}


@pytest.mark.parametrize("torn", [b"{", b'{"id": "row 7", "outcome": "ok"}', b"\x00\x00\x00", b'{"id": 3}\n'])
def test_a_torn_last_line_is_cut_off_and_the_row_is_written_again(path: Path, torn: bytes) -> None:
    with Journal(path) as journal:
        journal.add([entry(1)])
    with path.open("ab") as file:
        file.write(torn)
    with Journal(path) as journal:
        assert (len(journal), journal.torn) == (1, True)
        journal.add([entry(7)])
    with Journal(path) as journal:
        assert (journal.get("row 7"), journal.torn) == (entry(7), False)


def test_a_damaged_line_in_the_middle_is_told_with_its_number(path: Path) -> None:
    with Journal(path) as journal:
        journal.add([entry(number) for number in range(3)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"?" + lines[1] + lines[2])
    with pytest.raises(StoreError, match=r"but line 2 of .* is damaged"):
        Journal(path)


def test_one_process_at_a_time_has_it_open(path: Path) -> None:
    with Journal(path), pytest.raises(InputError, match="but another one does"):
        Journal(path)
    Journal(path).close()


def test_a_full_disk_leaves_no_half_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(path) as journal:
        journal.add([entry(1)])

        class Full:
            def __init__(self, file: object) -> None:
                self._file = file
                self._left = 10

            def write(self, data: memoryview) -> int:
                if not self._left:
                    raise OSError(28, "No space left on device")
                written, self._left = self._file.write(data[: self._left]), 0  # type: ignore[attr-defined]
                return int(written)

            def __getattr__(self, name: str) -> object:
                return getattr(self._file, name)

        whole = journal._file
        monkeypatch.setattr(journal, "_file", Full(whole))
        with pytest.raises(OSError, match="No space"):
            journal.add([entry(2)])
        monkeypatch.setattr(journal, "_file", whole)
        assert len(journal) == 1
        journal.add([entry(3)])
    with Journal(path) as journal:
        assert sorted(f"row {number}" in journal for number in (1, 2, 3)) == [False, True, True]

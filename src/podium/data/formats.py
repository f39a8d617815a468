"""Which format a source is in: by extension where it says so, by contents where it does not."""

from __future__ import annotations

from pathlib import Path

from podium.config.schema import Task
from podium.errors import DataError

FORMATS = ("jsonl", "json", "csv", "tsv", "parquet", "conll", "folder", "sql", "datasets")
"""Formats that a source can be in, as `dataset.format` names them."""

EXTENSIONS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
}
"""Formats that an extension decides alone. `.json` and `.txt` are decided by contents."""

DATASETS_MARKERS = ("dataset_dict.json", "state.json")
"""Files that only a folder saved by Hugging Face `datasets` has."""

_SNIFFED_BYTES = 1 << 16


def visible(path: Path) -> list[Path]:
    """Entries of a directory in name order, without hidden ones."""
    return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))


def infer_format(path: Path, task: Task | None = None) -> str:
    """Name the format of a file or directory.

    Raises:
        DataError: the format is none that Podium reads, a directory mixes formats, or the path cannot be read.
    """
    try:
        return _of_directory(path, task) if path.is_dir() else _of_file(path, task)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check its permissions") from error


def _of_file(path: Path, task: Task | None) -> str:
    known = EXTENSIONS.get(path.suffix.lower())
    if known is not None:
        return known
    with path.open("rb") as stream:
        head = stream.read(_SNIFFED_BYTES)
    if head.startswith(b"PAR1"):
        return "parquet"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if path.suffix.lower() == ".json" or start == b"{":
        return "json" if start == b"[" else "jsonl"
    if not head.strip():
        raise DataError(f"a data set must have rows, but {path} is empty")
    if task == "ner" or _looks_like_conll(head):
        return "conll"
    raise DataError(
        f"the format of {path} must be one that Podium reads, but neither its extension {path.suffix!r} nor its "
        f"contents tell which; set dataset.format to one of: {', '.join(FORMATS)}"
    )


def _looks_like_conll(head: bytes) -> bool:
    lines = [line.split() for line in head.decode("utf-8", "replace").splitlines()[:-1][:500]]
    rows = [line for line in lines if line and line[0] != "-DOCSTART-"]
    if not rows or len(rows) == len(lines):
        return False
    tags = [row[-1] for row in rows]
    return all(len(row) >= 2 and (tag == "O" or tag[:2] in ("B-", "I-")) for row, tag in zip(rows, tags, strict=True))


def _of_directory(path: Path, task: Task | None) -> str:
    entries = visible(path)
    if any((path / marker).is_file() for marker in DATASETS_MARKERS):
        return "datasets"
    files = [entry for entry in entries if entry.is_file()]
    found = {_of_file(file, task) for file in files if file.suffix.lower() in EXTENSIONS}
    if len(found) > 1:
        raise DataError(
            f"the files of a data set directory must share one format, but {path} holds {', '.join(sorted(found))}; "
            "set dataset.format, or give the path of one file"
        )
    if found:
        return found.pop()
    if any(entry.is_dir() for entry in entries):
        return "folder"
    raise DataError(
        "a data set directory must hold one folder per label, data files, or a saved Hugging Face data set, but "
        f"{path} holds {len(files)} other files; set dataset.path to the file with the rows"
    )

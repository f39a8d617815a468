"""Where rows come from: the files, or the address, that hold the rows of one split."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from podium.data.compressed import held_name
from podium.errors import DataError
from podium.text import shortened

Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")
FIELDS: dict[Role, str] = {"train": "path", "validation": "validation_path", "test": "test_path"}
"""The field of `dataset` that names the rows of a role."""

_STEMS: dict[str, Role] = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}
"""Whole names, without extension, of files and folders of a split."""

_WORDS: dict[str, Role] = {
    **_STEMS,
    "training": "train",
    "trn": "train",
    "val": "validation",
    "devel": "validation",
    "development": "validation",
    "testing": "test",
    "tst": "test",
}
"""Words in the names of files and folders of a split."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_BESIDE = re.compile(
    r"(readme|licen[cs]e|citation|notice|changelog)(\..*)?|dataset_infos?\.json|(labels?|classes|label_list|tags)\.txt"
    r"|sample_?submission\..*|.*\.(md|py|ipynb|sh|pdf|png|jpe?g|ya?ml|toml|html?)",
    re.IGNORECASE,
)
"""Names of files that lie beside data and hold no rows."""

_DEPTH = 3
_SHOWN = 3


@dataclass(frozen=True)
class SourceFile:
    """One file of a data set, and the name by which messages and fingerprints call it wherever the data set lies."""

    name: str
    path: Path


@dataclass(frozen=True)
class Source:
    """Rows of one role.

    Attributes:
        role: the split its rows belong to; rows of `train` are split further where no file fixes a split.
        location: a local path as text, or a URL for formats that are read from one.
        files: the files that hold the rows, in reading order; empty for formats that are read from a URL.
        split: the part of `location` that holds these rows, for formats that keep several splits in one place.
        ignored: names of entries beside the data that hold no rows.
    """

    role: Role
    location: str
    format: str
    files: tuple[SourceFile, ...] = ()
    split: str | None = None
    ignored: tuple[str, ...] = ()


def prefix_of(role: Role) -> str:
    """What the names of the files of a role begin with, so that files of two roles never share a name."""
    return "" if role == "train" else f"{role}:"


def visible(path: Path) -> list[Path]:
    """Entries of a directory in name order, without hidden ones."""
    return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))


def suffix_of(path: Path) -> str:
    """Extension of a file in lower case, without that of a compression."""
    return held_name(path).suffix.lower()


def data_files(path: Path) -> tuple[list[Path], list[Path]]:
    """The files of a directory that may hold rows, and those that only lie beside them, both in name order."""
    files = [entry for entry in visible(path) if entry.is_file()]
    beside = [file for file in files if _BESIDE.fullmatch(file.name)]
    return [file for file in files if file not in beside], beside


def nested_files(path: Path) -> list[Path]:
    """All files in and below a directory that may hold rows, without hidden ones; three folders deep at most."""
    found = data_files(path)[0]
    folders = [path]
    for _ in range(_DEPTH):
        folders = [entry for folder in folders for entry in visible(folder) if entry.is_dir()]
        found += [file for folder in folders for file in visible(folder) if file.is_file()]
    return found


def by_split(files: Iterable[Path], root: Path) -> tuple[dict[Role, list[Path]], list[Path]]:
    """The files by the split that their names, or those of their folders below `root`, say; and those that say none.

    The names of all files say nothing where no two of them say different splits. Where none is named after training,
    those that are named after no split are the training rows.
    """
    roles: dict[Role, list[Path]] = {}
    rest: list[Path] = []
    for file in files:
        found = _role(file, root)
        if found is None:
            rest.append(file)
        else:
            roles.setdefault(found, []).append(file)
    if roles and "train" not in roles and rest:
        roles["train"], rest = rest, []
    if "train" not in roles or len(roles) < 2:
        return {}, [file for found in roles.values() for file in found] + rest
    return roles, rest


def split_entries(path: Path) -> dict[Role, Path]:
    """One file, or one folder, for each of several splits of a directory, as the names say; empty where it is not so.

    Raises:
        DataError: there are files of held-out splits, and none to train on.
    """
    if described_splits(path, nested_files(path)) is not None:
        return {}
    files = data_files(path)[0]
    if not any(_role(file, path) for file in files):
        folders, _ = by_split([entry for entry in visible(path) if entry.is_dir()], path)
        # Files at the top, such as a vocabulary, lie beside the data where folders of labels do.
        whole = not files or all(any(entry.is_dir() for entry in visible(one[0])) for one in folders.values())
        return {role: found[0] for role, found in folders.items()} if whole and _single(folders) else {}
    roles, _ = by_split(files, path)
    if not roles and files and all(_stem(file) in _STEMS for file in files) and "train" not in map(_stem, files):
        raise DataError(f"--data names a directory with splits but no train file: {path}; add it, or name one file")
    return {role: found[0] for role, found in roles.items()} if _single(roles) else {}


def _single(roles: dict[Role, list[Path]]) -> bool:
    return bool(roles) and all(len(found) == 1 for found in roles.values())


def _stem(file: Path) -> str:
    return file.name.lower().split(".")[0]


def _role(file: Path, root: Path) -> Role | None:
    """The split that a name says, if it says one only; the file's own name counts before those of its folders."""
    for part in reversed(file.relative_to(root).parts):
        said = {_WORDS[word] for one in _WORD.findall(part) if (word := one.lower()) in _WORDS}
        if (stem := part.split(".")[0].lower()) in _STEMS:
            said = {_STEMS[stem]}
        if said:
            return said.pop() if len(said) == 1 else None
    return None


def says_splits(values: Collection[str]) -> bool:
    """Whether the values of a column are names of splits, with one for training among several."""
    roles = {_WORDS.get(value.lower()) for value in values}
    return len(roles) > 1 and "train" in roles and None not in roles


@dataclass(frozen=True)
class Listing:
    """The files of a directory that hold rows: by split, where their names or a README say so, else all as `train`."""

    roles: dict[Role, list[Path]]
    by_name: bool
    ignored: tuple[str, ...]


def listing(path: Path, extensions: tuple[str, ...]) -> Listing:
    """What a directory holds in files with one of the extensions, or in all its files where none has one.

    Folders below it are looked into where there are no such files at its top.

    Raises:
        DataError: a README describes several data sets.
    """
    at_top, beside = data_files(path)
    files = [file for file in at_top if suffix_of(file) in extensions]
    if not files:
        nested = nested_files(path)
        files = [file for file in nested if suffix_of(file) in extensions] or at_top
    if (described := described_splits(path, files)) is not None:
        roles, rest = described, [file for file in files if not any(file in found for found in described.values())]
    else:
        roles, rest = by_split(files, path)
    ignored = {file for file in (*at_top, *beside, *rest) if file not in files or (roles and file in rest)}
    names = tuple(sorted(file.relative_to(path).as_posix() for file in ignored))
    return Listing(roles or {"train": files}, bool(roles), names)


def described_splits(path: Path, files: Sequence[Path]) -> dict[Role, list[Path]] | None:
    """The files of each split as the `configs` of a README say, which is how the Hugging Face hub does; else None.

    Raises:
        DataError: it describes several data sets, and none is the default.
    """
    import yaml

    try:
        head = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", (path / "README.md").read_text("utf-8", "replace"), re.DOTALL)
        configs = (yaml.safe_load(head[1]) or {}).get("configs") if head else None
    except (OSError, yaml.YAMLError, AttributeError):
        return None
    configs = [one for one in configs or () if isinstance(one, dict) and one.get("data_files")]
    if not configs:
        return None
    chosen = next((one for one in configs if one.get("default") or one.get("config_name") == "default"), None)
    if chosen is None and len(configs) > 1:
        names = ", ".join(str(one.get("config_name")) for one in configs)
        raise DataError(
            f"{path / 'README.md'} describes several data sets ({names}); set dataset.path (and dataset.test_path) to "
            "the files of one of them"
        )
    given = (chosen or configs[0])["data_files"]
    parts = given if isinstance(given, list) and isinstance(given[0], dict) else [{"split": "train", "path": given}]
    found: dict[Role, list[Path]] = {}
    for part in parts:
        patterns = part["path"] if isinstance(part["path"], list) else [part["path"]]
        role = _WORDS.get(str(part.get("split")).lower())
        matching = sorted({file for pattern in patterns for file in path.glob(str(pattern)) if file in files})
        if role is not None and matching:
            found.setdefault(role, []).extend(matching)
    return found if "train" in found else None


def shards(path: Path, extensions: tuple[str, ...], what: str, role: Role) -> tuple[list[SourceFile], list[str]]:
    """The files of a directory that hold the rows of a role, as `listing` finds them, and the names of unused others.

    Raises:
        DataError: there are no files.
    """
    found = listing(path, extensions)
    chosen = found.roles.get(role, []) if found.by_name else found.roles["train"]
    if not chosen:
        raise DataError(f"a data set directory must hold {what} files, but {path} holds none")
    return [SourceFile(file.relative_to(path).as_posix(), file) for file in chosen], list(found.ignored)


def roles_line(sources: Sequence[Source]) -> str:
    """How many files are read as what, for people; those that lie beside the data, too."""
    parts = []
    for source in sources:
        names = [file.name.removeprefix(prefix_of(source.role)) for file in source.files]
        also = f" ({shortened(names, _SHOWN)})" if names else ""
        parts.append(f"{len(names) or 1} as {source.role}{also}")
    ignored = list(dict.fromkeys(name for source in sources for name in source.ignored))
    if ignored:
        parts.append(f"{len(ignored)} not read ({shortened(ignored, _SHOWN)})")
    split = "" if len(sources) > 1 else "; validation and test are split off it"
    return f"files: {', '.join(parts)}{split}"

"""Which format a data set is in, where its rows are, and what reads them."""

from __future__ import annotations

import codecs
from contextlib import suppress
from pathlib import Path

from podium.config.paths import is_remote, locate
from podium.config.schema import DatasetConfig
from podium.data.compressed import FAILURES, open_file
from podium.data.encodings import marked
from podium.data.readers.base import Content, Reader
from podium.data.sources import FIELDS, ROLES, Role, Source, data_files, nested_files, suffix_of, visible
from podium.errors import DataError, InputError
from podium.plugins import Registry
from podium.tasks import TASKS

FORMATS: Registry[type[Reader]] = Registry(
    "podium.formats",
    "dataset.format",
    {
        "jsonl": "podium.data.readers.json_rows:JsonLines",
        "json": "podium.data.readers.json_rows:JsonArray",
        "csv": "podium.data.readers.delimited:Csv",
        "tsv": "podium.data.readers.delimited:Tsv",
        "parquet": "podium.data.readers.tables:Parquet",
        "arrow": "podium.data.readers.tables:Arrow",
        "fasttext": "podium.data.readers.fasttext:FastText",
        "conll": "podium.data.readers.conll:Conll",
        "folder": "podium.data.readers.folder:Folder",
        "xlsx": "podium.data.readers.workbook:Workbook",
        "sql": "podium.data.readers.tables:SqlQuery",
        "datasets": "podium.data.readers.tables:SavedDataset",
    },
)
"""The data formats; what is not known by its extension is offered to them in this order."""

_SNIFFED_BYTES = 1 << 16


def infer_format(path: Path, task: str | None = None) -> str:
    """Name the format of a file or directory.

    Raises:
        DataError: the format is none that Podium reads, a directory mixes formats, or the path cannot be read.
    """
    content = None if task is None else TASKS.get(task).content
    try:
        return (_of_directory(path) if path.is_dir() else _of_file(path, content)).name
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check its permissions") from error


def resolve_sources(config: DatasetConfig) -> tuple[Source, ...]:
    """Find the sources a data set is read from, in the order train, validation, test.

    A place that holds several splits brings its own `validation` and `test`, unless a path is given for them, or the
    test rows are only predicted.

    Raises:
        DataError: a path is missing or holds no data, or its format or an encoding is not one that Podium reads.
    """
    for field, name in (("encoding", config.encoding), ("fallback_encoding", config.fallback_encoding)):
        try:
            codecs.lookup(name or "utf-8")
        except LookupError:
            raise DataError(
                f"dataset.{field} must be an encoding that Python knows, but got {name!r}; common ones are utf-8, "
                "cp1252, latin-1, utf-16, shift_jis, gb18030"
            ) from None
    given = {"train": config.path, "validation": config.validation_path, "test": config.test_path}
    sources: dict[Role, Source] = {}
    for role in ROLES:
        if (location := given[role]) is not None:
            sources[role] = _resolve(config, role, location)
        elif role == "test" and config.predict_path == config.path:
            continue
        elif (implied := FORMATS.get(sources["train"].format).implied(sources["train"], role)) is not None:
            sources[role] = implied
    return tuple(sources.values())


def open_reader(source: Source, config: DatasetConfig) -> Reader:
    """The reader of a source.

    Raises:
        DataError: the format cannot hold rows of the configured task.
    """
    reader, content = FORMATS.get(source.format), TASKS.get(config.task).content
    if content not in reader.contents:
        fit = ", ".join(one.name for one in FORMATS.all() if content in one.contents)
        raise DataError(
            f"dataset.format must be able to hold rows of dataset.task={config.task}, but {source.format} cannot; "
            f"use one of: {fit}"
        )
    return reader(source, config)


def fingerprint(config: DatasetConfig) -> dict[str, str]:
    """sha256 of every source file by name, sorted, wherever they lie; of a query, the digest of the rows it returns.

    Files of fixed splits are named `validation:…` and `test:…`, so that swapping them gives another fingerprint.

    Raises:
        DataError: a source is missing or cannot be read.
    """
    digests: dict[str, str] = {}
    for source in resolve_sources(config):
        digests |= open_reader(source, config).digests()
    return dict(sorted(digests.items()))


def _of_file(path: Path, content: Content | None) -> type[Reader]:
    if (known := _by_extension(path)) is not None:
        return known
    try:
        with open_file(path) as stream:
            head = stream.read(_SNIFFED_BYTES)
    except FAILURES as error:
        raise DataError(f"{path} cannot be decompressed: {error}; is it whole, and not encrypted?") from error
    if not head.strip():
        raise DataError(f"a data set must have rows, but {path} is empty")
    for reader in sorted(FORMATS.all(), key=lambda one: one.lenient):
        if reader.sniffs(_as_utf8(head), path, content):
            return reader
    raise DataError(
        f"the format of {path} must be one that Podium reads, but neither its extension {path.suffix!r} nor its "
        f"contents tell which; set dataset.format to one of: {', '.join(FORMATS.names())}"
    )


def _as_utf8(head: bytes) -> bytes:
    """The first bytes of a file, in UTF-8 where a byte order mark tells another encoding."""
    encoding = marked(head, "utf-8")
    return head if encoding == "utf-8" else head.decode(encoding, "ignore").encode("utf-8", "ignore")


def _of_directory(path: Path) -> type[Reader]:
    entries, formats = visible(path), FORMATS.all()
    for reader in formats:
        if any((path / marker).is_file() for marker in reader.markers):
            return reader
    files, _ = data_files(path)
    found = _formats_of(files, path)
    if not found and (nested := nested_files(path)):
        found = _formats_of(nested, path)
        # A label folder may hold a file or two with the extension of a data format.
        if sum(_by_extension(file) is not None for file in nested) * 2 <= len(nested):
            found = {}
    matching = [*found.values()] or [reader for reader in formats if reader.sniffs_directory(entries)]
    if matching:
        return matching[0]
    if files:
        with suppress(DataError):
            return _of_file(files[0], None)
    raise DataError(
        "a data set directory must hold one folder per label, data files, or a saved Hugging Face data set, but "
        f"{path} holds {len(files)} other files; set dataset.path to the file with the rows"
    )


def _formats_of(files: list[Path], path: Path) -> dict[str, type[Reader]]:
    """The format of the files of a directory whose extension says it, by its name."""
    found = {known.name: known for file in files if (known := _by_extension(file)) is not None}
    if len(found) > 1:
        raise DataError(
            f"the files of a data set directory must share one format, but {path} holds {', '.join(sorted(found))}; "
            "set dataset.format, or give the path of one file"
        )
    return found


def _by_extension(path: Path) -> type[Reader] | None:
    suffix = suffix_of(path)
    return next((reader for reader in FORMATS.all() if suffix in reader.extensions), None)


def _resolve(config: DatasetConfig, role: Role, location: str) -> Source:
    chosen = None if config.format == "auto" else FORMATS.get(config.format)
    by_query = chosen is not None and chosen.by_query
    if by_query != (config.query is not None):
        of_query = " or ".join(reader.name for reader in FORMATS.all() if reader.by_query)
        raise DataError(
            f"dataset.query goes together with dataset.format={of_query}, but got format={config.format}, "
            f"query={config.query!r}"
        )
    if chosen is not None and by_query and (role == "train" or "://" in location):
        return Source(role, location, chosen.name)
    try:
        path = locate(location)
    except InputError as error:
        raise DataError(f"dataset.{FIELDS[role]}: {error}") from error
    try:
        if chosen is None or by_query:
            chosen = FORMATS.get(infer_format(path, config.task))
        return chosen.find(path, role)
    except DataError as error:
        if is_remote(location):
            raise DataError(f"{error} ({path} is the copy of {location})") from error
        raise

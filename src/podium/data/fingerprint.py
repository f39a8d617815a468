"""What the rows are read from, as digests: the same wherever the data set lies."""

from __future__ import annotations

import hashlib
import json
from itertools import chain

from podium.config.schema import DatasetConfig
from podium.data.readers import Reader, open_reader
from podium.data.rows import Row
from podium.data.sources import Source, resolve_sources
from podium.errors import DataError
from podium.keys import digest_file


def fingerprint(config: DatasetConfig) -> dict[str, str]:
    """sha256 of every source file by display name, sorted; of a query, the digest of the rows it returns.

    Files of fixed splits are named `validation:…` and `test:…`, so that swapping them is another fingerprint.

    Raises:
        DataError: a source is missing or cannot be read.
    """
    found = chain.from_iterable(_digests(source, config) for source in resolve_sources(config))
    return dict(sorted(found))


def _digests(source: Source, config: DatasetConfig) -> list[tuple[str, str]]:
    if source.format == "sql":
        return [(f"{source.prefix}query", _result_digest(open_reader(source, config)))]
    try:
        return [(file.name, digest_file(file.path)) for file in source.files]
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}; check its permissions") from error


def _result_digest(reader: Reader) -> str:
    hasher = hashlib.sha256(json.dumps(reader.columns()).encode())
    for row in reader.rows():
        values = row.values if isinstance(row, Row) else {}
        hasher.update(b"\n" + json.dumps(list(values.values()), default=repr).encode())
    return hasher.hexdigest()

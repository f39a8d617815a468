"""Digests of the sources of a data set: the same wherever the data set lies."""

from __future__ import annotations

from podium.config.schema import DatasetConfig
from podium.data.formats import open_reader, resolve_sources


def fingerprint(config: DatasetConfig) -> dict[str, str]:
    """sha256 of every source file by name, sorted; of a query, the digest of the rows it returns.

    Files of fixed splits are named `validation:…` and `test:…`, so that swapping them gives another fingerprint.

    Raises:
        DataError: a source is missing or cannot be read.
    """
    digests: dict[str, str] = {}
    for source in resolve_sources(config):
        digests |= open_reader(source, config).digests()
    return dict(sorted(digests.items()))

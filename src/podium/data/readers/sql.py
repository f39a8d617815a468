"""Rows of a SQL query, read through SQLAlchemy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from podium.data.readers.base import Content, Reader
from podium.data.rows import BadRow, Row
from podium.errors import DataError

_BATCH_ROWS = 500


class SqlQuery(Reader):
    """The result of the SELECT `dataset.query` at the database URL `dataset.path`, streamed if the driver can."""

    name = "sql"
    contents = frozenset[Content]({"text"})
    unit = "row"
    by_query = True

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield one row per record of the result; nothing is ever committed."""
        with _result(self.source.location, self.config.query or "") as result:
            names = tuple(result.keys())
            for number, values in enumerate(result, start=1):
                yield Row(self._display, number, dict(zip(names, values, strict=True)))

    @property
    def _display(self) -> str:
        return f"{self.source.prefix}query"

    def columns(self) -> tuple[str, ...]:
        """The names of the result's columns."""
        with _result(self.source.location, self.config.query or "") as result:
            return tuple(result.keys())

    def digests(self) -> dict[str, str]:
        """The digest of the columns and rows of the result."""
        hasher = hashlib.sha256(json.dumps(self.columns()).encode())
        for row in self.rows():
            values = row.values if isinstance(row, Row) else {}
            hasher.update(b"\n" + json.dumps(list(values.values()), default=repr).encode())
        return {self._display: hasher.hexdigest()}


@contextmanager
def _result(location: str, query: str) -> Iterator[Any]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        url = make_url(location)
    except ArgumentError as error:
        raise DataError(
            "dataset.path must be a database URL such as sqlite:////folder/data.db when dataset.format=sql; what was "
            "given does not parse as one"
        ) from error
    shown = url.render_as_string(hide_password=True)
    file = url.database
    in_file = url.get_backend_name() == "sqlite" and file and file != ":memory:" and not file.startswith("file:")
    if in_file and not Path(str(file)).is_file():
        raise DataError(f"dataset.path must name an existing database, but {shown} has no file {file}")
    try:
        engine = create_engine(url)
    except (NoSuchModuleError, ImportError) as error:
        raise DataError(f"the driver of {shown} must be installed, but it is not: {error}") from error
    try:
        with engine.connect().execution_options(stream_results=True, yield_per=_BATCH_ROWS) as connection:
            yield connection.execute(text(query))
    except SQLAlchemyError as error:
        raise DataError(f"dataset.query must run on {shown}, but it fails: {str(error).splitlines()[0]}") from error
    finally:
        engine.dispose()

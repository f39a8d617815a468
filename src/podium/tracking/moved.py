"""An output directory that was moved, renamed or copied: MLflow's sqlite file holds absolute places of artifacts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

ARTIFACTS = "mlflow-artifacts"
"""The folder beside a sqlite file that holds the artifacts of its runs and models."""

_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_TAGS = (("tags", "value"), ("logged_model_tags", "tag_value"), ("model_version_tags", "value"))
_BUSY_SECONDS = 20.0


def follow(database: Path) -> None:
    """Correct the places in a sqlite file of MLflow whose folder has another path than when they were written.

    Only what lies in `ARTIFACTS` beside the file is concerned, and Podium's tags that name a place in the folder.
    Without this, models of a moved folder are not found and new ones are written to the old path.

    Args:
        database: absolute path. A file that does not exist, or is not MLflow's, is left alone.
    """
    here = database.parent / ARTIFACTS
    if not (database.exists() and here.is_dir()):
        return
    with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as file, file:
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables.issuperset(table for table, _ in (*_PLACES, *_TAGS)):
            return
        written = file.execute(
            "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE ?",
            (f"file://%/{ARTIFACTS}",),
        ).fetchall()
        for (old,) in written:
            before = Path(unquote(urlsplit(old).path))
            if old == here.as_uri() or (before.exists() and before.samefile(here)):
                continue
            for table, column in _PLACES:
                _replace(file, table, column, old, here.as_uri())
            for table, column in _TAGS:
                _replace(file, table, column, str(before.parent), str(database.parent))


def _replace(file: sqlite3.Connection, table: str, column: str, old: str, new: str) -> None:
    """Put `new` for `old` in every value that is `old` or lies below it."""
    file.execute(
        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR substr({column}, 1, ?) = ?",
        (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
    )

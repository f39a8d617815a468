"""The champion of a registered model and the moves behind it, without importing MLflow where that is possible.

A run asks for both at its beginning, and importing MLflow costs two seconds. In a sqlite file they are a few rows. This
module reads them, read-only, if the file has the schema that it knows. In every other case MLflow is asked: another
schema, a server or another database, a move that was begun and not ended (`moves` then settles it), or a file that
cannot be read. So the answer is always that of the registry at this moment, also after a move in MLflow's own UI.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from podium.errors import TrackingError
from podium.records import Incumbent, Move
from podium.text import redact
from podium.tracking import base
from podium.tracking.base import RegistryState

SCHEMA = "dc11669786a5"
"""The revision of MLflow's tables that is read here: that of MLflow 3.17 (`alembic_version`)."""

_SQLITE = "sqlite:///"
_BUSY_SECONDS = 2.0
_WHERE = "workspace = 'default' AND name = ?"


def read_state(uri: str, name: str) -> RegistryState | None:
    """The state of a model in the registry at `uri`; None where MLflow has to be asked.

    Raises:
        TrackingError: the champion was not registered by Podium.
    """
    if not uri.startswith(_SQLITE) or "?" in uri or "MLFLOW_WORKSPACE" in os.environ:
        return None
    database = Path(uri.removeprefix(_SQLITE))
    if not database.exists():
        return RegistryState()
    place = f"file:{quote(str(database.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(place, uri=True, timeout=_BUSY_SECONDS)) as file:
            file.execute("BEGIN")  # one view of all tables
            if file.execute("SELECT version_num FROM alembic_version").fetchall() != [(SCHEMA,)]:
                return None
            tags = file.execute(f"SELECT key, value FROM registered_model_tags WHERE {_WHERE}", (name,)).fetchall()
            alias = file.execute(
                f"SELECT version FROM registered_model_aliases WHERE {_WHERE} AND alias = ?", (name, base.CHAMPION)
            ).fetchone()
            of_version = file.execute(
                f"SELECT key, value FROM model_version_tags WHERE {_WHERE} AND version = ?", (name, alias and alias[0])
            ).fetchall()
    except sqlite3.Error:
        return None
    moves = [Move.model_validate_json(value) for key, value in sorted(tags) if key.startswith(base.MOVE)]
    if any(move.state == "begun" for move in moves):
        return None
    incumbent = incumbent_of(name, str(alias[0]), dict(of_version), redact(uri)) if alias else None
    return RegistryState(incumbent, tuple(move for move in moves if move.state == "done"))


def incumbent_of(name: str, version: str, tags: Mapping[str, str], uri: str) -> Incumbent:
    """The champion as its version's tags describe it.

    Raises:
        TrackingError: Podium did not register the version.
    """
    needed = (base.TAG_MODEL_DIGEST, base.TAG_MODEL_KEY, base.TAG_METRIC, base.TAG_SCORE)
    missing = [tag for tag in needed if tag not in tags]
    if missing:
        raise TrackingError(
            f"a champion carries the tags by which Podium compares models, but version {version} of {name!r} at {uri} "
            f"lacks {', '.join(missing)}: Podium did not register it. Remove its alias {base.CHAMPION!r}, or use "
            "another name: tracking.model_name=NAME"
        )
    return Incumbent(
        name=name,
        version=version,
        model_digest=tags[base.TAG_MODEL_DIGEST],
        model_key=tags[base.TAG_MODEL_KEY],
        metric=tags[base.TAG_METRIC],
        score=float(tags[base.TAG_SCORE]),
        decision_key=tags.get(base.TAG_DECISION, ""),
        variant=tags.get(base.TAG_VARIANT, "eager"),
        files_digest=tags.get(base.TAG_FILES, tags[base.TAG_MODEL_DIGEST]),
        trust_remote_code=tags.get(base.TAG_CODE) == "true",
    )

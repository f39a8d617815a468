"""The champion read from MLflow's sqlite file: the same as MLflow says, whoever moved it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from podium.config.schema import TrackingConfig
from podium.errors import TrackingError
from podium.tracking import RegistryState, Tracker, registry_state, tracker_for
from podium.tracking.base import MOVE
from podium.tracking.sqlite_registry import read_state
from tests.unit.tracking import conformance
from tests.unit.tracking.conformance import fresh
from tests.unit.tracking.support import model_record

NAME = "news"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a registry with two versions, the first of which is the champion."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "weights").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("podium.tracking.mlflow_tracker.describe_model", conformance.fake_package)
        tracker = tracker_for(TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db"))
        for _ in range(2):
            record, tags = model_record(fresh(), fresh()), {"podium.decision": "d"}
            tracker.register(NAME, fresh()[:32], folder / "weights", record, tags=tags)
    tracker.move_champion(NAME, "1", how="decided", by="me", reason="first", decision="d")
    return folder / "mlflow.db"


@pytest.fixture
def uri(database: Path, tmp_path: Path) -> str:
    """A copy of the file for each test, since MLflow takes a second to make one."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(tmp_path / "mlflow.db")) as copy:
        source.backup(copy)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def tracker(uri: str) -> Tracker:
    return tracker_for(TrackingConfig(uri=uri))


def asked(tracker: Tracker) -> RegistryState:
    return RegistryState(tracker.incumbent(NAME), tuple(tracker.moves(NAME)))


def change(uri: str, statement: str, *values: str) -> None:
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as file:
        file.execute(statement, values)
        file.commit()


def test_it_is_what_mlflow_says(uri: str, tracker: Tracker) -> None:
    assert read_state(uri, NAME) == asked(tracker)
    tracker.move_champion(NAME, "2", how="forced", by="me", reason="second")
    found = read_state(uri, NAME)
    assert found == asked(tracker) and found.incumbent is not None
    assert (found.incumbent.version, [move.after for move in found.moves]) == ("2", ["1", "2"])
    assert read_state(uri, "another") == RegistryState()


def test_a_move_in_mlflow_itself_is_seen(uri: str, tracker: Tracker) -> None:
    from mlflow import MlflowClient

    MlflowClient(uri, uri).set_registered_model_alias(NAME, "champion", "2")
    found = read_state(uri, NAME)
    assert found is not None and found.incumbent == tracker.incumbent(NAME)
    assert found.incumbent is not None and found.incumbent.version == "2"
    MlflowClient(uri, uri).delete_registered_model_alias(NAME, "champion")
    assert read_state(uri, NAME) == RegistryState(None, found.moves)


def test_a_version_that_podium_did_not_register_is_refused(uri: str, tracker: Tracker) -> None:
    from mlflow import MlflowClient

    MlflowClient(uri, uri).delete_model_version_tag(NAME, "1", "podium.score")
    with pytest.raises(TrackingError, match=r"lacks podium\.score: Podium did not register it"):
        read_state(uri, NAME)


def test_mlflow_is_asked_where_a_move_was_not_ended(uri: str, tracker: Tracker) -> None:
    change(uri, f"UPDATE registered_model_tags SET value = replace(value, 'done', 'begun') WHERE key LIKE '{MOVE}%'")
    assert read_state(uri, NAME) is None
    assert registry_state(TrackingConfig(uri=uri), NAME).moves[0].state == "done"


def test_mlflow_is_asked_where_the_schema_is_another(uri: str, tracker: Tracker) -> None:
    before = asked(tracker)
    change(uri, "UPDATE alembic_version SET version_num = ?", "another")
    assert read_state(uri, NAME) is None
    assert before.incumbent is not None


@pytest.mark.parametrize("other", ["http://localhost:1", "postgresql://host/db", "sqlite:///x.db?timeout=3"])
def test_mlflow_is_asked_where_there_is_no_plain_file(other: str) -> None:
    assert read_state(other, NAME) is None


def test_a_file_that_is_not_there_holds_nothing_and_is_not_made(tmp_path: Path) -> None:
    assert read_state(f"sqlite:///{tmp_path}/none.db", NAME) == RegistryState()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_left_to_mlflow(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database at all, but long enough to be looked at" * 20)
    assert read_state(f"sqlite:///{tmp_path}/x.db", NAME) is None


def test_nothing_heavy_is_imported(uri: str, tracker: Tracker) -> None:
    code = (
        "import sys; from podium.tracking import registry_state; from podium.config.schema import TrackingConfig\n"
        f"assert registry_state(TrackingConfig(uri={uri!r}), {NAME!r}).incumbent\n"
        "print({'mlflow', 'sqlalchemy', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

"""Every tracker that needs no server, against the contract."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from podium.config.schema import TrackingConfig
from podium.errors import TrackingError
from podium.tracking import Tracker, tracker_for
from podium.tracking.base import TAG_KEY
from tests.unit.tracking import conformance
from tests.unit.tracking.conformance import Conformance, RecordingConformance
from tests.unit.tracking.conformance_models import ModelConformance
from tests.unit.tracking.support import model_record

weights = conformance.weights


class TestSqlite(RecordingConformance, ModelConformance):
    @pytest.fixture(scope="class")
    def uri(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/a dir/mlflow.db"

    def test_everything_lies_beside_the_database(self, tracker: Tracker, uri: str) -> None:
        run = tracker.open_run("run", {})
        tracker.log_file(run, Path(__file__), "code")
        folder = Path(uri.removeprefix("sqlite:///")).parent
        (kept,) = (folder / "mlflow-artifacts").rglob(f"{run}/artifacts/code/{Path(__file__).name}")
        assert kept.read_text() == Path(__file__).read_text()
        assert not (Path.cwd() / "mlruns").exists()

    def test_the_folder_can_be_copied_renamed_and_moved(
        self, tracker: Tracker, uri: str, weights: Path, tmp_path: Path
    ) -> None:
        name, models, (first, *_) = self.three_versions(tracker, weights)
        (run,) = (one.run_id for one in tracker.runs({TAG_KEY: models[0].key}))
        place = Path(uri.removeprefix("sqlite:///")).parent
        tracker.set_tags(run, {"podium.directory": f"{place}/runs/1", "podium.beside": f"{place}-2/runs/1"})
        copied, moved = tmp_path / "it's a copy", tmp_path / "new" / "100 % mine"
        shutil.copytree(place, copied)
        written = {file.relative_to(copied) for file in copied.rglob("*")}
        moved.parent.mkdir()
        assert tracker_for(TrackingConfig(uri=f"sqlite:///{copied}/mlflow.db")).incumbent(name) is not None
        copied.rename(moved)
        now = tracker_for(TrackingConfig(uri=f"sqlite:///{moved}/mlflow.db"))
        found = now.download_model(name, first, tmp_path / "fetched")
        assert (found / "config.json").read_text() == "{}"
        now.log_file(run, Path(__file__), "code")
        again = now.run(run)
        assert again is not None and again.tags["podium.directory"] == f"{moved}/runs/1"
        assert again.tags["podium.beside"] == f"{place}-2/runs/1"
        assert [*moved.rglob(f"{run}/artifacts/code/*.py")] and not copied.exists()
        assert {file.relative_to(place) for file in place.rglob("*")} == written

    def test_a_deleted_experiment_is_refused(self, tracker: Tracker, uri: str) -> None:
        from mlflow import MlflowClient

        run = tracker.open_run("run", {})
        client = MlflowClient(uri)
        experiment = client.get_experiment(client.get_run(run).info.experiment_id)
        client.delete_experiment(experiment.experiment_id)
        again = tracker_for(TrackingConfig(uri=uri, experiment=experiment.name))
        with pytest.raises(TrackingError, match=r"must be active, but it is deleted; restore it"):
            again.open_run("run", {})

    def test_the_tags_and_limits_are_those_of_this_mlflow(self) -> None:
        from mlflow.utils import mlflow_tags, validation

        from podium.tracking import base, runs

        assert base.MAX_PARAM == validation.MAX_PARAM_VAL_LENGTH
        assert base.MAX_TAG == validation.MAX_TAG_VAL_LENGTH
        assert base.MAX_NAME == validation.MAX_ENTITY_KEY_LENGTH
        assert base.MAX_DATASET_DIGEST == validation.MAX_DATASET_DIGEST_SIZE
        assert runs.PARENT_RUN == mlflow_tags.MLFLOW_PARENT_RUN_ID

    def test_a_file_that_is_no_database_is_refused_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "mlflow.db").write_text("this is no database, but it is long enough to be read as one" * 40)
        with pytest.raises(
            TrackingError, match=r"refused while opening run .*file is not a database.*tracking\.mode=off"
        ):
            tracker_for(TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db")).open_run("run", {})

    def test_a_place_that_cannot_be_made_is_refused_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(TrackingError, match="refused while opening run"):
            tracker_for(TrackingConfig(uri=f"sqlite:///{tmp_path}/file/mlflow.db")).open_run("run", {})

    def test_a_locked_database_is_waited_for(self, tracker: Tracker, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        run = tracker.open_run("run", {})
        tracker._connect()
        calls: list[int] = []
        real = tracker._client.log_batch

        def locked_twice(*args: object, **named: object) -> None:
            calls.append(1)
            if len(calls) < 3:
                raise sqlite3.OperationalError("database is locked")
            real(*args, **named)

        monkeypatch.setattr(tracker._client, "log_batch", locked_twice)
        tracker.log_metrics(run, {"a": 1.0})
        found = tracker.run(run)
        assert len(calls) == 3 and found is not None and found.metrics == {"a": 1.0}


class TestOff(Conformance):
    @pytest.fixture
    def uri(self) -> str:
        return "off"

    @pytest.fixture
    def tracker(self) -> Tracker:
        return tracker_for(TrackingConfig(mode="off"))

    def test_ids_are_empty_and_nothing_is_registered(self, tracker: Tracker, tmp_path: Path) -> None:
        assert tracker.open_run("run", {}) == tracker.open_step("", "step", {}) == ""
        assert tracker.log_model("", model_record(), "x") == ""
        assert tracker.register("news", "", tmp_path, model_record()) == ""
        assert tracker.moves("news") == []
        assert tracker.incumbent("news") is None

    def test_lineage_says_that_there_is_none(self, tracker: Tracker) -> None:
        from podium.tracking.lineage import lineage

        with pytest.raises(TrackingError, match=r"tracking\.mode=off keeps no lineage"):
            lineage(tracker, "news")

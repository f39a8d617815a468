"""What every tracker does. A subclass gives a `uri` fixture; keys are random, so tests may share a server."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from podium.config.schema import TrackingConfig
from podium.errors import TrackingError
from podium.records import Observed, Report
from podium.tracking import Tracker, tracker_for
from podium.tracking.base import TAG_KEY, TAG_KIND, TAG_PARENT, TAG_TRIAL
from tests.unit.tracking.support import data_record, model_record, trial_record


def fresh() -> str:
    return uuid.uuid4().hex * 2


def keyed(kind: str, key: str, **parents: str) -> dict[str, str]:
    return {TAG_KIND: kind, TAG_KEY: key, **{f"{TAG_PARENT}{name}": value for name, value in parents.items()}}


def fake_package(path: Path, model: object, model_id: str, run_id: str | None, folder: Path) -> None:
    folder.mkdir()
    (folder / "MLmodel").write_text(f"model_id: {model_id}\nflavors: {{}}\n")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model directory that is packaged without loading it."""
    monkeypatch.setattr("podium.tracking.mlflow_tracker.describe_model", fake_package)
    path = tmp_path / "weights"
    path.mkdir()
    (path / "config.json").write_text("{}")
    return path


def held(tracker: Tracker, name: str) -> dict[str, str]:
    """The version that holds each alias."""
    found = {alias: tracker.registered(name, alias) for alias in ("champion", "previous", "challenger")}
    return {alias: item.version for alias, item in found.items() if item}


class Conformance:
    """Holds whether anything is recorded or not."""

    @pytest.fixture
    def tracker(self, uri: str) -> Tracker:
        return tracker_for(TrackingConfig(uri=uri, experiment=f"test-{uuid.uuid4().hex[:8]}"))

    def test_a_whole_run_can_be_recorded(self, tracker: Tracker, tmp_path: Path) -> None:
        run = tracker.open_run("news run", {"podium.run_id": "r1"})
        step = tracker.open_step(run, "refit", keyed("refit", fresh()))
        tracker.log_params(step, {"training": {"epochs": 2.0}, "choices": [1, "a"], "text": "ü"})
        tracker.log_metrics(step, {"loss": 0.5, "f1/sci.space & more": 0.25}, step=3)
        tracker.set_tags(step, {"podium.verdict": "PROMOTE"})
        tracker.log_file(step, Path(__file__), "code")
        tracker.log_input(step, data_record(fresh()), str(tmp_path))
        tracker.log_trial(step, trial_record(0))
        tracker.log_model(step, model_record(fresh()), "s3://bucket/store")
        tracker.close(step, "FINISHED")
        tracker.close(run, "FAILED")

    def test_there_is_no_incumbent_before_a_promotion(self, tracker: Tracker) -> None:
        assert tracker.incumbent(f"absent-{fresh()[:8]}") is None

    def test_making_one_touches_nothing(self, tmp_path: Path) -> None:
        tracker_for(TrackingConfig(uri=f"sqlite:///{tmp_path}/sub/mlflow.db"))
        assert not (tmp_path / "sub").exists()


class RecordingConformance(Conformance):
    """Holds for trackers that record."""

    @pytest.fixture
    def study(self, tracker: Tracker) -> tuple[str, str]:
        """Run id and key of an open study step."""
        key = fresh()
        return tracker.open_step(tracker.open_run("run", {}), "hpo", keyed("study", key, data=fresh())), key

    def test_runs_are_nested_named_tagged_and_closed(self, tracker: Tracker) -> None:
        run = tracker.open_run("news run", {"podium.run_id": "r1"})
        key = fresh()
        step = tracker.open_step(run, "refit bert", keyed("refit", key, data=fresh()))
        tracker.close(step, "FAILED")
        found = tracker.run(step)
        assert found is not None
        assert (found.name, found.status, found.tags["mlflow.parentRunId"]) == ("refit bert", "FAILED", run)
        assert [item.run_id for item in tracker.runs({TAG_KEY: key})] == [step]
        assert [item.run_id for item in tracker.runs({TAG_KEY: f"{key[:20]}*", TAG_KIND: "refit"})] == [step]
        assert tracker.runs({TAG_KEY: key, TAG_KIND: "data"}) == []
        parent = tracker.run(run)
        assert parent is not None and (parent.status, parent.tags[TAG_KIND]) == ("RUNNING", "run")

    def test_figures_come_back(self, tracker: Tracker) -> None:
        run = tracker.open_run("run", {})
        tracker.log_params(run, {"training": {"epochs": 2.0, "dropout": None}, "choices": [1, "a"], "text": "ü"})
        tracker.log_metrics(run, {"loss": 0.5, "rows": 7}, step=3)
        found = tracker.run(run)
        assert found is not None
        assert found.params == {
            "training.epochs": "2.0",
            "training.dropout": "null",
            "choices": '[1, "a"]',
            "text": "ü",
        }
        assert found.metrics == {"loss": 0.5, "rows": 7.0}

    def test_names_that_mlflow_forbids_are_kept_apart(self, tracker: Tracker) -> None:
        run = tracker.open_run("run", {})
        tracker.log_metrics(run, {"a&b": 1, "a%b": 2, "../up": 3, "x" * 300: 4, "": 5, "f1/B-PER": 6})
        found = tracker.run(run)
        assert found is not None
        assert sorted(found.metrics.values()) == [1, 2, 3, 4, 5, 6]
        assert found.metrics["f1/B-PER"] == 6

    def test_long_values_are_cut(self, tracker: Tracker) -> None:
        long = "ü" * 9000
        run = tracker.open_run("run", {"podium.note": long})
        tracker.log_params(run, {"section": {"text": long}})
        found = tracker.run(run)
        assert found is not None
        assert len(found.params["section.text"]) == 6000 and len(found.tags["podium.note"]) == 8000

    def test_more_than_one_request_holds(self, tracker: Tracker) -> None:
        run = tracker.open_run("run", {})
        tracker.log_params(run, {f"p{i}": "x" * 5900 for i in range(230)})
        tracker.log_metrics(run, {f"m{i}": i for i in range(1200)})
        found = tracker.run(run)
        assert found is not None
        assert (len(found.params), len(found.metrics)) == (230, 1200)

    def test_files_and_folders_are_attached(self, tracker: Tracker, tmp_path: Path) -> None:
        run = tracker.open_run("run", {})
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "a.txt").write_text("inside")
        tracker.log_file(run, tmp_path / "deep", "logs")
        tracker.log_file(run, tmp_path / "deep" / "a.txt")
        assert tracker.read_text(run, "logs/a.txt") == "inside"
        assert tracker.read_text(run, "a.txt") == "inside"
        assert tracker.read_text(run, "logs/absent.txt") is None

    @pytest.mark.parametrize("files", [2, 500])
    def test_inputs_name_the_data_and_its_files(self, tracker: Tracker, files: int) -> None:
        run = tracker.open_run("run", {})
        data = data_record(fresh(), files)
        tracker.log_input(run, data, "postgresql://me:secret@host/db?sslmode=require&password=hidden")
        found = tracker.run(run)
        assert found is not None
        (given,) = found.inputs
        assert (given.name, given.digest) == ("news", data.key[:36])
        assert given.source == "postgresql://***@host/db?sslmode=require&password=***"
        assert given.profile["rows"] == data.rows
        assert ("sources" in given.profile) == (files == 2)

    def test_credentials_are_taken_out_of_all_that_is_recorded(self, tracker: Tracker) -> None:
        secret = "https://me:s3cr3t@host/x"
        run = tracker.open_run(f"run {secret}", {"podium.source": secret})
        tracker.log_params(run, {"path": secret, "list": [secret], "long": secret + "y" * 7000})
        tracker.set_tags(run, {"podium.more": secret})
        tracker.log_input(run, data_record(fresh()), secret)
        found = tracker.run(run)
        assert "s3cr3t" not in repr(found)

    def test_a_trial_holds_its_params_scores_and_folds(self, tracker: Tracker, study: tuple[str, str]) -> None:
        step, key = study
        tracker.log_trial(step, trial_record(4))
        (trial,) = tracker.runs({TAG_KIND: "trial", f"{TAG_PARENT}study": key})
        assert (trial.name, trial.status, trial.tags["mlflow.parentRunId"]) == ("trial-004", "FINISHED", step)
        assert (trial.params["batch_size"], trial.metrics["score"], trial.metrics["seconds"]) == ("16", 0.8, 6.0)
        folds = tracker.runs({TAG_KIND: "fold", "mlflow.parentRunId": trial.run_id})
        assert sorted(run.metrics["macro_f1"] for run in folds) == pytest.approx([0.7, 0.8, 0.9])
        assert {run.tags[f"{TAG_PARENT}study"] for run in folds} == {key}

    def test_a_trial_logged_again_is_not_repeated(self, tracker: Tracker, study: tuple[str, str]) -> None:
        step, key = study
        partial = trial_record(0, folds=1, status="running", score=None, finished_at=None)
        for trial in (partial, partial, trial_record(0), trial_record(0)):
            tracker.log_trial(step, trial)
        (trial,) = tracker.runs({TAG_KIND: "trial", f"{TAG_PARENT}study": key})
        assert (trial.status, trial.metrics["score"]) == ("FINISHED", 0.8)
        assert len(tracker.runs({TAG_KIND: "fold", f"{TAG_PARENT}study": key})) == 3

    def test_a_resumed_study_repeats_no_trial(self, tracker: Tracker, study: tuple[str, str]) -> None:
        step, key = study
        tracker.log_trial(step, trial_record(0))
        tracker.log_trial(step, trial_record(1, folds=1, status="running", score=None, finished_at=None))
        tracker.close(step, "KILLED")
        again = tracker.open_step(tracker.open_run("second", {}), "hpo", keyed("study", key))
        for number in range(3):
            tracker.log_trial(again, trial_record(number))
        trials = {run.tags[TAG_TRIAL]: run for run in tracker.runs({TAG_KIND: "trial", f"{TAG_PARENT}study": key})}
        owners = [trials[number].tags["mlflow.parentRunId"] for number in "012"]
        assert owners == [step, again, again]
        resumed = tracker.run(again)
        assert resumed is not None and resumed.tags["podium.continues"] == step

    def test_a_study_computed_anew_has_its_own_trials(self, tracker: Tracker, study: tuple[str, str]) -> None:
        step, key = study
        tracker.log_trial(step, trial_record(0))
        again = tracker.open_step(tracker.open_run("second", {}), "hpo", keyed("study", key))
        tracker.log_trial(again, trial_record(0, score=0.9))
        assert len(tracker.runs({TAG_KIND: "trial", f"{TAG_PARENT}study": key})) == 2

    @pytest.mark.parametrize(("status", "ends"), [("failed", "FAILED"), ("pruned", "KILLED")])
    def test_a_trial_that_did_not_succeed_says_why(
        self, tracker: Tracker, study: tuple[str, str], status: str, ends: str
    ) -> None:
        tracker.log_trial(study[0], trial_record(0, folds=1, status=status, score=None, error="loss is nan"))
        (trial,) = tracker.runs({TAG_KIND: "trial", f"{TAG_PARENT}study": study[1]})
        assert (trial.status, trial.tags["podium.error"]) == (ends, "loss is nan")
        assert trial.tags["podium.trial.status"] == status

    def test_a_pruned_trial_keeps_what_it_reported(self, tracker: Tracker, study: tuple[str, str]) -> None:
        reports = [Report(value=0.25, fold=0, epoch=1.0, progress=0.5), Report(value=0.5, fold=0, progress=1.0)]
        pruned = trial_record(
            0,
            folds=1,
            status="pruned",
            score=0.5,
            reports=reports,
            metrics={"macro_f1": Observed.of([0.5]), "accuracy": Observed.of([0.625])},
            labels={"bracket": 2},
            reason="TrialPruned",
            error="macro_f1 0.5 is below 0.6",
        )
        tracker.log_trial(study[0], pruned)
        (run,) = tracker.runs({TAG_KIND: "trial", f"{TAG_PARENT}study": study[1]})
        assert (run.status, run.tags["podium.reason"]) == ("KILLED", "TrialPruned")
        assert run.tags["podium.label.bracket"] == "2"
        assert (run.metrics["running_score"], run.metrics["mean_accuracy"], run.metrics["score"]) == (0.5, 0.625, 0.5)
        assert self.history(tracker, run.run_id, "running_score") == [(1, 0.25), (2, 0.5)]

    def history(self, tracker: Tracker, run_id: str, metric: str) -> list[tuple[int, float]]:
        from mlflow import MlflowClient

        found = MlflowClient(tracker.uri).get_metric_history(run_id, metric)
        return sorted((item.step, item.value) for item in found)

    def test_a_trial_takes_few_requests(
        self, tracker: Tracker, study: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        real = tracker._call

        def call(doing: str, *actions: object) -> object:
            asked.append(doing)
            return real(doing, *actions)

        monkeypatch.setattr(tracker, "_call", call)
        tracker.log_trial(study[0], trial_record(0))
        assert len(asked) <= 5 + 3 * 3, "a trial and its three folds are each opened, filled and closed"
        assert len(tracker.runs({TAG_KIND: "fold", f"{TAG_PARENT}study": study[1]})) == 3

    def test_threads_may_log_at_once(self, tracker: Tracker, study: tuple[str, str]) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: tracker.log_trial(study[0], trial_record(number)), range(8)))
        found = tracker.runs({TAG_KIND: "trial", f"{TAG_PARENT}study": study[1]})
        assert sorted(int(run.tags[TAG_TRIAL]) for run in found) == list(range(8))
        assert {run.status for run in found} == {"FINISHED"}

    def test_a_run_that_something_else_made_is_attached_to_and_left_open(self, tracker: Tracker, uri: str) -> None:
        from mlflow import MlflowClient

        tracker.open_run("connects", {})
        client = MlflowClient(uri, registry_uri=uri)
        experiment = client.create_experiment(f"kubeflow-{fresh()[:8]}")
        pipeline = client.create_run(experiment, run_name="pipeline").info.run_id
        task = client.create_run(experiment, run_name="task", tags={"mlflow.parentRunId": pipeline}).info.run_id
        run = tracker.open_run("mine", {"podium.run_id": "r9"}, task)
        step = tracker.open_step(run, "prepare", keyed("data", fresh()), task)
        own = tracker.open_step(run, "hpo", {})
        for each in (step, own, run):
            tracker.close(each, "FINISHED")
        assert (run, step) == (pipeline, task)
        kept, nested = client.get_run(pipeline), client.get_run(own)
        assert (kept.info.status, kept.info.run_name, kept.data.tags["podium.run_id"]) == ("RUNNING", "pipeline", "r9")
        assert client.get_run(task).info.status == "RUNNING"
        assert (nested.info.status, nested.info.experiment_id) == ("FINISHED", experiment)

    def test_a_run_of_its_own_can_be_reopened_and_closed(self, tracker: Tracker) -> None:
        run = tracker.open_run("run", {})
        tracker.close(run, "FAILED")
        assert tracker.open_run("again", {"podium.more": "1"}, run) == run
        tracker.close(run, "FINISHED")
        found = tracker.run(run)
        assert found is not None and (found.status, found.tags["podium.more"]) == ("FINISHED", "1")

    def test_an_unknown_run_is_an_error_that_names_it(self, tracker: Tracker) -> None:
        with pytest.raises(TrackingError, match=r"refused while logging to run 0123456789abcdef"):
            tracker.log_metrics("0123456789abcdef" * 2, {"a": 1})
        assert tracker.run("0123456789abcdef" * 2) is None

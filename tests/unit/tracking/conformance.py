"""What every tracker does. A subclass gives a `uri` fixture; keys are random, so tests may share a server."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from podium.config.schema import TrackingConfig
from podium.errors import InputError, TrackingError
from podium.keys import digest_tree
from podium.records import ModelRecord, Observed, Report, withdrawn
from podium.records.moves import rollback_target
from podium.tracking import Tracker, tracker_for
from podium.tracking.base import TAG_FILES, TAG_KEY, TAG_KIND, TAG_PARENT, TAG_TRIAL
from podium.tracking.lineage import lineage, render
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
    monkeypatch.setattr("podium.tracking.registry.describe_model", fake_package)
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

    def test_a_whole_run_can_be_told(self, tracker: Tracker, tmp_path: Path) -> None:
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
    """Holds for trackers that keep what they are told."""

    trials = 20

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

    def test_long_values_are_cut_and_kept_whole(self, tracker: Tracker) -> None:
        long = "ü" * 9000
        run = tracker.open_run("run", {"podium.note": long})
        tracker.log_params(run, {"section": {"text": long}})
        found = tracker.run(run)
        assert found is not None
        assert len(found.params["section.text"]) == 6000 and len(found.tags["podium.note"]) == 8000
        assert "full/params/section.text.txt" in found.params["section.text"]
        assert tracker.read_text(run, "full/params/section.text.txt") == long
        assert tracker.read_text(run, "full/tags/podium.note.txt") == long
        assert tracker.read_text(run, "full/tags/absent.txt") is None

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
        assert "s3cr3t" not in str(tracker.read_text(run, "full/params/long.txt"))

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

    def test_a_study_logs_in_seconds(self, tracker: Tracker, study: tuple[str, str]) -> None:
        began = time.monotonic()
        for number in range(self.trials):
            tracker.log_trial(study[0], trial_record(number))
        assert time.monotonic() - began < self.trials, "a trial takes far less than a second"
        assert len(tracker.runs({TAG_KIND: "fold", f"{TAG_PARENT}study": study[1]})) == 3 * self.trials

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

    def test_a_model_is_recorded_without_its_weights(self, tracker: Tracker, uri: str) -> None:
        from mlflow import MlflowClient

        model = model_record(fresh())
        step = tracker.open_step(tracker.open_run("run", {}), "refit", keyed("refit", model.key))
        model_id = tracker.log_model(step, model, "s3://key:secret@bucket/store")
        assert tracker.log_model(step, model, "s3://key:secret@bucket/store") == model_id
        client = MlflowClient(uri, registry_uri=uri)
        logged = client.get_logged_model(model_id)
        assert (logged.source_run_id, str(logged.status), logged.model_type) == (step, "READY", "text-classification")
        assert logged.tags["podium.model.key"] == model.key and logged.tags["podium.store"] == "s3://***@bucket/store"
        assert {metric.key: metric.value for metric in logged.metrics}["macro_f1"] == 0.875
        found = client.get_run(step)
        assert [output.model_id for output in found.outputs.model_outputs] == [model_id]
        assert found.data.tags["podium.trial"] == "1"

    def test_promotion_moves_the_alias_and_keeps_the_previous(self, tracker: Tracker, weights: Path) -> None:
        name, models, (first, second, third) = self.three_versions(tracker, weights)
        decision = models[0].key[::-1]
        incumbent = tracker.incumbent(name)
        assert incumbent is not None
        assert incumbent.model_dump() == {
            "name": name,
            "version": first,
            "model_digest": models[0].artifacts["model"].digest,
            "model_key": models[0].key,
            "metric": "macro_f1",
            "score": 0.875,
            "decision_key": decision,
            "variant": "eager",
            "files_digest": models[0].artifacts["model"].digest,
        }
        tracker.set_challenger(name, second)
        assert tracker.incumbent(name) == incumbent
        tracker.move_champion(name, second, how="decided", by="a@b", reason="better")
        assert held(tracker, name) == {"champion": second, "previous": first}
        tracker.set_challenger(name, third)
        assert held(tracker, name) == {"champion": second, "previous": first, "challenger": third}
        assert [item.version for item in tracker.versions(models[1].key)] == [second]

    def test_a_model_is_registered_once(self, tracker: Tracker, weights: Path) -> None:
        name, models, versions = self.three_versions(tracker, weights)
        assert tracker.register(name, tracker.open_run("again", {}), weights, models[1]) == versions[1]

    def test_another_variant_of_a_model_is_a_version_of_its_own(self, tracker: Tracker, weights: Path) -> None:
        name, models, versions = self.three_versions(tracker, weights)
        run = tracker.open_run("again", {})
        other = tracker.register(name, run, weights, models[1], variant="onnx")
        assert other not in versions
        assert tracker.register(name, run, weights, models[1], variant="onnx") == other
        assert tracker.register(name, run, weights, models[1]) == versions[1]
        found = tracker.registered(name, other)
        assert found is not None and found.tags["podium.variant"] == "onnx"

    def test_a_rollback_from_a_variant_goes_to_another_one_of_the_same_refit(
        self, tracker: Tracker, weights: Path
    ) -> None:
        name, models, (_, second, _) = self.three_versions(tracker, weights)
        digest, tags = models[1].artifacts["model"].digest, {TAG_FILES: fresh()}
        onnx = tracker.register(name, tracker.open_run("again", {}), weights, models[1], variant="onnx", tags=tags)
        for version in (second, onnx):
            tracker.move_champion(name, version, how="decided", by="run", reason="better")
        found = tracker.incumbent(name)
        assert found is not None
        assert (found.version, found.variant, found.files_digest) == (onnx, "onnx", tags[TAG_FILES])
        assert [move.after_model for move in tracker.moves(name)][1:] == [digest, f"{digest}+onnx"]
        target = rollback_target(tracker.moves(name))
        assert target is not None and target.after == second
        tracker.move_champion(name, second, how="rollback", by="me@host", reason="it loses names")
        assert list(withdrawn(tracker.moves(name))) == [f"{digest}+onnx"]

    def test_moving_to_the_champion_changes_nothing(self, tracker: Tracker, weights: Path) -> None:
        name, _, (first, *_) = self.three_versions(tracker, weights)
        tracker.move_champion(name, first, how="forced", by="a@b", reason="again")
        assert len(tracker.moves(name)) == 1
        assert held(tracker, name) == {"champion": first}

    def test_every_move_is_kept_with_who_and_why(self, tracker: Tracker, weights: Path) -> None:
        name, models, (first, second, _) = self.three_versions(tracker, weights)
        tracker.move_champion(name, second, how="forced", by="me@host", reason="the review, § 4: <ok>")
        tracker.move_champion(name, first, how="rollback", by="you@host", reason="it answers too slowly")
        decision = models[0].key[::-1]
        assert [(m.how, m.before, m.after, m.by, m.reason, m.decision, m.state) for m in tracker.moves(name)] == [
            ("decided", "", first, "run", "the first", decision, "done"),
            ("forced", first, second, "me@host", "the review, § 4: <ok>", "", "done"),
            ("rollback", second, first, "you@host", "it answers too slowly", "", "done"),
        ]
        assert [move.after_model for move in tracker.moves(name)] == [
            models[place].artifacts["model"].digest for place in (0, 1, 0)
        ]
        assert held(tracker, name) == {"champion": first, "previous": second}

    def test_a_registered_model_comes_back_byte_for_byte(self, tracker: Tracker, weights: Path, tmp_path: Path) -> None:
        name, _, (_, second, _) = self.three_versions(tracker, weights)
        found = tracker.download_model(name, second, tmp_path / "downloaded")
        assert digest_tree(found) == digest_tree(weights)

    @staticmethod
    def three_versions(tracker: Tracker, weights: Path) -> tuple[str, list[ModelRecord], list[str]]:
        """A registered model, what its versions were made from, and their numbers; the first is the champion."""
        name = f"news-{fresh()[:8]}"
        run, models = tracker.open_run("run", {}), [model_record(fresh(), fresh()) for _ in range(3)]
        tags = {"podium.decision": models[0].key[::-1]}
        steps = [tracker.open_step(run, "refit", keyed("refit", model.key)) for model in models]
        versions = [
            tracker.register(name, step, weights, model, tags=tags) for step, model in zip(steps, models, strict=True)
        ]
        tracker.move_champion(
            name, versions[0], how="decided", by="run", reason="the first", decision=tags["podium.decision"]
        )
        return name, models, versions

    def test_a_model_whose_run_is_not_recorded_here_is_registered_all_the_same(
        self, tracker: Tracker, weights: Path
    ) -> None:
        name, model = f"news-{fresh()[:8]}", model_record(fresh())
        version = tracker.register(name, "0123456789abcdef" * 2, weights, model)
        tracker.move_champion(name, version, how="decided", by="a@b", reason="the first")
        text = render(lineage(tracker, name))
        assert f"MISSING: no run at {tracker.uri} has podium.key = {model.key}" in text

    def test_a_champion_of_unknown_making_is_refused(self, tracker: Tracker, uri: str) -> None:
        from mlflow import MlflowClient

        run = tracker.open_run("run", {})
        name = f"theirs-{fresh()[:8]}"
        client = MlflowClient(uri, registry_uri=uri)
        client.create_registered_model(name)
        client.create_model_version(name, client.get_run(run).info.artifact_uri, run)
        assert tracker.incumbent(name) is None
        client.set_registered_model_alias(name, "champion", "1")
        with pytest.raises(TrackingError, match=r"lacks podium\.model\.digest.*tracking\.model_name="):
            tracker.incumbent(name)

    def test_the_chain_leads_from_the_model_to_its_data_files_and_back(self, tracker: Tracker, weights: Path) -> None:
        chain = self.chain(tracker, weights)
        nodes = lineage(tracker, chain["name"])
        kinds = [(node.depth, node.kind, node.missing) for node in nodes]
        assert kinds == [
            (0, "model", None),
            (1, "decision", None),
            (1, "refit", None),
            (2, "trial", None),
            (3, "study", None),
            (4, "data", None),
            (3, "data", None),
        ]
        data = nodes[5]
        assert data.files == chain["data"].sources
        text = render(nodes)
        assert f"sha256 {1:064x}  part-0001.csv" in text and "(champion)" in text and "verdict PROMOTE" in text
        for what in (f"{chain['name']}@champion", f"{chain['name']}/1"):
            assert lineage(tracker, what) == nodes
        assert [n.kind for n in lineage(tracker, chain["refit_run"])] == ["refit", "trial", "study", "data", "data"]
        forward = [(node.depth, node.kind) for node in lineage(tracker, chain["data"].key[:16])]
        assert forward == [(0, "data"), (1, "study"), (2, "refit"), (3, "model")]

    def test_a_data_file_is_traced_by_its_own_digest(self, tracker: Tracker) -> None:
        run, key, file = tracker.open_run("run", {}), fresh(), fresh()
        data = data_record(key, 400)
        data = data.model_copy(update={"sources": {**data.sources, "mine.csv": file}})
        step = tracker.open_step(run, "prepare", keyed("data", key))
        tracker.log_input(step, data, "data.csv")
        (node,) = lineage(tracker, file[:20])
        assert (node.key, len(node.files)) == (key, 401)
        assert "and 381 more files" in render([node])

    def test_missing_links_are_said(self, tracker: Tracker) -> None:
        refit, study, data = fresh(), fresh(), fresh()
        run = tracker.open_run("run", {})
        tracker.open_step(run, "refit", {**keyed("refit", refit, study=study, data=data), TAG_TRIAL: "3"})
        missing = {node.kind: node.missing for node in lineage(tracker, refit) if node.missing}
        assert missing["trial"] == f"no run at {tracker.uri} is trial 3 of study {study[:12]}"
        assert missing["study"] == f"no run at {tracker.uri} has podium.key = {study}"
        assert missing["data"] == f"no run at {tracker.uri} has podium.key = {data}"
        forward = lineage(tracker, data)
        assert [(node.kind, bool(node.missing)) for node in forward] == [("data", True), ("refit", False)]

    def test_what_cannot_be_found_or_told_apart_is_an_input_error(self, tracker: Tracker) -> None:
        run, common = tracker.open_run("run", {}), uuid.uuid4().hex
        for tail in ("0" * 32, "1" * 32):
            tracker.open_step(run, "refit", keyed("refit", common + tail))
        with pytest.raises(InputError, match="must name one result"):
            lineage(tracker, common)
        with pytest.raises(InputError, match="no key and no data file"):
            lineage(tracker, fresh())
        with pytest.raises(InputError, match="must be a registered model"):
            lineage(tracker, "nobody")

    @staticmethod
    def chain(tracker: Tracker, weights: Path) -> dict[str, object]:
        """Everything a pipeline run records on the way to a champion."""
        run, data, study, decision = tracker.open_run("run", {}), data_record(fresh()), fresh(), fresh()
        prepared = tracker.open_step(run, "prepare", keyed("data", data.key))
        tracker.log_input(prepared, data, "data.csv")
        searched = tracker.open_step(run, "hpo", keyed("study", study, data=data.key))
        for number in range(2):
            tracker.log_trial(searched, trial_record(number))
        model = model_record(fresh(), parents={"study": study, "data": data.key})
        refit = tracker.open_step(run, "refit", keyed("refit", model.key, study=study, data=data.key))
        tracker.log_model(refit, model, "file:///store")
        name = f"news-{fresh()[:8]}"
        decided = tracker.open_step(run, "decide", keyed("decision", decision, selection=fresh()))
        version = tracker.register(name, refit, weights, model, tags={"podium.decision": decision})
        tracker.move_champion(name, version, how="decided", by="run", reason="the first", decision=decision)
        tracker.set_tags(decided, {"podium.verdict": "PROMOTE"})
        for each in (prepared, searched, refit, decided, run):
            tracker.close(each, "FINISHED")
        return {"name": name, "data": data, "refit_run": refit}

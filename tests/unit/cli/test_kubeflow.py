"""The commands for Kubeflow Pipelines, with kfp's real client, a server that speaks its API, and one of Kubernetes'."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from podium.keys import Key
from podium.local import kubeflow as local
from podium.records import ReportRecord
from podium.report import ReportInputs
from podium.stages import submission
from podium.stages.steps import note_predictions, note_results
from podium.store.store import ArtifactStore
from podium.tracking.base import TAG_KFP_RUN
from tests.integration.kube.server import ApiServer
from tests.kfp_server import Kfp, moment
from tests.unit.cli.support import SMALL, pod, podium, refused, submitted, waiting
from tests.unit.report.samples import models_of, sample


class TestRuns:
    def test_runs_are_listed_with_state_times_and_key(self, kfp_server: Kfp, volume: tuple[str, ...]) -> None:
        assert podium(kfp_server, "runs").output == "no runs\n"
        done = submitted(kfp_server, volume)
        heading, row = podium(kfp_server, "runs").output.splitlines()
        assert heading.split() == ["run", "state", "age", "took", "key", "verdict", "name"]
        key = kfp_server.runs[0]["display_name"].rpartition("-")[2]
        assert row.startswith(f"{done[:8]}  SUCCEEDED") and f"9.0 s  {key}  -" in row
        (facts,) = json.loads(podium(kfp_server, "runs", "--output", "json").output)
        assert (facts["run_id"], facts["key"], facts["verdict"]) == (done, key, "")

    def test_an_experiment_that_is_not_there_is_told(self, kfp_server: Kfp) -> None:
        assert "has no experiment 'none'" in refused(kfp_server, "runs", "--experiment", "none")


class TestLogs:
    def test_logs_of_pods_are_shown_by_step(self, kfp_server: Kfp, volume: tuple[str, ...], cluster: ApiServer) -> None:
        run = submitted(kfp_server, volume)
        cluster.create("pods", "kubeflow", pod(run, "a", "prepare", "Succeeded"))
        cluster.create("pods", "kubeflow", pod(run, "b", "hpo", "Running"))
        cluster.create("pods", "kubeflow", pod("other", "c", "hpo", "Succeeded"))
        cluster.logs |= {("a", "main"): "one\ntwo\n", ("b", "main"): "trial 0\n", ("c", "main"): "not this\n"}
        lines = podium(kfp_server, "logs", run).output.splitlines()
        assert lines == ["prepare    one", "prepare    two", "hpo        trial 0"]
        assert podium(kfp_server, "logs", "latest", "prepare").output.split() == ["prepare", "one", "prepare", "two"]

    def test_what_is_not_kept_is_told(self, kfp_server: Kfp, volume: tuple[str, ...], cluster: ApiServer) -> None:
        run = submitted(kfp_server, volume)
        message = refused(kfp_server, "logs", run, "refit")
        assert f"run {run} has no pod of step refit in namespace kubeflow any more" in message
        assert "Podium keeps no logs on a cluster" in message
        assert "did you mean 'prepare'?" in refused(kfp_server, "logs", run, "prepar")


class TestCancel:
    def test_it_returns_when_run_pods_jobs_and_experiments_have_ended(
        self, kfp_server: Kfp, volume: tuple[str, ...], cluster: ApiServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = submitted(kfp_server, volume, moment("RUNNING"))
        cluster.create("pods", "kubeflow", pod(run, "step", "hpo", "Running"))
        labels = {"labels": {"podium/kfp-run": run}}
        cluster.create("jobs", "kubeflow", {"metadata": {"name": "trial", **labels}})
        cluster.create("experiments", "kubeflow", {"metadata": {"name": "study", **labels}})
        message = refused(kfp_server, "cancel", run, "--timeout", "0.5")
        assert kfp_server.terminated == [run]
        left = "Pod kubeflow/step, Job kubeflow/trial, Experiment kubeflow/study"
        assert f"run {run} has ended, but these run on in the cluster: {left}" in message
        cluster.update("pods", "kubeflow", "step", lambda one: one["status"].update(phase="Failed"))
        cluster.delete("jobs", "kubeflow", "trial")
        cluster.uninstalled.add("experiments")
        output = podium(kfp_server, "cancel", run).output
        assert output == f"run {run} is CANCELED\nits pods, Jobs and Experiments have ended\n"
        assert kfp_server.terminated == [run], "a run that has ended is not stopped again"

    def test_a_pod_that_never_started_is_deleted(
        self, kfp_server: Kfp, volume: tuple[str, ...], cluster: ApiServer
    ) -> None:
        run = submitted(kfp_server, volume, moment("RUNNING"))
        cluster.create("pods", "kubeflow", waiting(run, "step", "hpo"))
        output = podium(kfp_server, "cancel", run).output
        assert "Pod kubeflow/step had not started and is deleted\nits pods, Jobs and Experiments have ended" in output
        assert ("pods", "kubeflow", "step") not in cluster.objects

    def test_without_kubernetes_it_fails_since_pods_may_be_left(self, kfp_server: Kfp, volume: tuple[str, ...]) -> None:
        run = submitted(kfp_server, volume, moment("RUNNING"))
        message = refused(kfp_server, "cancel", run[:8])
        assert kfp_server.terminated == [run]
        assert f"run {run} has ended, but whether its pods, Jobs and Experiments have is not known here" in message


@pytest.fixture
def store(volume: tuple[str, ...]) -> Iterator[ArtifactStore]:
    local._store.cache_clear()
    yield ArtifactStore(volume[1])
    rmtree(volume[1])


def with_results(store: ArtifactStore, run_id: str, folder: Path) -> ReportInputs:
    """Store what a run of this id came to: a report, a decision, and the model that won."""
    shown = sample()
    files = {"report": ("report.html", "<html>"), "model": ("config.json", "{}")}
    for role, (name, text) in files.items():
        (folder / role).mkdir()
        (folder / role / name).write_text(text)
    stored = {role: store.put_artifact(role, folder / role) for role in files}
    summary = {"lines": {"Winner": "minilm", "Verdict": "PROMOTE\n- it is better"}}
    made = [ReportRecord(key="a" * 64, summary=summary, artifacts={"report": stored["report"]}), shown.decision]
    made += [one.model_copy(update={"artifacts": {"model": stored["model"]}}) for one in models_of(shown)]
    for record in made:
        store.put(Key(record.kind, record.key, {}), record)
    run = shown.run.model_copy(update={"tags": {TAG_KFP_RUN: run_id}})
    config = run.config.model_copy(update={"store": store.uri})
    note_results(run.model_copy(update={"config": config}), [*made, shown.data])
    return shown


class TestResults:
    def test_verdict_report_and_model_come_from_the_store(
        self,
        kfp_server: Kfp,
        volume: tuple[str, ...],
        store: ArtifactStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        run = submitted(kfp_server, volume)
        assert "has no results of run" in refused(kfp_server, "fetch", run)
        shown = with_results(store, run, tmp_path)
        for _ in range(2):
            output = podium(kfp_server, "fetch", run, "--to", str(tmp_path / "here")).output
        assert output.splitlines() == [
            f"Report   {tmp_path}/here/report.html",
            f"Model    {tmp_path}/here/model",
            "Verdict  PROMOTE",
        ]
        assert (tmp_path / "here" / "report.html").read_text() == "<html>"
        assert (tmp_path / "here" / "model" / "config.json").read_text() == "{}"
        (tmp_path / "answers").mkdir()
        (tmp_path / "answers" / "predictions.csv").write_text("id,label\n")
        tagged = shown.run.model_copy(update={"tags": {TAG_KFP_RUN: run}})
        there = tagged.model_copy(update={"config": tagged.config.model_copy(update={"store": store.uri})})
        for one in (there, there.model_copy(update={"tags": {}})):
            note_predictions(one, store.put_artifact("predictions", tmp_path / "answers"))
        output = podium(kfp_server, "fetch", run, "--to", str(tmp_path / "here")).output
        assert f"Unseen   {tmp_path}/here/predictions.csv\nVerdict  PROMOTE\n" in output
        assert (tmp_path / "here" / "predictions.csv").read_text() == "id,label\n"
        (facts,) = json.loads(podium(kfp_server, "runs", "--output", "json").output)
        assert facts["verdict"] == "PROMOTE"
        monkeypatch.setattr(submission.Submission, "data_key", lambda _: shown.data.key)
        output = podium(kfp_server, "submit", *SMALL, *volume).output
        assert "not known here; if it has" not in output
        assert "Winner   minilm\nVerdict  PROMOTE\n         - it is better\n" in output

    def test_data_that_changed_since_is_another_run(
        self,
        kfp_server: Kfp,
        volume: tuple[str, ...],
        store: ArtifactStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        run = submitted(kfp_server, volume)
        with_results(store, run, tmp_path)
        monkeypatch.setattr(submission.Submission, "data_key", lambda _: "f" * 64)
        output = podium(kfp_server, "submit", *SMALL, *volume, "-y", "--detach").output
        assert f"the data has changed since run {run}; what is still valid is reused" in output
        assert len(kfp_server.runs) == 2

    def test_a_run_without_results_is_told(self, kfp_server: Kfp, volume: tuple[str, ...]) -> None:
        run = submitted(kfp_server, volume, moment("RUNNING"))
        assert f"but {run} is RUNNING; wait for it" in refused(kfp_server, "fetch", run)


SIX_FIELDS = "0 0 3 * * *"


class TestSchedule:
    def test_a_schedule_is_replaced_and_removed_without_the_run_in_flight(
        self, kfp_server: Kfp, volume: tuple[str, ...]
    ) -> None:
        create = ("schedule", "create", "nightly", *SMALL, *volume, "-y")
        podium(kfp_server, *create, "--cron", "0 3 * * *")
        (first,) = kfp_server.schedules
        assert first["trigger"] == {"cron_schedule": {"cron": SIX_FIELDS}}
        assert (first["max_concurrency"], first["no_catchup"]) == (1, True)
        assert first["runtime_config"]["parameters"]["run_preset"] == "smoke"
        assert f"nightly   {SIX_FIELDS}  ENABLED" in podium(kfp_server, "schedule", "list").output
        output = podium(kfp_server, *create, "--every", "12h").output
        (second,) = kfp_server.schedules
        assert second["trigger"] == {"periodic_schedule": {"interval_second": 43200}}
        assert "it replaces the one before, whose run in flight goes on" in output
        assert "did you mean 'nightly'?" in refused(kfp_server, "schedule", "remove", "nightli")
        podium(kfp_server, "schedule", "remove", "nightly")
        assert kfp_server.removed == [(one["recurring_run_id"], "ORPHAN") for one in (first, second)]
        assert podium(kfp_server, "schedule", "list").output == "no schedules\n"

    @pytest.mark.parametrize(
        ("when", "message"),
        [
            ((), "either --cron or --every"),
            (("--cron", "hourly"), "--cron has five fields"),
            (("--every", "often"), "--every: a duration is written as 90s, 15m or 1h30m"),
        ],
    )
    def test_a_schedule_that_says_no_time_is_refused(
        self, kfp_server: Kfp, volume: tuple[str, ...], when: tuple[str, ...], message: str
    ) -> None:
        assert message in refused(kfp_server, "schedule", "create", "nightly", *SMALL, *volume, "-y", *when)
        assert kfp_server.requests == []

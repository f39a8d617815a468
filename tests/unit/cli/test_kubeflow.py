"""The commands for Kubeflow Pipelines, with kfp's real client, a server that speaks its API, and one of Kubernetes'."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from shutil import rmtree

import pytest
import yaml
from click.testing import Result
from kubernetes.config import kube_config
from typer.testing import CliRunner

from podium.cli.app import app
from podium.errors import ClusterError, InputError, StepFailed
from podium.keys import Key
from podium.local import kubeflow as local
from podium.records import ReportRecord
from podium.report import ReportInputs
from podium.stages import submission
from podium.stages.steps import note_results
from podium.store.store import ArtifactStore
from podium.tracking.base import TAG_KFP_RUN
from tests.integration.kube.server import ApiServer
from tests.kfp_server import Fault, Kfp, at, moment, stopped, task
from tests.unit.report.samples import models_of, sample

SMALL = ("--preset", "smoke", "--entrant", "linear", "--no-read", "tracking=off")
DONE = (task("prepare", "SUCCEEDED", 1, 4), task("hpo", "SUCCEEDED", 4, 6), task("hpo", "SUCCEEDED", 4, 7, number=1))


RESOLVED = cache(submission.resolve_form)
"""Composing a config takes longer than all else that these tests do."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setattr(submission, "resolve_form", RESOLVED)
    monkeypatch.setattr(local, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(local, "_SHORT_SILENCE", 0.5)
    monkeypatch.chdir(place)


@pytest.fixture
def volume(place: Path) -> tuple[str, ...]:
    """A store that pods share, on a volume."""
    folder = place / "volume"
    return ("--store", str(folder / "store"), "cluster.volume_claim=claim", f"cluster.volume_path={folder}")


@pytest.fixture
def cluster(tmp_path: Path, kfp_server: Kfp, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with ApiServer() as api:
        context = {"name": "one", "context": {"cluster": "one", "user": "one"}}
        config = {"clusters": [{"name": "one", "cluster": {"server": api.url}}], "contexts": [context]}
        config |= {"users": [{"name": "one", "user": {}}], "current-context": "one", "apiVersion": "v1"}
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
        yield api


def podium(server: Kfp, *arguments: str, code: int = 0) -> Result:
    words = list(arguments)
    result = CliRunner().invoke(app, [*words, "--endpoint", server.url])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def refused(server: Kfp, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--endpoint", server.url])
    assert isinstance(result.exception, (ClusterError, InputError, StepFailed)), (result.output, result.exception)
    return str(result.exception)


class TestSubmit:
    def test_a_run_is_planned_submitted_followed_and_answered(self, kfp_server: Kfp, volume: tuple[str, ...]) -> None:
        kfp_server.course = [
            moment("PENDING"),
            moment("RUNNING", task("prepare", "RUNNING", 1), task("prepare-driver", "SUCCEEDED", 0, 1)),
            moment("RUNNING", task("reuse", "RUNTIME_STATE_UNSPECIFIED", 4, 4), task("curve", "SKIPPED", 4, 4)),
            moment("RUNNING", DONE[0], task("hpo", "RUNNING", 4), task("hpo", "RUNNING", 4, number=1)),
            moment("SUCCEEDED", *DONE, finished_at=at(9)),
        ]
        output = podium(kfp_server, "submit", *SMALL, *volume, "-y").output
        (run,) = kfp_server.runs
        assert run["pipeline_version_reference"] == {"pipeline_id": "p0", "pipeline_version_id": "v0"}
        parameters = run["runtime_config"]["parameters"]
        assert parameters["run_preset"] == "smoke"
        assert parameters["run_store"] == volume[1]
        assert "pool_cpu_cpu" not in parameters, "what has its default is left to the pipeline"
        lines = [line for line in output.splitlines() if line.startswith("[")]
        assert lines == [
            "[   1.0s] prepare            started",
            "[   4.0s] prepare            done in 3.0 s",
            "[   4.0s] hpo                started",
            "[   4.0s] hpo 2              started",
            "[   6.0s] hpo                done in 2.0 s",
            "[   7.0s] hpo 2              done in 3.0 s",
        ]
        assert f"{kfp_server.url}/#/runs/details/{run['run_id']}" in output
        assert "registered version" in output
        assert "prepare baseline select decide report" in output
        assert f"podium fetch {run['run_id']}" in output

    def test_the_same_submission_is_one_run_while_it_may_succeed(
        self, kfp_server: Kfp, volume: tuple[str, ...]
    ) -> None:
        command = ("submit", *SMALL, *volume)
        kfp_server.course = [moment("RUNNING")]
        podium(kfp_server, *command, "-y", "--detach")
        joined = podium(kfp_server, *command, "--detach").output
        assert "it is joined" in joined
        podium(kfp_server, *command, "-y", "--detach", "hpo.max_trials=3")
        assert len(kfp_server.runs) == 2, "other parameters are another run"
        for state, runs in (("SUCCEEDED", 2), ("FAILED", 3)):
            kfp_server.runs[0]["state"] = state
            output = podium(kfp_server, *command, "-y", "--detach").output
            assert ("whether its data has changed since is not known here" in output) == (state == "SUCCEEDED")
            assert len(kfp_server.runs) == runs
        podium(kfp_server, *command, "-y", "--detach", "run_mode=force_new")
        podium(kfp_server, *command, "-y", "--detach", "run_mode=force_new")
        assert len(kfp_server.runs) == 5
        assert len(kfp_server.versions) == 1
        podium(kfp_server, *command, "-y", "--detach", "--experiment", "other")
        assert len(kfp_server.runs) == 6, "it is joined in its experiment only"

    def test_a_profile_has_its_own_pipeline_experiment_and_runs(self, kfp_server: Kfp, volume: tuple[str, ...]) -> None:
        profile = ("--namespace", "team")
        podium(kfp_server, "submit", *SMALL, *volume, "-y", "--detach", *profile)
        assert [one["namespace"] for one in (*kfp_server.pipelines, *kfp_server.experiments)] == ["team", "team"]
        assert "SUCCEEDED" in podium(kfp_server, "runs", *profile).output
        assert podium(kfp_server, "runs").output == "no runs\n"

    def test_a_failed_step_is_named_with_the_way_to_its_log(self, kfp_server: Kfp, volume: tuple[str, ...]) -> None:
        failed = task("prepare", "FAILED", 1, 3)
        kfp_server.course = [moment("FAILED", failed, error={"message": "exit code 1"}, finished_at=at(3))]
        message = refused(kfp_server, "submit", *SMALL, *volume, "-y")
        run = kfp_server.runs[0]["run_id"]
        assert f"run {run} failed in prepare: exit code 1; see podium logs {run} prepare" in message

    def test_a_run_that_somebody_stops_ends_with_130(self, kfp_server: Kfp, volume: tuple[str, ...]) -> None:
        kfp_server.course = [moment("RUNNING"), stopped()]
        assert "was canceled" in podium(kfp_server, "submit", *SMALL, *volume, "-y", code=130).output

    def test_an_interruption_detaches(
        self, kfp_server: Kfp, volume: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*_: object) -> Iterator[str]:
            raise KeyboardInterrupt
            yield ""

        monkeypatch.setattr(local, "follow", interrupt)
        output = podium(kfp_server, "submit", *SMALL, *volume, "-y", code=130).output
        assert (
            f"the run goes on; the same command joins it again, podium cancel {kfp_server.runs[0]['run_id']}" in output
        )
        assert kfp_server.terminated == []

    def test_an_outage_of_the_server_is_waited_out(self, kfp_server: Kfp, volume: tuple[str, ...]) -> None:
        kfp_server.course = [moment("SUCCEEDED", *DONE, finished_at=at(9))]
        kfp_server.faults = [Fault("/runs/", 500, times=2)]
        output = podium(kfp_server, "submit", *SMALL, *volume, "-y").output
        assert output.count("injected 500") == 1
        assert "the run goes on, and so does waiting for it" in output
        assert "done in 3.0 s" in output

    def test_nothing_is_submitted_without_a_yes_or_in_a_dry_run(self, kfp_server: Kfp, volume: tuple[str, ...]) -> None:
        assert "there is no terminal to ask at; add --yes" in refused(kfp_server, "submit", *SMALL, *volume)
        assert "nothing was submitted" in podium(kfp_server, "submit", *SMALL, *volume, "--dry-run").output
        assert {method for method, *_ in kfp_server.requests} == {"GET"}

    def test_data_that_only_pods_may_read_is_left_to_them(self, kfp_server: Kfp, volume: tuple[str, ...]) -> None:
        data = ("submit", "--data", "memory://data/reviews.csv", "--entrant", "linear", "tracking=off", *volume, "-y")
        assert "where only pods may read the data, add --no-read" in refused(kfp_server, *data)
        output = podium(kfp_server, *data, "--no-read").output
        assert "the data is not read here" in output and "data is stored" not in output
        assert kfp_server.runs[0]["display_name"].startswith("reviews.csv-")
        assert kfp_server.runs[0]["runtime_config"]["parameters"]["data_path"] == "memory://data/reviews.csv"

    def test_json_is_all_that_standard_output_has(self, kfp_server: Kfp, volume: tuple[str, ...]) -> None:
        result = podium(kfp_server, "submit", *SMALL, *volume, "-y", "--output", "json")
        facts = json.loads(result.stdout)
        assert facts["state"] == "SUCCEEDED"
        assert facts["name"] == f"bbc-news-{facts['key']}"
        assert "submitted run" in result.stderr

    def test_the_plan_says_what_the_nodes_have(
        self, kfp_server: Kfp, volume: tuple[str, ...], cluster: ApiServer
    ) -> None:
        taint = {"key": "nvidia.com/gpu", "effect": "NoSchedule"}
        for name, amounts, taints in (
            ("small", {"cpu": "4", "memory": "9Gi"}, []),
            ("gpu", {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"}, [taint]),
        ):
            node = {"metadata": {"name": name, "labels": {}}, "spec": {"taints": taints}}
            cluster.objects["nodes", "", name] = {**node, "status": {"allocatable": amounts}}
        requests = {"requests": {"cpu": "3", "memory": "1Gi"}}
        cluster.create(
            "pods",
            "other",
            {"metadata": {"name": "a"}, "spec": {"nodeName": "small", "containers": [{"resources": requests}]}},
        )
        device = ["--pool", "train.device=nvidia.com/gpu", "--pool", "search.memory=100Gi"]
        device += ["--pool", 'train.tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]']
        device += ["--pool", 'benchmark.selector={"disk": "fast"}']
        output = podium(kfp_server, "submit", *SMALL, *volume, *device, "--dry-run").output
        assert "pool cpu: 1 of 2 nodes, 1 of them with room now" in output
        assert "pool search: no node that it may use has as much as a pod requests" in output
        assert "pool train: 1 of 2 nodes, 1 of them with room now" in output
        assert "pool benchmark: no node has the labels" in output

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("hpo.max_trails=3",), "did you mean hpo.max_trials?"),
            (("--data", "reviews.csv"), "--data must name what pods reach"),
            (("--pool", "train.gpu=1"), "--pool takes POOL.FIELD=VALUE, but got 'train.gpu=1'"),
            (("--pool", "train.memory=lots"), "--pool train.memory must be an amount such as 500m, 2 or 8Gi"),
            (("--pool", "cpu.selector=[]"), "--pool cpu.selector must be a JSON object"),
            (("--store", "podium-out/store"), "run_store must be a place that all pods share"),
            (("--tracking-uri", "http://me:secret@mlflow"), "must hold no credentials, but got http://***@mlflow"),
            (("--config", "mine.yaml"), "--config must name what pods reach"),
            ((f"training.weight_decay=0.{'1' * 11000}",), "the parameters of a run may take 10,000 bytes"),
        ],
    )
    def test_what_pods_cannot_use_is_refused_before_anything_is_asked(
        self, kfp_server: Kfp, volume: tuple[str, ...], arguments: tuple[str, ...], message: str, tmp_path: Path
    ) -> None:
        base = [one for one in SMALL if one != "--no-read" or "--data" not in arguments]
        result = CliRunner().invoke(app, ["submit", *base, *volume, *arguments, "--endpoint", kfp_server.url, "-y"])
        assert isinstance(result.exception, InputError), (result.output, result.exception)
        assert message in str(result.exception)
        assert "secret" not in str(result.exception)
        assert kfp_server.requests == []


def submitted(server: Kfp, volume: tuple[str, ...], *course: dict[str, object]) -> str:
    """Id of a run that is submitted, and goes this course."""
    server.course = list(course) or [moment("SUCCEEDED", *DONE, finished_at=at(9))]
    podium(server, "submit", *SMALL, *volume, "-y", "--detach")
    return str(server.runs[-1]["run_id"])


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


def pod(run: str, name: str, step: str, phase: str, label: str = "pipeline/runid") -> dict[str, object]:
    node = f"champion-x.root.exit-handler-1.{step}.executor(0)"
    state: dict[str, object] = {"running": {}} if phase == "Running" else {"terminated": {"exitCode": 0}}
    metadata = {"name": name, "labels": {label: run}, "annotations": {"workflows.argoproj.io/node-name": node}}
    return {"metadata": metadata, "status": {"phase": phase, "containerStatuses": [{"name": "main", "state": state}]}}


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

    def test_without_kubernetes_the_end_of_the_run_is_all_that_is_known(
        self, kfp_server: Kfp, volume: tuple[str, ...]
    ) -> None:
        run = submitted(kfp_server, volume, moment("RUNNING"))
        output = podium(kfp_server, "cancel", run[:8]).output
        assert f"run {run} is being terminated\nrun {run} is CANCELED\nwhether its pods" in output


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

"""`podium submit`, with kfp's real client, a server that speaks its API, and one of Kubernetes'."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from podium.cli.app import app
from podium.errors import InputError
from podium.local import kubeflow as local
from podium.local import pods
from tests.integration.kube.server import ApiServer
from tests.kfp_server import Fault, Kfp, at, moment, stopped, task
from tests.unit.cli.support import DONE, SMALL, pod, podium, refused, waiting


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

    def test_a_step_that_failed_says_why_in_its_own_words(
        self, kfp_server: Kfp, volume: tuple[str, ...], cluster: ApiServer
    ) -> None:
        run = kfp_server.next_run()
        cluster.create("pods", "kubeflow", pod(run, "a", "prepare", "Failed"))
        cluster.logs["a", "main"] = (
            "Traceback\npodium.errors.InputError: --text-column must name a column\n- text\n"
            "F1130 04:12:39 main.go:130] failed to execute component: exit status 1\ntime=2026 argo=true\n"
        )
        kfp_server.course = [moment("FAILED", task("prepare", "FAILED", 1, 3), finished_at=at(3))]
        message = refused(kfp_server, "submit", *SMALL, *volume, "-y")
        assert f"run {run} failed in prepare: --text-column must name a column\n- text; see podium logs" in message

    def test_a_pod_that_does_not_start_is_explained_once(
        self, kfp_server: Kfp, volume: tuple[str, ...], cluster: ApiServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pods, "_LOOK_SECONDS", 0.0)
        monkeypatch.setattr(pods, "_START_SECONDS", 0.0)
        run = kfp_server.next_run()
        cluster.create("pods", "kubeflow", waiting(run, "a", "prepare"))
        kfp_server.course = [*[moment("RUNNING", task("prepare", "RUNNING", 1))] * 3, stopped()]
        output = podium(kfp_server, "submit", *SMALL, *volume, "-y", code=130).output
        assert output.count("prepare            does not start: ImagePullBackOff: Back-off pulling image") == 1

    def test_steps_that_kubeflow_does_not_show_are_shown_from_their_pods(
        self, kfp_server: Kfp, volume: tuple[str, ...], cluster: ApiServer
    ) -> None:
        run = kfp_server.next_run()
        for number, (step, phase) in enumerate((("decide", "Failed"), ("decide", "Succeeded"), ("hpo", "Succeeded"))):
            ended = {"terminated": {"exitCode": 0, "finishedAt": at(8)}}
            of_pod = pod(run, f"p{number}", step, phase, containerStatuses=[{"name": "main", "state": ended}])
            of_pod["metadata"]["creationTimestamp"] = at(number)  # type: ignore[index]
            of_pod["status"]["startTime"] = at(6)  # type: ignore[index]
            cluster.create("pods", "kubeflow", of_pod)
        kfp_server.course = [moment("SUCCEEDED", *DONE, finished_at=at(9))]
        output = podium(kfp_server, "submit", *SMALL, *volume, "-y").output
        assert "[   6.0s] decide             started\n[   8.0s] decide             done in 2.0 s\n" in output
        assert output.count(" started\n") == 4

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

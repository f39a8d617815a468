"""Jobs on a cluster: adopted by key, followed with their output, cancelled, and their failures read."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from podium.cluster.client import JOB, TRAIN_JOB
from podium.cluster.jobs import Advice, Jobs
from podium.cluster.manifests import JobSpec
from podium.config.cluster import ClusterConfig
from podium.errors import ClusterError, ComputationFailed, JobNotStarted, OutOfMemory, ProcessKilled, TimeLimitExceeded
from tests.support import PATIENCE_SECONDS

from .kube.engine import connected
from .kube.node import Node, complete, ended, running
from .kube.server import ApiServer, Fault, Manifest

pytestmark = pytest.mark.integration

SPEC = JobSpec(ClusterConfig(image="image:1"), ["run"], name="work", key="what is done")


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def jobs(api: ApiServer) -> Jobs:
    advice = Advice(memory="take a larger pool")
    return Jobs(connected(api, "space"), advice, start_seconds=0.0, stop_seconds=60, poll_seconds=0.2)


def stored(api: ApiServer) -> list[str]:
    return [item["metadata"]["name"] for item in api.list("jobs", "space")]


def uid(api: ApiServer) -> str:
    return str(api.get("jobs", "space", "work")["metadata"]["uid"])


def add_pod(api: ApiServer, name: str, labels: dict[str, str], **status: Any) -> None:
    api.create("pods", "space", {"metadata": {"name": name, "labels": labels}, "status": status})


class TestRun:
    def test_the_output_comes_as_it_is_written(self, api: ApiServer, jobs: Jobs) -> None:
        lines: list[str] = []
        first = threading.Event()

        def on_line(line: str) -> None:
            lines.append(line)
            first.set()

        def act(node: Node) -> None:
            node.pod(**running())
            node.write("first\n")
            # The rest is written once the first line was read: the log is not read at the end.
            assert first.wait(60)
            node.write("\nlast, without a line end")
            node.pod(**ended())
            node.job("Complete")

        node = Node(api, act)
        jobs.run(SPEC, on_line)
        node.join()
        assert lines == ["first", "", "last, without a line end"]
        assert stored(api) == ["work"]

    @pytest.mark.parametrize("sent", [1, 2, 3, 4, 5])
    def test_a_log_that_is_cut_off_is_read_on(self, api: ApiServer, jobs: Jobs, sent: int) -> None:
        api.faults += [
            Fault("GET", "/log", -1, times=1, lines=sent),
            Fault("GET", "/log", 503),
            Fault("GET", "/log", -1, times=3, lines=4),
            Fault("GET", "/log", 0),
        ]
        lines: list[str] = []
        node = Node(api, complete)
        jobs.run(SPEC, lines.append)
        node.join()
        assert lines == [f"line {number}" for number in range(12)]

    def test_a_silent_job_is_waited_for(self, api: ApiServer, jobs: Jobs) -> None:
        def act(node: Node) -> None:
            node.pod(**running())
            node.wait_for_readers(3)
            complete(node)

        node, lines = Node(api, act), list[str]()
        jobs.run(SPEC, lines.append)
        node.join()
        assert len(lines) == 12

    def test_every_pod_of_a_job_that_is_started_again_is_read(self, api: ApiServer, jobs: Jobs) -> None:
        def act(node: Node) -> None:
            node.write("one\n", "work-a")
            node.pod("work-a", **ended(1))
            node.write("two\n", "work-b")
            node.pod("work-b", **ended())
            node.job("Complete")

        node, lines = Node(api, act), list[str]()
        jobs.run(SPEC, lines.append)
        node.join()
        assert lines == ["one", "two"]

    @pytest.mark.parametrize(
        ("pod", "reason", "kind", "text"),
        [
            (
                ended(137, "OOMKilled"),
                "",
                OutOfMemory,
                "container main of Pod space/work-a was OOMKilled; take a larger pool",
            ),
            (
                ended(3),
                "",
                ComputationFailed,
                r"work-a: container main ended with exit code 3\n  \| last words",
            ),
            ({"phase": "Failed", "reason": "Evicted"}, "", ProcessKilled, "Pod space/work-a: Evicted"),
            (
                {"phase": "Running"},
                "DeadlineExceeded",
                TimeLimitExceeded,
                "Job space/work: DeadlineExceeded: so it is; raise the deadline",
            ),
        ],
    )
    def test_the_reason_of_a_failure_is_raised(
        self, api: ApiServer, jobs: Jobs, pod: Manifest, reason: str, kind: type[Exception], text: str
    ) -> None:
        def act(node: Node) -> None:
            node.write("last words\n")
            node.pod(**pod)
            node.job("Failed", reason or "BackoffLimitExceeded")

        node = Node(api, act)
        with pytest.raises(ComputationFailed, match=text) as error:
            jobs.run(SPEC)
        node.join()
        assert type(error.value) is kind

    @pytest.mark.parametrize("reason", ["ImagePullBackOff", "CreateContainerConfigError"])
    def test_a_pod_that_does_not_start_cancels_the_job(self, api: ApiServer, jobs: Jobs, reason: str) -> None:
        waiting = [{"name": "main", "state": {"waiting": {"reason": reason, "message": "no such thing"}}}]
        node = Node(api, lambda node: node.pod(phase="Pending", containerStatuses=waiting))
        with pytest.raises(JobNotStarted, match=rf"Pod space/work-a must start within .*{reason}: no such thing"):
            jobs.run(SPEC)
        node.join()
        assert stored(api) == []

    def test_pods_that_the_server_refuses_cancel_the_job(self, api: ApiServer, jobs: Jobs) -> None:
        refusal = 'Error creating: pods "work-b" is forbidden: violates PodSecurity "restricted:latest": privileged'

        def act(node: Node) -> None:
            for name, reason, text in (("a", "FailedCreate", refusal), ("b", "SuccessfulCreate", "Created pod")):
                involved = {"kind": "Job", "name": "work", "uid": uid(api)}
                event = {"metadata": {"name": name}, "involvedObject": involved, "reason": reason, "message": text}
                api.create("events", "space", event)

        node, patient = Node(api, act), replace(jobs, start_seconds=900.0)
        with pytest.raises(JobNotStarted, match=r"Job space/work must start .*: FailedCreate: .*violates PodSecurity"):
            patient.run(SPEC)
        node.join()
        assert stored(api) == []

    def test_what_goes_wrong_with_the_output_cancels_the_job(self, api: ApiServer, jobs: Jobs) -> None:
        def act(node: Node) -> None:
            node.pod(**running())
            node.write("running\n")

        def on_line(_: str) -> None:
            raise OSError("disk full")

        node = Node(api, act)
        with pytest.raises(OSError, match="disk full"):
            jobs.run(SPEC, on_line)
        node.join()
        assert stored(api) == []

    def test_a_log_that_may_not_be_read_is_an_error(self, api: ApiServer, jobs: Jobs) -> None:
        api.faults.append(Fault("GET", "/log", 403))
        node = Node(api, complete)
        with pytest.raises(ClusterError, match=r"log of Pod space/work-a: 403 .*; give the service account .* a Role"):
            jobs.run(SPEC)
        node.join()

    def test_one_that_is_complete_is_not_executed_again(self, api: ApiServer, jobs: Jobs) -> None:
        node = Node(api, complete)
        jobs.run(SPEC)
        node.join()
        before, lines = uid(api), list[str]()
        jobs.run(SPEC, lines.append)
        assert uid(api) == before
        assert len(lines) == 12

    def test_one_that_failed_is_executed_again(self, api: ApiServer, jobs: Jobs) -> None:
        jobs.submit(SPEC)
        before = uid(api)
        Node(api, lambda node: node.job("Failed")).join()

        def act(node: Node) -> None:
            with api.changed:
                assert api.changed.wait_for(lambda: stored(api) == ["work"] and uid(api) != before, 60)
            complete(node)

        node = Node(api, act)
        jobs.run(SPEC)
        node.join()
        assert uid(api) != before

    @pytest.mark.usefixtures("interruptible")
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_cancels_the_job_and_its_pods(self, api: ApiServer, jobs: Jobs, number: int) -> None:
        def act(node: Node) -> None:
            node.pod(**running())
            node.write("running\n")

        node = Node(api, act)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            jobs.run(SPEC, lambda line: os.kill(os.getpid(), number))
        node.join()
        assert stored(api) == []
        assert api.list("pods", "space") == []

    def test_a_job_deleted_by_somebody_else_is_an_error(self, api: ApiServer, jobs: Jobs) -> None:
        def act(node: Node) -> None:
            node.pod(**running())
            api.delete("jobs", "space", "work")

        node = Node(api, act)
        with pytest.raises(ProcessKilled, match="Job space/work was deleted before it had ended"):
            jobs.run(SPEC)
        node.join()

    def test_a_server_that_stays_away_leaves_the_job_there(self, api: ApiServer, jobs: Jobs) -> None:
        def on_line(_: str) -> None:
            api.faults.append(Fault("GET", "", 0, times=99))

        def act(node: Node) -> None:
            node.pod(**running())
            node.write("running\n")

        node = Node(api, act)
        with pytest.raises(ClusterError, match="the API server did not answer"):
            jobs.run(SPEC, on_line)
        node.join()
        api.faults.clear()
        assert stored(api) == ["work"]
        api.requests.clear()

        def end(node: Node) -> None:
            node.wait_for_readers(1)
            complete(node)

        node, lines = Node(api, end), list[str]()
        jobs.run(SPEC, lines.append)
        node.join()
        assert lines[0] == "running"
        assert len(lines) == 13


class TestTrainJobs:
    SPEC = replace(SPEC, config=ClusterConfig(image="image:1", runtime="torch-distributed"), nodes=2)

    def act(self, api: ApiServer, code: int) -> None:
        """Two pods of a TrainJob, of which the first writes what all have computed."""
        with api.changed:
            assert api.changed.wait_for(lambda: ("trainjobs", "space", "work") in api.objects, 60)
            job = api.get("trainjobs", "space", "work")
            (patch,) = job["spec"]["runtimePatches"]
            (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
            labels = replicated["template"]["spec"]["template"]["metadata"]["labels"]
            for index in (0, 1):
                own = {
                    "jobset.sigs.k8s.io/jobset-name": "work",
                    "batch.kubernetes.io/job-completion-index": str(index),
                }
                metadata = {"name": f"work-{index}", "labels": {**labels, **own}}
                state = {"terminated": {"exitCode": code}}
                status = {"phase": "Failed", "containerStatuses": [{"name": "node", "state": state}]}
                api.logs[f"work-{index}", "node"] = f"rank {index}\n"
                api.create("pods", "space", {"metadata": metadata, "status": status})
            condition = {"type": "Failed" if code else "Complete", "status": "True"}
            api.update("trainjobs", "space", "work", lambda item: item.update(status={"conditions": [condition]}))

    @pytest.mark.parametrize("code", [0, 1])
    def test_one_is_followed_like_a_job(self, api: ApiServer, jobs: Jobs, code: int) -> None:
        thread = threading.Thread(target=self.act, args=(api, code))
        thread.start()
        lines: list[str] = []
        if code:
            with pytest.raises(ComputationFailed, match=r"Pod space/work-\d: container node ended with exit code 1"):
                jobs.run(self.SPEC, lines.append)
        else:
            jobs.run(self.SPEC, lines.append)
        thread.join(PATIENCE_SECONDS)
        assert lines == ["rank 0"]


def test_one_of_the_same_key_is_adopted(api: ApiServer, jobs: Jobs) -> None:
    jobs.submit(SPEC)
    before = uid(api)
    jobs.submit(SPEC)
    assert uid(api) == before


@pytest.mark.parametrize("condition", ["Failed", "Complete"])
def test_one_that_has_ended_is_replaced(api: ApiServer, jobs: Jobs, condition: str) -> None:
    jobs.submit(SPEC)
    before = uid(api)
    ended = {"conditions": [{"type": condition, "status": "True"}]}
    api.update("jobs", "space", "work", lambda item: item.update(status=ended))
    jobs.submit(SPEC)
    assert uid(api) != before


def test_one_of_another_key_is_named_and_left_alone(api: ApiServer, jobs: Jobs) -> None:
    jobs.submit(SPEC)
    with pytest.raises(ClusterError, match=r"Job space/work must have the label podium/key=.*belongs to something"):
        jobs.submit(replace(SPEC, key="something else"))
    jobs.cancel(JOB, ["work"], "something else")
    assert stored(api) == ["work"]
    jobs.cancel(JOB, ["work"], SPEC.key)
    assert stored(api) == []


@pytest.mark.parametrize("kind", [JOB, TRAIN_JOB])
def test_a_failure_is_read_from_the_pods_of_a_job(api: ApiServer, jobs: Jobs, kind: Any) -> None:
    container = "main" if kind is JOB else "node"
    label = "batch.kubernetes.io/job-name" if kind is JOB else "jobset.sigs.k8s.io/jobset-name"
    state = {"terminated": {"exitCode": 3}}
    add_pod(api, "work-a", {label: "work"}, containerStatuses=[{"name": container, "state": state}])
    api.logs["work-a", container] = "".join(f"line {number}\n" for number in range(100))
    text = rf"Pod space/work-a: container {container} ended with exit code 3\n  \| line 85\n(.*\n)*  \| line 99$"
    with pytest.raises(ComputationFailed, match=text):
        raise jobs.failure({"metadata": {"name": "work"}}, replace(SPEC, nodes=1 if kind is JOB else 2))


def test_a_failure_that_may_not_be_read_says_so(api: ApiServer, jobs: Jobs) -> None:
    api.faults.append(Fault("GET", "/pods", 403))
    error = jobs.failure({"metadata": {"name": "work"}}, SPEC)
    assert str(error).startswith("Job space/work failed; why cannot be read: pods of namespace space: 403")

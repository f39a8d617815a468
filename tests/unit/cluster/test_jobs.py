from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from podium.cluster.client import EVENT, POD, Cluster, Kind
from podium.cluster.jobs import Advice, Jobs
from podium.cluster.manifests import JobSpec
from podium.config.cluster import ClusterConfig
from podium.errors import ClusterError, ComputationFailed, JobNotStarted, OutOfMemory, ProcessKilled, TimeLimitExceeded

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SPEC = JobSpec(ClusterConfig(image="image:1"), ["work"], name="work-x", key="k")
ADVICE = Advice(memory="take a larger pool", deadline="allow it more time")


class Pods(Cluster):
    """Stands in for a cluster that is asked for nothing but pods, logs, and events of one Job."""

    job: dict[str, Any] | None = None
    events: tuple[dict[str, Any], ...] = ()

    def __init__(self, pods: list[dict[str, Any]], **logs: str) -> None:
        self.namespace = "studies"
        self._pods, self._logs = pods, logs

    def find(self, kind: Kind, selector: str = "", fields: str = "") -> list[dict[str, Any]]:
        return self._pods if kind == POD else list(self.events)

    def get(self, kind: Kind, name: str) -> dict[str, Any] | None:
        return self.job

    def log_tail(self, pod: str, container: str) -> list[str]:
        return self._logs.get(container.replace("-", "_"), "").splitlines()


def pod(name: str = "work-x", age: float = 60, **status: Any) -> dict[str, Any]:
    created = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": status}


def container(name: str = "main", **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state}


def failed(**condition: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "work-x"},
        "status": {"conditions": [{"type": "Failed", "status": "True", **condition}]},
    }


def why(pods: list[dict[str, Any]], job: dict[str, Any], **logs: str) -> Exception:
    return Jobs(Pods(pods, **logs), ADVICE).failure({"metadata": {"name": "work-x"}, **job}, SPEC)


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (
            {"containerStatuses": [container(terminated={"reason": "OOMKilled", "exitCode": 137})]},
            OutOfMemory,
            "container main of Pod studies/work-x was OOMKilled; take a larger pool",
        ),
        (
            {"containerStatuses": [container(terminated={"reason": "Error", "exitCode": 3})]},
            ComputationFailed,
            "Pod studies/work-x: container main ended with exit code 3\n  | first\n  | last",
        ),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
            ProcessKilled,
            "Pod studies/work-x: Evicted: The node was low on resource: memory.",
        ),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]},
            ProcessKilled,
            "Pod studies/work-x: PreemptionByScheduler: ",
        ),
        ({"reason": "DeadlineExceeded"}, TimeLimitExceeded, "DeadlineExceeded; allow it more time"),
    ],
)
def test_a_pod_tells_why_it_failed(status: dict[str, Any], kind: type[ComputationFailed], text: str) -> None:
    error = why([pod(**status)], failed(reason="x", message="y"), main="first\nlast")
    assert type(error) is kind
    assert text in str(error)


def test_a_sidecar_may_have_the_output() -> None:
    statuses = [container("collector", terminated={"exitCode": 0}), container(terminated={"exitCode": 1})]
    error = why([pod(containerStatuses=statuses)], {}, collector="from the sidecar")
    assert "| from the sidecar" in str(error)


def test_the_newest_pod_counts() -> None:
    old = pod("old", 600, containerStatuses=[container(terminated={"reason": "OOMKilled", "exitCode": 137})])
    new = pod("new", 5, containerStatuses=[container(terminated={"exitCode": 2})])
    assert "Pod studies/new: container main ended with exit code 2" in str(why([old, new], {}))


def test_without_pods_the_job_says_why() -> None:
    late = failed(reason="DeadlineExceeded", message="Job was active longer than specified deadline")
    assert type(why([], late)) is TimeLimitExceeded
    limit = failed(reason="BackoffLimitExceeded", message="limit reached")
    assert str(why([], limit)) == "Job studies/work-x: BackoffLimitExceeded: limit reached"
    assert type(why([], {})) is ProcessKilled


def waits(reason: str) -> dict[str, Any]:
    return {"containerStatuses": [container(waiting={"reason": reason})]}


@pytest.mark.parametrize(
    ("status", "reason", "permanent"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
            "Unschedulable",
            False,
        ),
        (waits("ErrImagePull"), "ErrImagePull", False),
        (waits("ImagePullBackOff"), "ImagePullBackOff", False),
        (waits("InvalidImageName"), "InvalidImageName", True),
        (waits("CreateContainerConfigError"), "CreateContainerConfigError", True),
    ],
)
def test_a_pod_that_does_not_start_in_time_or_never_can_is_an_error(
    status: dict[str, Any], reason: str, permanent: bool
) -> None:
    cluster = Pods([pod(phase="Pending", **status)])
    if not permanent:
        Jobs(cluster).check_started("", SPEC, [])
    with pytest.raises(JobNotStarted, match=f"Pod studies/work-x must start within .*: {reason}: "):
        Jobs(cluster, start_seconds=900.0 if permanent else -1.0).check_started("", SPEC, [])


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Running"},
        {"phase": "Succeeded"},
        {"phase": "Pending"},
        {"phase": "Pending", **waits("ContainerCreating")},
    ],
)
def test_a_pod_that_is_on_its_way_is_waited_for(status: dict[str, Any]) -> None:
    Jobs(Pods([pod(**status)]), start_seconds=-1.0).check_started("", SPEC, [])


QUOTA = 'Error creating: pods "work-x-a" is forbidden: exceeded quota: gpus, requested: 1, used: 8, limited: 8'
SECURITY = 'Error creating: pods "work-x-a" is forbidden: violates PodSecurity "restricted:latest": privileged'
WEBHOOK = 'Error creating: admission webhook "policy.example" denied the request: no such registry'
AWAY = 'Error creating: Internal error occurred: failed calling webhook "a": connection refused'


def refused(message: str, uid: str = "1", **status: Any) -> Pods:
    cluster = Pods([])
    cluster.job = {"metadata": {"name": "work-x", "uid": "1"}, "spec": {}, "status": status}
    involved = {"kind": "Job", "name": "work-x", "uid": uid}
    cluster.events = ({"involvedObject": involved, "message": message, "lastTimestamp": "2026-11-24T12:00:00Z"},)
    return cluster


@pytest.mark.parametrize(("message", "permanent"), [(QUOTA, False), (AWAY, False), (SECURITY, True), (WEBHOOK, True)])
def test_pods_that_are_refused_are_an_error(message: str, permanent: bool) -> None:
    if not permanent:
        Jobs(refused(message)).check_started("", SPEC, ["work-x"])
    jobs = Jobs(refused(message), start_seconds=900.0 if permanent else -1.0)
    with pytest.raises(JobNotStarted) as error:
        jobs.check_started("", SPEC, ["work-x"])
    assert f"Job studies/work-x must start within {jobs.start_seconds:g} s" in str(error.value)
    assert f"FailedCreate: {message}; correct image" in str(error.value)


@pytest.mark.parametrize(
    "cluster",
    [
        refused(SECURITY, uid="that of an earlier Job"),
        refused(SECURITY, active=1),
        refused(SECURITY, succeeded=1),
        refused(SECURITY, conditions=[{"type": "Failed", "status": "True"}]),
    ],
)
def test_refusals_that_are_over_do_not_count(cluster: Pods) -> None:
    Jobs(cluster).check_started("", SPEC, ["work-x"])


def test_events_are_not_asked_for_once_the_pods_are_there() -> None:
    cluster = refused(SECURITY)
    cluster._pods = [pod(phase="Running")]
    cluster._pods[0]["metadata"]["labels"] = {"batch.kubernetes.io/job-name": "work-x"}
    Jobs(cluster).check_started("", SPEC, ["work-x"])


@pytest.mark.parametrize("status", [403, 500])
def test_events_may_be_forbidden(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    def find(kind: Kind, *_: str, **__: str) -> list[dict[str, Any]]:
        if kind == EVENT:
            raise ClusterError("events of namespace studies", status=status)
        return []

    cluster = Pods([])
    monkeypatch.setattr(cluster, "find", find)
    if status == 403:
        Jobs(cluster).check_started("", SPEC, ["work-x"])
    else:
        with pytest.raises(ClusterError):
            Jobs(cluster).check_started("", SPEC, ["work-x"])


def test_the_refused_pods_of_a_train_job_are_found_by_the_job_of_its_nodes() -> None:
    spec = replace(SPEC, nodes=2)
    cluster = refused(QUOTA, active=1)
    assert cluster.job is not None
    cluster.job["spec"]["parallelism"] = 2
    cluster.events[0]["involvedObject"]["name"] = "work-x-node-0"
    with pytest.raises(JobNotStarted, match=r"TrainJob studies/work-x must start .*: FailedCreate: .*exceeded quota"):
        Jobs(cluster, start_seconds=-1.0).check_started("", spec, ["work-x"])

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from podium.cluster.client import JOB, Cluster, Kind
from podium.cluster.jobs import Jobs
from podium.errors import ComputationFailed, OutOfMemory, ProcessKilled, StudyFailed, TimeLimitExceeded

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Pods(Cluster):
    """Stands in for a cluster that is asked for nothing but pods and logs."""

    def __init__(self, pods: list[dict[str, Any]], **logs: str) -> None:
        self.namespace = "studies"
        self._pods, self._logs = pods, logs

    def find(self, kind: Kind, selector: str = "") -> list[dict[str, Any]]:
        return self._pods

    def log_tail(self, pod: str, container: str) -> list[str]:
        return self._logs.get(container.replace("-", "_"), "").splitlines()


def pod(name: str = "work-x", age: float = 60, **status: Any) -> dict[str, Any]:
    created = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": status}


def container(name: str = "trial", **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state}


def failed(**condition: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "work-x"},
        "status": {"conditions": [{"type": "Failed", "status": "True", **condition}]},
    }


def why(pods: list[dict[str, Any]], job: dict[str, Any], **logs: str) -> Exception:
    return Jobs(Pods(pods, **logs)).failure({"metadata": {"name": "work-x"}, **job}, JOB)


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (
            {"containerStatuses": [container(terminated={"reason": "OOMKilled", "exitCode": 137})]},
            OutOfMemory,
            "container trial of Pod studies/work-x was OOMKilled; raise memory of the node pool",
        ),
        (
            {"containerStatuses": [container(terminated={"reason": "Error", "exitCode": 3})]},
            ComputationFailed,
            "Pod studies/work-x: container trial ended with exit code 3\n  | first\n  | last",
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
        ({"reason": "DeadlineExceeded"}, TimeLimitExceeded, "raise cluster.trial_seconds"),
    ],
)
def test_a_pod_tells_why_it_failed(status: dict[str, Any], kind: type[ComputationFailed], text: str) -> None:
    error = why([pod(**status)], failed(reason="x", message="y"), trial="first\nlast")
    assert type(error) is kind
    assert text in str(error)


def test_a_sidecar_may_have_the_output() -> None:
    status = {"containerStatuses": [container(terminated={"exitCode": 1})]}
    error = why([pod(**status)], {}, metrics_logger_and_collector="from the sidecar")
    assert "| from the sidecar" in str(error)


def test_the_newest_pod_counts() -> None:
    old = pod("old", 600, containerStatuses=[container(terminated={"reason": "OOMKilled", "exitCode": 137})])
    new = pod("new", 5, containerStatuses=[container(terminated={"exitCode": 2})])
    assert "Pod studies/new: container trial ended with exit code 2" in str(why([old, new], {}))


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
def test_a_pod_that_does_not_start_in_time_or_never_can_ends_the_study(
    status: dict[str, Any], reason: str, permanent: bool
) -> None:
    cluster = Pods([pod(phase="Pending", **status)])
    if not permanent:
        Jobs(cluster).check_started("")
    with pytest.raises(StudyFailed, match=f"Pod studies/work-x must start within .*: {reason}: "):
        Jobs(cluster, start_seconds=900.0 if permanent else -1.0).check_started("")


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
    Jobs(Pods([pod(**status)]), start_seconds=-1.0).check_started("")

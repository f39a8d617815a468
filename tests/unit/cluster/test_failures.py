from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from podium.cluster.failures import Advice, failure, obstacle
from podium.errors import ComputationFailed, OutOfMemory, ProcessKilled, TimeLimitExceeded

ADVICE = Advice(memory="take a larger pool", deadline="raise the_limit")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Logs:
    """Stands in for a cluster that is asked for nothing but logs."""

    namespace = "studies"

    def __init__(self, **logs: str) -> None:
        self._logs = logs

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


def why(logs: Any, pods: list[dict[str, Any]], job: dict[str, Any]) -> Exception:
    return failure(logs, pods, job, "Job studies/work-x", ("main", "side-car"), ADVICE)


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
        ({"reason": "DeadlineExceeded"}, TimeLimitExceeded, "raise the_limit"),
    ],
)
def test_a_pod_tells_why_it_failed(status: dict[str, Any], kind: type[ComputationFailed], text: str) -> None:
    error = why(Logs(main="first\nlast"), [pod(**status)], failed(reason="x", message="y"))
    assert type(error) is kind
    assert text in str(error)


def test_a_sidecar_may_have_the_output() -> None:
    status = {"containerStatuses": [container(terminated={"exitCode": 1}), container("side-car", running={})]}
    logs = Logs(**{"side_car": "from the sidecar"})
    assert "| from the sidecar" in str(why(logs, [pod(**status)], {}))


def test_the_newest_pod_counts() -> None:
    old = pod("old", 600, containerStatuses=[container(terminated={"reason": "OOMKilled", "exitCode": 137})])
    new = pod("new", 5, containerStatuses=[container(terminated={"exitCode": 2})])
    assert "Pod studies/new: container main ended with exit code 2" in str(why(Logs(), [old, new], {}))


def test_without_pods_the_job_says_why() -> None:
    late = failed(reason="DeadlineExceeded", message="Job was active longer than specified deadline")
    assert type(why(Logs(), [], late)) is TimeLimitExceeded
    limit = failed(reason="BackoffLimitExceeded", message="limit reached")
    assert str(why(Logs(), [], limit)) == "Job studies/work-x: BackoffLimitExceeded: limit reached"
    assert type(why(Logs(), [], {})) is ProcessKilled


@pytest.mark.parametrize(
    ("status", "reason", "permanent"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
            "Unschedulable",
            False,
        ),
        ({"containerStatuses": [container(waiting={"reason": "ErrImagePull"})]}, "ErrImagePull", False),
        ({"containerStatuses": [container(waiting={"reason": "ImagePullBackOff"})]}, "ImagePullBackOff", False),
        ({"containerStatuses": [container(waiting={"reason": "InvalidImageName"})]}, "InvalidImageName", True),
        (
            {"containerStatuses": [container(waiting={"reason": "CreateContainerConfigError"})]},
            "CreateContainerConfigError",
            True,
        ),
    ],
)
def test_what_keeps_a_pod_from_starting(status: dict[str, Any], reason: str, permanent: bool) -> None:
    found = obstacle(pod(phase="Pending", **status))
    assert found is not None
    assert (found.reason, found.permanent) == (reason, permanent)


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Running"},
        {"phase": "Succeeded"},
        {"phase": "Pending"},
        {"phase": "Pending", "containerStatuses": [container(waiting={"reason": "ContainerCreating"})]},
    ],
)
def test_a_pod_that_is_on_its_way_meets_no_obstacle(status: dict[str, Any]) -> None:
    assert obstacle(pod(**status)) is None

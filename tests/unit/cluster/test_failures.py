from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from podium.cluster.failures import COLLECTOR, failure, obstacle
from podium.errors import ComputationFailed, OutOfMemory, ProcessKilled, TimeLimitExceeded

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Logs:
    """Stands in for a cluster that is asked for nothing but logs."""

    namespace = "studies"

    def __init__(self, **logs: str) -> None:
        self._logs = logs

    def log_tail(self, pod: str, container: str) -> list[str]:
        return self._logs.get(container.replace("-", "_"), "").splitlines()


def pod(name: str = "trial-x", age: float = 60, **status: Any) -> dict[str, Any]:
    created = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": status}


def container(name: str = "trial", **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state}


def failed(**condition: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "trial-x"},
        "status": {"conditions": [{"type": "Failed", "status": "True", **condition}]},
    }


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (
            {"containerStatuses": [container(terminated={"reason": "OOMKilled", "exitCode": 137})]},
            OutOfMemory,
            "container trial of Pod studies/trial-x was OOMKilled; raise memory of the node pool",
        ),
        (
            {"containerStatuses": [container(terminated={"reason": "Error", "exitCode": 3})]},
            ComputationFailed,
            "Pod studies/trial-x: container trial ended with exit code 3\n  | first\n  | last",
        ),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
            ProcessKilled,
            "Pod studies/trial-x: Evicted: The node was low on resource: memory.",
        ),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]},
            ProcessKilled,
            "Pod studies/trial-x: PreemptionByScheduler: ",
        ),
        ({"reason": "DeadlineExceeded"}, TimeLimitExceeded, "raise cluster.trial_seconds"),
    ],
)
def test_a_pod_tells_why_it_failed(status: dict[str, Any], kind: type[ComputationFailed], text: str) -> None:
    error = failure(Logs(trial="first\nlast"), [pod(**status)], failed(reason="x", message="y"), "trial")
    assert type(error) is kind
    assert text in str(error)


def test_katibs_sidecar_has_the_log_where_it_redirects_the_output() -> None:
    status = {"containerStatuses": [container(terminated={"exitCode": 1}), container(COLLECTOR, running={})]}
    logs = Logs(**{COLLECTOR.replace("-", "_"): "from the sidecar"})
    assert "| from the sidecar" in str(failure(logs, [pod(**status)], None, "trial"))


def test_the_newest_pod_counts() -> None:
    old = pod("old", 600, containerStatuses=[container(terminated={"reason": "OOMKilled", "exitCode": 137})])
    new = pod("new", 5, containerStatuses=[container(terminated={"exitCode": 2})])
    assert "Pod studies/new: container trial ended with exit code 2" in str(failure(Logs(), [old, new], None, "trial"))


def test_without_pods_their_owner_tells() -> None:
    late = failed(reason="DeadlineExceeded", message="Job was active longer than specified deadline")
    assert type(failure(Logs(), [], late, "trial")) is TimeLimitExceeded
    limit = failed(reason="BackoffLimitExceeded", message="limit reached")
    assert str(failure(Logs(), [], limit, "trial")) == "BackoffLimitExceeded: limit reached"
    assert type(failure(Logs(), [], None, "trial")) is ProcessKilled


@pytest.mark.parametrize(
    ("status", "reason", "lasting"),
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
def test_what_keeps_a_pod_from_starting(status: dict[str, Any], reason: str, lasting: bool) -> None:
    found = obstacle(pod(phase="Pending", **status))
    assert found is not None
    assert (found.reason, found.lasting) == (reason, lasting)


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

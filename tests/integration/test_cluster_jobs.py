"""Jobs on a cluster: created, adopted by key, replaced and cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from podium.cluster.client import JOB, TRAIN_JOB
from podium.cluster.jobs import Jobs, JobSpec
from podium.config.cluster import ClusterConfig
from podium.errors import ClusterError, ComputationFailed, StudyFailed

from .kube.engine import connected
from .kube.server import ApiServer, Fault

pytestmark = pytest.mark.integration

SPEC = JobSpec(ClusterConfig(image="image:1"), name="work", key="what is done")


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def jobs(api: ApiServer) -> Jobs:
    return Jobs(connected(api, "space"), start_seconds=0.0, stop_seconds=60)


def stored(api: ApiServer) -> list[str]:
    return [item["metadata"]["name"] for item in api.list("jobs", "space")]


def uid(api: ApiServer) -> str:
    return str(api.get("jobs", "space", "work")["metadata"]["uid"])


def add_pod(api: ApiServer, name: str, labels: dict[str, str], **status: Any) -> None:
    api.create("pods", "space", {"metadata": {"name": name, "labels": labels}, "status": status})


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
    container = "trial" if kind is JOB else "node"
    label = "batch.kubernetes.io/job-name" if kind is JOB else "jobset.sigs.k8s.io/jobset-name"
    state = {"terminated": {"exitCode": 3}}
    add_pod(api, "work-a", {label: "work"}, containerStatuses=[{"name": container, "state": state}])
    api.logs["work-a", container] = "".join(f"line {number}\n" for number in range(100))
    text = rf"Pod space/work-a: container {container} ended with exit code 3\n  \| line 85\n(.*\n)*  \| line 99$"
    with pytest.raises(ComputationFailed, match=text):
        raise jobs.failure({"metadata": {"name": "work"}}, kind)


def test_a_failure_that_may_not_be_read_says_so(api: ApiServer, jobs: Jobs) -> None:
    api.faults.append(Fault("GET", "/pods", 403))
    error = jobs.failure({"metadata": {"name": "work"}}, JOB)
    assert str(error).startswith("Job space/work failed; why cannot be read: pods of namespace space: 403")


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CreateContainerConfigError"])
def test_a_pod_that_does_not_start_is_an_error(api: ApiServer, jobs: Jobs, reason: str) -> None:
    waiting = {"name": "trial", "state": {"waiting": {"reason": reason, "message": "no such thing"}}}
    add_pod(api, "work-a", {"a": "b"}, phase="Pending", containerStatuses=[waiting])
    text = rf"Pod space/work-a must start within cluster.start_seconds=0, .* s: {reason}: no such thing; correct image"
    with pytest.raises(StudyFailed, match=text):
        while True:
            jobs.check_started("a=b")

"""Where a scheduler puts pods of pools: on a node with a device that exists as an object only, where nothing starts.

Needs the right to create namespaces and nodes, a scheduler and a ready node.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from podium.cluster.client import JOB, NAMESPACE, NODE, POD, Cluster, Manifest, condition, name_of
from podium.cluster.doctor import room_for, waiting
from podium.cluster.jobs import Jobs
from podium.cluster.manifests import JobSpec
from podium.config.cluster import ClusterConfig, NodePoolConfig
from podium.errors import ClusterError
from tests.charts.support import tool
from tests.support import eventually

pytestmark = pytest.mark.integration

DEVICE = "nvidia.com/gpu"
CPU = NodePoolConfig(cpu="10m", memory="16Mi")
GPU = CPU.model_copy(update={"device": DEVICE, "tolerations": (DEVICE,)})


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    client = Cluster.connect(f"podium-test-{uuid.uuid4().hex[:8]}")
    try:
        ready = [node for node in client.find(NODE) if condition(node, "Ready")]
    except ClusterError as error:
        pytest.skip(f"the cluster cannot be reached: {error}")
    if not ready:
        pytest.skip("no node is ready")
    client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": client.namespace}})
    yield client
    client.delete(NAMESPACE, client.namespace)


@pytest.fixture
def device(cluster: Cluster) -> Iterator[str]:
    """Name of a node that has a device and a taint for it, as those of clouds do, and no kubelet."""
    name = cluster.namespace
    taint = {"key": DEVICE, "effect": "NoSchedule"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"taints": [taint]}}
    cluster.create(NODE, node)
    there = {"cpu": "16", "memory": "64Gi", "pods": "20", DEVICE: "1"}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now}
    status = {"status": {"capacity": there, "allocatable": there, "conditions": [ready]}}
    command = [tool("kubectl"), "patch", "node", name, "--subresource=status", "-p", json.dumps(status)]
    subprocess.run(command, check=True, capture_output=True)
    yield name
    cluster.delete(NODE, name)


def pods(cluster: Cluster, name: str) -> list[Manifest]:
    return cluster.find(POD, f"batch.kubernetes.io/job-name={name}")


def test_pods_with_a_device_go_where_it_is_and_others_never(cluster: Cluster, device: str) -> None:
    def taken() -> bool:
        node = cluster.get(NODE, device)
        assert node is not None
        return [one["key"] for one in node["spec"]["taints"]] == [DEVICE]

    eventually(taken)
    (fitting,) = room_for(cluster, {"train": GPU})
    assert fitting.status == "ok" and fitting.text.startswith("1 of ")
    jobs = Jobs(cluster)
    config = ClusterConfig(image="registry.invalid/podium:1")
    for name, pool in (("train", GPU), ("second", GPU), ("cpu", CPU)):
        jobs.submit(JobSpec(config, ["true"], name=name, key=name, pool=pool))
        eventually(lambda name=name: pods(cluster, name))  # type: ignore[misc]
        if name != "second":
            eventually(lambda name=name: pods(cluster, name)[0]["spec"].get("nodeName"))  # type: ignore[misc]
    placed = {name: pods(cluster, name)[0]["spec"].get("nodeName") for name in ("train", "second", "cpu")}
    assert placed["train"] == device and placed["cpu"] != device

    # The only device is taken: the second pod waits, and the doctor says for what.
    def explained() -> bool:
        said = {one.name: one.text for one in waiting(cluster)}
        title = cluster.title(POD, name_of(pods(cluster, "second")[0]))
        return f"Insufficient {DEVICE}" in said.get(title, "")

    eventually(explained)
    assert placed["second"] is None
    for name in placed:
        cluster.delete(JOB, name)
    # No kubelet confirms that the pod on the node without one has ended.
    command = [tool("kubectl"), "delete", "pods", "--all", "--force", "-n", cluster.namespace]
    subprocess.run(command, check=True, capture_output=True)

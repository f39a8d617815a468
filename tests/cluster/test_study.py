"""A whole run with a Katib study in pods, by the chart, then taken away.

Needs Katib with its controllers, and `PODIUM_CLUSTER_VALUES`: a file of values of the chart, with `run.engine: katib`,
an image that the nodes have, and a store and data that pods reach. The variables `AWS_*` become the Secret `store`.
"""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from podium.cluster.client import (
    EXPERIMENT,
    INJECTION_LABEL,
    JOB,
    NAMESPACE,
    POD,
    TRIAL,
    VOLUME_CLAIM,
    Cluster,
    condition,
    name_of,
)
from podium.cluster.doctor import leftovers
from podium.katib.experiment import EXPERIMENT_LABEL
from tests.charts.support import CHART, tool
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.slow]

VALUES = os.environ.get("PODIUM_CLUSTER_VALUES", "")
RUN = "app.kubernetes.io/component=run"
SECONDS = 1800


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    if not os.environ.get("KUBECONFIG") or not VALUES:
        pytest.skip("KUBECONFIG and PODIUM_CLUSTER_VALUES name no cluster and no values")
    client = Cluster.connect(f"podium-test-{uuid.uuid4().hex[:8]}")
    metadata = {"name": client.namespace, "labels": {INJECTION_LABEL: "enabled"}}
    client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    keys = [f"--from-literal={name}={value}" for name, value in os.environ.items() if name.startswith("AWS_")]
    run("kubectl", client, "create", "secret", "generic", "store", *keys)
    yield client
    client.delete(NAMESPACE, client.namespace)


def run(name: str, cluster: Cluster, *arguments: str) -> None:
    done = subprocess.run(
        [tool(name), "--namespace", cluster.namespace, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_study_in_pods_goes_to_its_end_and_leaves_nothing(cluster: Cluster) -> None:
    own = yaml.safe_load(Path(VALUES).read_text()).get("env", {})
    store = f"store.uri=s3://podium/{cluster.namespace}"
    run("helm", cluster, "install", "podium", str(CHART), "--values", VALUES, "--set", store)
    trials: dict[str, dict[str, str]] = {}

    def has_ended() -> bool:
        time.sleep(1)
        for pod in cluster.find(POD, EXPERIMENT_LABEL):
            for container in pod["spec"]["containers"]:
                if container["name"] == "trial":
                    trials[name_of(pod)] = {one["name"]: one.get("value", "") for one in container["env"]}
        (job,) = cluster.find(JOB, RUN)
        assert condition(job, "Failed") is None
        return condition(job, "Complete") is not None

    eventually(has_ended, seconds=SECONDS)
    assert len(trials) >= 2
    assert all(own.items() <= given.items() for given in trials.values())
    assert all(condition(one, "Succeeded") for one in cluster.find(EXPERIMENT))
    run("helm", cluster, "uninstall", "podium")
    eventually(lambda: not any(cluster.find(kind) for kind in (JOB, POD, EXPERIMENT, TRIAL)), seconds=300)
    assert leftovers(cluster) == [cluster.title(VOLUME_CLAIM, name_of(one)) for one in cluster.find(VOLUME_CLAIM)]

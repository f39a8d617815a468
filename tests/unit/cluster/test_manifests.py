"""What a node pool makes of a trial, checked against the schema of Kubernetes."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from podium.cluster.manifests import CONTAINER, Command, job, trial_manifest
from podium.config.cluster import ClusterConfig

COMMAND = Command(["-m", "podium.hpo.trial_container", "--learning_rate=0.1"], {"PODIUM_STORE": "s3://b"}, {"a": "b"})
POOL = {
    "selector": {"pool": "gpu"},
    "tolerations": ("nvidia.com/gpu", "team=a:NoSchedule", "spare:NoExecute", "empty=:NoSchedule"),
    "cpu": "4",
    "memory": "16Gi",
    "device": "nvidia.com/gpu",
    "devices": 2,
    "shared_memory": "2Gi",
    "priority_class": "low",
    "queue": "team-a",
}


def config(**changes: Any) -> ClusterConfig:
    pool = {**POOL, **changes.pop("pool", {})}
    return ClusterConfig(
        **{"image": "podium:1", "service_account": "trials", "pools": {"gpu": pool}, "trial_pool": "gpu", **changes}
    )


def named(manifest: dict[str, Any]) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], "name": "trial", "namespace": "studies"}}


@pytest.mark.parametrize(
    "settings",
    [
        ClusterConfig(image="podium:1"),
        config(),
        config(
            pool={"spot": True}, secrets=("store",), trial_seconds=600, volume_claim="shared", volume_path="/shared"
        ),
    ],
)
def test_a_job_is_one_that_kubernetes_takes(settings: ClusterConfig) -> None:
    kubernetes_validate.validate(named(job(settings, COMMAND)), "1.32", strict=True)


def test_the_profile_of_the_pool_is_in_the_pod() -> None:
    manifest = job(config(secrets=("store", "tracking"), trial_seconds=600), COMMAND)
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == CONTAINER
    assert container["command"] == ["python", *COMMAND.arguments]
    assert container["env"] == [{"name": "PODIUM_STORE", "value": "s3://b"}]
    assert container["envFrom"] == [{"secretRef": {"name": "store"}}, {"secretRef": {"name": "tracking"}}]
    assert container["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "2"},
        "limits": {"memory": "16Gi", "nvidia.com/gpu": "2"},
    }
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists"},
        {"key": "team", "operator": "Equal", "value": "a", "effect": "NoSchedule"},
        {"key": "spare", "operator": "Exists", "effect": "NoExecute"},
        {"key": "empty", "operator": "Equal", "value": "", "effect": "NoSchedule"},
    ]
    assert (pod["priorityClassName"], pod["serviceAccountName"], pod["restartPolicy"]) == ("low", "trials", "Never")
    assert pod["volumes"] == [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}]
    assert container["volumeMounts"] == [{"name": "shm", "mountPath": "/dev/shm"}]
    assert manifest["metadata"]["labels"] == {"a": "b", "kueue.x-k8s.io/queue-name": "team-a"}
    assert manifest["spec"]["template"]["metadata"]["labels"] == {"a": "b"}
    assert (manifest["spec"]["backoffLimit"], manifest["spec"]["activeDeadlineSeconds"]) == (0, 600)


def test_a_pod_meets_the_restricted_standard() -> None:
    pod = job(config(), COMMAND)["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    (container,) = pod["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_a_node_that_is_taken_away_fails_no_trial_of_a_spot_pool() -> None:
    assert "podFailurePolicy" not in job(config(), COMMAND)["spec"]
    manifest = job(config(pool={"spot": True}), COMMAND)
    (rule,) = manifest["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore"
    keys = [item["key"] for item in manifest["spec"]["template"]["spec"]["tolerations"]]
    assert "cloud.google.com/gke-spot" in keys


def test_several_nodes_make_a_train_job() -> None:
    settings = config(pool={"priority_class": None}, trial_nodes=2, runtime="torch-distributed", trial_seconds=60)
    manifest = trial_manifest(settings, COMMAND)
    assert (manifest["apiVersion"], manifest["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    spec = manifest["spec"]
    assert spec["runtimeRef"] == {"name": "torch-distributed"}
    assert spec["trainer"]["numNodes"] == 2
    assert spec["trainer"]["command"] == ["torchrun", *COMMAND.arguments]
    assert spec["trainer"]["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "2"
    (patch,) = spec["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = replicated["template"]["spec"]["template"]["spec"]
    assert replicated["name"] == "node"
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert pod["securityContext"]["runAsNonRoot"]
    assert spec["activeDeadlineSeconds"] == 60

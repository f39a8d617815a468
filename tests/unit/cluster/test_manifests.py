"""The manifests of Jobs, checked against the schema of Kubernetes."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from podium.cluster.client import ObjectMetadata
from podium.cluster.manifests import JobSpec, job_manifest, key_label
from podium.config.cluster import ClusterConfig, NodePoolConfig

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
SHARED = {"volume_claim": "shared", "volume_path": "/shared"}
PROFILER = {"runAsUser": 0, "runAsNonRoot": False, "capabilities": {"add": ["SYS_ADMIN"]}}
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "launcher", "uid": "7"}


def spec(config: dict[str, Any] | None = None, pool: dict[str, Any] | None = None, **given: Any) -> JobSpec:
    cluster = ClusterConfig.model_validate({"image": "podium:1", "service_account": "workers", **(config or {})})
    node_pool = NodePoolConfig.model_validate({**POOL, **(pool or {})})
    values: dict[str, Any] = {"environment": {"PODIUM_STORE": "s3://b"}, "metadata": ObjectMetadata({"a": "b"})}
    return JobSpec(cluster, ["work", "--hard"], name="work", key="k", pool=node_pool, **{**values, **given})


@pytest.mark.parametrize(
    "given",
    [
        JobSpec(ClusterConfig(image="podium:1"), ["work"], name="work", key="k"),
        spec(),
        spec({"secrets": ("store",), **SHARED}, {"spot": True}, deadline_seconds=600),
        spec(metadata=ObjectMetadata({}, {"podium/key": "the whole key"}, OWNER)),
        spec(security=PROFILER),
    ],
)
def test_a_job_is_one_that_kubernetes_takes(given: JobSpec) -> None:
    manifest = job_manifest(given)
    manifest["metadata"]["namespace"] = "work"
    kubernetes_validate.validate(manifest, "1.32", strict=True)


def test_the_profile_of_the_pool_is_in_the_pod() -> None:
    manifest = job_manifest(spec({"secrets": ("store", "tracking")}, deadline_seconds=600))
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == "main"
    assert container["command"] == ["work", "--hard"]
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
    assert (pod["priorityClassName"], pod["serviceAccountName"], pod["restartPolicy"]) == ("low", "workers", "Never")
    assert pod["volumes"] == [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}]
    assert container["volumeMounts"] == [{"name": "shm", "mountPath": "/dev/shm"}]
    labels = {"a": "b", "podium/key": key_label("k")}
    assert manifest["metadata"] == {"name": "work", "labels": {**labels, "kueue.x-k8s.io/queue-name": "team-a"}}
    no_sidecar = {"sidecar.istio.io/inject": "false"}
    assert manifest["spec"]["template"]["metadata"]["labels"] == {**labels, **no_sidecar}, "so that the pod ends"
    assert (manifest["spec"]["backoffLimit"], manifest["spec"]["activeDeadlineSeconds"]) == (0, 600)


def test_a_pod_meets_the_restricted_standard() -> None:
    pod = job_manifest(spec())["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    (container,) = pod["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_the_pod_of_a_job_gets_no_token_of_its_service_account() -> None:
    pod = job_manifest(spec())["spec"]["template"]["spec"]
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)


def test_a_profiler_may_have_more_rights() -> None:
    (container,) = job_manifest(spec(security=PROFILER))["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"] == PROFILER


def test_a_node_that_is_taken_away_fails_no_job_of_a_spot_pool() -> None:
    assert "podFailurePolicy" not in job_manifest(spec())["spec"]
    manifest = job_manifest(spec(pool={"spot": True}))
    (rule,) = manifest["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore"
    keys = [item["key"] for item in manifest["spec"]["template"]["spec"]["tolerations"]]
    assert "cloud.google.com/gke-spot" in keys


def test_several_nodes_make_a_train_job() -> None:
    given = {"priority_class": None}
    manifest = job_manifest(spec({"runtime": "torch-distributed"}, given, nodes=2, deadline_seconds=60))
    assert (manifest["apiVersion"], manifest["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    body = manifest["spec"]
    assert body["runtimeRef"] == {"name": "torch-distributed"}
    assert body["trainer"]["numNodes"] == 2
    assert body["trainer"]["command"] == ["work", "--hard"]
    assert body["trainer"]["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "2"
    (patch,) = body["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = replicated["template"]["spec"]["template"]["spec"]
    assert replicated["name"] == "node"
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert pod["securityContext"]["runAsNonRoot"]
    assert body["activeDeadlineSeconds"] == 60

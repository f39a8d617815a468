"""What the pods of a trial execute and where, as a Job or TrainJob that Kubernetes accepts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from podium.cluster.client import JOB, TRAIN_JOB, Kind, Manifest, ObjectMetadata
from podium.config.cluster import ClusterConfig, NodePoolConfig
from podium.keys import digest_bytes

KEY_LABEL = "podium/key"
"""Label of Jobs and their pods: the first digits of the digest of their key."""

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
KEPT_SECONDS = 3600
"""How long a Job that ended is kept, so that its log and the reason of its end can be read."""

CONTAINERS = {JOB: "trial", TRAIN_JOB: "node"}
"""Name of the container that works. In a TrainJob the runtimes of Kubeflow Trainer give it, and its replicated job."""

_CONTAINER_SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_POD_SECURITY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}

_SPOT_TAINTS = ("cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority")
"""Taints of nodes that a cloud may take away. Where they do not exist, tolerating them has no effect."""

_TAINT = re.compile(r"(?P<key>[^=:]+)(?:=(?P<value>[^:]*))?(?::(?P<effect>\w+))?")


@dataclass(frozen=True)
class JobSpec:
    """A trial's Job of one pod, or with several nodes its TrainJob, whose pods torchrun joins.

    Attributes:
        config: image, node pool, secrets, volume, nodes and time limit.
        environment: variables by name.
        name: of the Job; empty in a template, whose copies get names of their own.
        key: identifies the work: an existing Job is adopted if it has the same name and key.
        arguments: of the program that executes a trial.
        metadata: labels (which its pods carry, too), annotations and owner.
    """

    config: ClusterConfig
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    key: str = ""
    arguments: Sequence[str] = ()
    metadata: ObjectMetadata = field(default_factory=ObjectMetadata)

    @property
    def kind(self) -> Kind:
        """Job or TrainJob."""
        return JOB if self.config.trial_nodes == 1 else TRAIN_JOB


def key_label(key: str) -> str:
    """The value of `KEY_LABEL` for a key."""
    return digest_bytes(key.encode())[:32]


def job_manifest(spec: JobSpec) -> Manifest:
    """The Job or TrainJob; its pods meet the Pod Security Standard `restricted`."""
    config, pool, kind = spec.config, spec.config.pool, spec.kind
    labels = {**spec.metadata.labels, KEY_LABEL: key_label(spec.key)}
    work = {
        "image": config.image,
        "command": ["python" if kind is JOB else "torchrun", "-m", "podium.hpo.trial_container", *spec.arguments],
        "env": [{"name": name, "value": value} for name, value in spec.environment.items()],
    }
    pod = _pod(config, {"name": CONTAINERS[kind], "securityContext": _CONTAINER_SECURITY})
    template = {"metadata": {"labels": labels}, "spec": pod}
    body = _job(config, template, work) if kind is JOB else _train_job(config, template, work)
    if config.trial_seconds is not None:
        body["activeDeadlineSeconds"] = config.trial_seconds
    metadata = {
        "name": spec.name,
        "labels": labels if pool.queue is None else {**labels, QUEUE_LABEL: pool.queue},
        "annotations": dict(spec.metadata.annotations),
        "ownerReferences": None if spec.metadata.owner is None else [dict(spec.metadata.owner)],
    }
    given = {name: value for name, value in metadata.items() if value}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": given, "spec": body}


def _job(config: ClusterConfig, template: Manifest, work: Manifest) -> Manifest:
    """The fields of a Job. A pod that is lost with a spot node is started again without counting as a failure."""
    (container,) = template["spec"]["containers"]
    container |= {**work, "resources": _resources(config.pool)}
    if config.secrets:
        container["envFrom"] = [{"secretRef": {"name": name}} for name in config.secrets]
    template["spec"]["restartPolicy"] = "Never"
    fields: Manifest = {"backoffLimit": 0, "ttlSecondsAfterFinished": KEPT_SECONDS, "template": template}
    if config.pool.spot:
        disrupted = {"type": "DisruptionTarget", "status": "True"}
        fields["podFailurePolicy"] = {"rules": [{"action": "Ignore", "onPodConditions": [disrupted]}]}
    return fields


def _train_job(config: ClusterConfig, template: Manifest, work: Manifest) -> Manifest:
    """The fields of a TrainJob, for Kubeflow Trainer 2.2 (`runtimePatches`).

    Its runtime brings the variables with which the pods find each other, and decides what follows the loss of a node.
    """
    replicated = {"name": CONTAINERS[TRAIN_JOB], "template": {"spec": {"template": template}}}
    patch = {"template": {"spec": {"replicatedJobs": [replicated]}}}
    return {
        "runtimeRef": {"name": config.runtime},
        "trainer": {**work, "numNodes": config.trial_nodes, "resourcesPerNode": _resources(config.pool)},
        "runtimePatches": [{"manager": "podium.kubeflow.org/jobs", "trainingRuntimeSpec": patch}],
    }


def _resources(pool: NodePoolConfig) -> Manifest:
    """Requests and limits: processors are not limited; memory and devices are limited to what is requested."""
    device = {} if pool.device is None else {pool.device: str(pool.devices)}
    return {
        "requests": {"cpu": pool.cpu, "memory": pool.memory, **device},
        "limits": {"memory": pool.memory, **device},
    }


def _pod(config: ClusterConfig, container: Manifest) -> Manifest:
    """The fields of a pod that say where it runs, as whom, and with which volumes."""
    pool = config.pool
    volumes: list[Manifest] = []
    mounts: list[Manifest] = []
    if pool.shared_memory is not None:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": pool.shared_memory}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    if config.volume_claim is not None:
        volumes.append({"name": "shared", "persistentVolumeClaim": {"claimName": config.volume_claim}})
        mounts.append({"name": "shared", "mountPath": config.volume_path})
    fields: Manifest = {
        "containers": [{**container, "volumeMounts": mounts} if mounts else container],
        "securityContext": _POD_SECURITY,
        "serviceAccountName": config.service_account,
        "nodeSelector": dict(pool.selector),
        "tolerations": [_toleration(taint) for taint in (*pool.tolerations, *(_SPOT_TAINTS if pool.spot else ()))],
        "priorityClassName": pool.priority_class,
        "volumes": volumes,
    }
    return {name: value for name, value in fields.items() if value}


def _toleration(taint: str) -> dict[str, Any]:
    match = _TAINT.fullmatch(taint)
    assert match is not None, taint
    fields = {**match.groupdict(), "operator": "Exists" if match["value"] is None else "Equal"}
    return {name: value for name, value in fields.items() if value is not None}

"""What a Job executes and where, as a Job or TrainJob that Kubernetes accepts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from podium.cluster.resources import JOB, TRAIN_JOB, Kind, Manifest, ObjectMetadata
from podium.config.cluster import NodePoolConfig
from podium.keys import digest_bytes

KEY_LABEL = "podium/key"
"""Label of Jobs and their pods: the first digits of the digest of their key."""

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
KEPT_SECONDS = 3600
"""How long a Job that ended is kept, so that its log and the reason of its end can be read."""

_TRAIN_JOB_CONTAINER = "node"
"""Name that the runtimes of Kubeflow Trainer give to the container that works, and to its replicated job."""

_SPOT_TAINTS = ("cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority")
"""Taints of nodes that a cloud may take away. Where they do not exist, tolerating them has no effect."""

_TAINT = re.compile(r"(?P<key>[^=:]+)(?:=(?P<value>[^:]*))?(?::(?P<effect>\w+))?")


@dataclass(frozen=True)
class Volume:
    """A volume of a pod.

    Attributes:
        name: of the volume.
        path: where the container finds it.
        source: the field of the pod's volume that names it, such as `{"persistentVolumeClaim": {"claimName": "a"}}`.
    """

    name: str
    path: str
    source: Mapping[str, Any]


@dataclass(frozen=True)
class JobSpec:
    """A Job of one pod, or with several nodes a TrainJob.

    Attributes:
        name: of the Job; empty in a template, whose copies get names of their own.
        key: identifies the work: an existing Job is adopted if it has the same name and key.
        image: of the container; its user must be a number other than 0.
        command: the command line.
        container: name of the container. In a TrainJob the runtime names it.
        environment: variables by name.
        secrets: names of Secrets whose entries become variables.
        volumes: what is mounted.
        pool: the node pool it runs on.
        service_account: None for that of the namespace.
        nodes: number of pods that work together.
        runtime: the ClusterTrainingRuntime of a TrainJob.
        deadline_seconds: how long it may take; None for no limit.
        backoff: how often a pod that failed is started again.
        metadata: labels (which its pods carry, too), annotations and owner.
    """

    name: str
    key: str
    image: str
    command: Sequence[str]
    container: str = "main"
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    volumes: Sequence[Volume] = ()
    pool: NodePoolConfig = field(default_factory=NodePoolConfig)
    service_account: str | None = None
    nodes: int = 1
    runtime: str | None = None
    deadline_seconds: int | None = None
    backoff: int = 0
    metadata: ObjectMetadata = field(default_factory=ObjectMetadata)

    @property
    def kind(self) -> Kind:
        """Job or TrainJob."""
        return JOB if self.nodes == 1 else TRAIN_JOB

    @property
    def primary_container(self) -> str:
        """Name of the container that executes the command."""
        return self.container if self.kind is JOB else _TRAIN_JOB_CONTAINER

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the Job and its pods."""
        return {**self.metadata.labels, KEY_LABEL: key_label(self.key)}


def key_label(key: str) -> str:
    """The value of `KEY_LABEL` for a key."""
    return digest_bytes(key.encode())[:32]


def job_manifest(spec: JobSpec) -> Manifest:
    """The Job or TrainJob; its pods meet the Pod Security Standard `restricted`."""
    body = _job(spec) if spec.kind is JOB else _train_job(spec)
    if spec.deadline_seconds is not None:
        body["activeDeadlineSeconds"] = spec.deadline_seconds
    queue = {} if spec.pool.queue is None else {QUEUE_LABEL: spec.pool.queue}
    metadata: Manifest = {"labels": {**spec.labels, **queue}}
    if spec.name:
        metadata["name"] = spec.name
    if spec.metadata.annotations:
        metadata["annotations"] = dict(spec.metadata.annotations)
    if spec.metadata.owner is not None:
        metadata["ownerReferences"] = [dict(spec.metadata.owner)]
    return {"apiVersion": spec.kind.api_version, "kind": spec.kind.name, "metadata": metadata, "spec": body}


def _job(spec: JobSpec) -> Manifest:
    """The fields of a Job. A pod that is lost with a spot node is started again without counting as a failure."""
    container: Manifest = {
        "name": spec.container,
        "image": spec.image,
        "command": list(spec.command),
        "env": _environment(spec),
        "resources": _resources(spec.pool),
        **_container_fields(spec),
    }
    if spec.secrets:
        container["envFrom"] = [{"secretRef": {"name": name}} for name in spec.secrets]
    pod = {"restartPolicy": "Never", "containers": [container], **_pod_fields(spec)}
    fields: Manifest = {
        "backoffLimit": spec.backoff,
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "template": {"metadata": {"labels": spec.labels}, "spec": pod},
    }
    if spec.pool.spot:
        disrupted = {"type": "DisruptionTarget", "status": "True"}
        fields["podFailurePolicy"] = {"rules": [{"action": "Ignore", "onPodConditions": [disrupted]}]}
    return fields


def _train_job(spec: JobSpec) -> Manifest:
    """The fields of a TrainJob, for Kubeflow Trainer 2.2 (`runtimePatches`).

    Its runtime brings the variables with which the pods find each other, and decides what follows the loss of a node.
    """
    pod = {**_pod_fields(spec), "containers": [{"name": _TRAIN_JOB_CONTAINER, **_container_fields(spec)}]}
    template = {"metadata": {"labels": spec.labels}, "spec": pod}
    replicated = {"name": _TRAIN_JOB_CONTAINER, "template": {"spec": {"template": template}}}
    patch = {"template": {"spec": {"replicatedJobs": [replicated]}}}
    return {
        "runtimeRef": {"name": spec.runtime},
        "trainer": {
            "image": spec.image,
            "command": list(spec.command),
            "env": _environment(spec),
            "numNodes": spec.nodes,
            "resourcesPerNode": _resources(spec.pool),
        },
        "runtimePatches": [{"manager": "podium.kubeflow.org/jobs", "trainingRuntimeSpec": patch}],
    }


def _resources(pool: NodePoolConfig) -> Manifest:
    """Requests and limits: processors are not limited; memory and devices are limited to what is requested."""
    device = {} if pool.device is None else {pool.device: str(pool.devices)}
    return {
        "requests": {"cpu": pool.cpu, "memory": pool.memory, **device},
        "limits": {"memory": pool.memory, **device},
    }


def _pod_fields(spec: JobSpec) -> Manifest:
    """The fields of a pod that say where it runs, as whom, and with which volumes."""
    pool = spec.pool
    taints = (*pool.tolerations, *(_SPOT_TAINTS if pool.spot else ()))
    fields: Manifest = {
        "serviceAccountName": spec.service_account,
        "nodeSelector": dict(pool.selector),
        "tolerations": [_toleration(taint) for taint in taints],
        "priorityClassName": pool.priority_class,
        "volumes": [{"name": volume.name, **volume.source} for volume in _volumes(spec)],
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {"securityContext": security, **{name: value for name, value in fields.items() if value}}


def _container_fields(spec: JobSpec) -> Manifest:
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    mounts = [{"name": volume.name, "mountPath": volume.path} for volume in _volumes(spec)]
    return {"securityContext": security, **({"volumeMounts": mounts} if mounts else {})}


def _volumes(spec: JobSpec) -> list[Volume]:
    size = spec.pool.shared_memory
    memory = {"emptyDir": {"medium": "Memory", "sizeLimit": size}}
    return [*([] if size is None else [Volume("shm", "/dev/shm", memory)]), *spec.volumes]


def _environment(spec: JobSpec) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in spec.environment.items()]


def _toleration(taint: str) -> dict[str, Any]:
    match = _TAINT.fullmatch(taint)
    assert match is not None, taint
    value, effect = match["value"], match["effect"]
    toleration = {"key": match["key"], "operator": "Exists" if value is None else "Equal"}
    if value is not None:
        toleration["value"] = value
    return toleration if effect is None else {**toleration, "effect": effect}

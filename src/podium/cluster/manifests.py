"""What a Job executes and where, as a Job or TrainJob that Kubernetes accepts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from podium.cluster.client import JOB, TRAIN_JOB, Kind, Manifest, ObjectMetadata
from podium.cluster.inherited import NOTHING, Inherited
from podium.config.cluster import ClusterConfig, NodePoolConfig
from podium.keys import digest_bytes

KEY_LABEL = "podium/key"
"""Label of Jobs and their pods: the first digits of the digest of their key."""

_UNMESHED: Mapping[str, str] = {"sidecar.istio.io/inject": "false"}
"""Label of pods that get no sidecar of Istio, as namespaces of Kubeflow add one: it would keep them from their end."""

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
KEPT_SECONDS = 3600
"""How long a Job that ended is kept, so that its log and the reason of its end can be read."""

RESTRICTED: Mapping[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""What the Pod Security Standard `restricted` asks of a container."""

_POD_SECURITY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}

_TRAIN_JOB_CONTAINER = "node"
"""Name that the runtimes of Kubeflow Trainer give to the container that works, and to its replicated job."""

_SPOT_TAINTS = ("cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority")
"""Taints of nodes that a cloud may take away. Where they do not exist, tolerating them has no effect."""

_TAINT = re.compile(r"(?P<key>[^=:]+)(?:=(?P<value>[^:]*))?(?::(?P<effect>\w+))?")


@dataclass(frozen=True)
class JobSpec:
    """A Job of one pod, or with several nodes a TrainJob.

    Attributes:
        config: what all Jobs share: image, service account, secrets, volume and the runtime of TrainJobs.
        name: of the Job; empty in a template, whose copies get names of their own.
        key: identifies the work: an existing Job is adopted if it has the same name and key.
        container: name of the container of a Job; in a TrainJob its runtime gives the name.
        pool: the nodes it runs on, and what a pod takes of one.
        nodes: number of pods that work together.
        deadline_seconds: how long it may take; None for no limit.
        security: security context of the container. Another than `RESTRICTED`, such as one with capabilities for a
            profiler, is refused in namespaces that enforce that standard.
        metadata: labels (which its pods carry, too), annotations and owner.
        inherited: what its pods get beside all this from the pod that creates it.
    """

    config: ClusterConfig
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    key: str = ""
    container: str = "main"
    pool: NodePoolConfig = field(default_factory=NodePoolConfig)
    nodes: int = 1
    deadline_seconds: int | None = None
    security: Mapping[str, Any] = field(default_factory=lambda: RESTRICTED)
    metadata: ObjectMetadata = field(default_factory=ObjectMetadata)
    inherited: Inherited = NOTHING

    @property
    def kind(self) -> Kind:
        return JOB if self.nodes == 1 else TRAIN_JOB

    @property
    def primary_container(self) -> str:
        """Name of the container that executes the command."""
        return self.container if self.kind is JOB else _TRAIN_JOB_CONTAINER


def key_label(key: str) -> str:
    """The value of `KEY_LABEL` for a key."""
    return digest_bytes(key.encode())[:32]


def job_manifest(spec: JobSpec) -> Manifest:
    """The Job or TrainJob; its pods meet the Pod Security Standard `restricted`, unless `security` is less strict."""
    kind = spec.kind
    labels = {**spec.metadata.labels, KEY_LABEL: key_label(spec.key)}
    work = {
        "image": spec.config.image,
        "command": list(spec.command),
        "env": _environment(spec),
    }
    template = {"metadata": {"labels": {**_UNMESHED, **spec.inherited.labels, **labels}}, "spec": _pod(spec)}
    body = _job(spec, template, work) if kind is JOB else _train_job(spec, template, work)
    if spec.deadline_seconds is not None:
        body["activeDeadlineSeconds"] = spec.deadline_seconds
    metadata = {
        "name": spec.name,
        "labels": labels if spec.pool.queue is None else {**labels, QUEUE_LABEL: spec.pool.queue},
        "annotations": dict(spec.metadata.annotations),
        "ownerReferences": None if spec.metadata.owner is None else [dict(spec.metadata.owner)],
    }
    given = {name: value for name, value in metadata.items() if value}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": given, "spec": body}


def _job(spec: JobSpec, template: Manifest, work: Manifest) -> Manifest:
    """The fields of a Job. A pod that is lost with a spot node is started again without counting as a failure.

    The pod asks the API server for nothing, so it gets no token of its service account, which may do more.
    """
    (container,) = template["spec"]["containers"]
    container |= {**work, "resources": _resources(spec.pool)}
    own = ({"secretRef": {"name": name}} for name in spec.config.secrets)
    if secrets := {one["secretRef"]["name"]: dict(one) for one in (*spec.inherited.secrets, *own)}:
        container["envFrom"] = list(secrets.values())
    template["spec"] |= {"restartPolicy": "Never", "automountServiceAccountToken": False, "enableServiceLinks": False}
    fields: Manifest = {"backoffLimit": 0, "ttlSecondsAfterFinished": KEPT_SECONDS, "template": template}
    if spec.pool.spot:
        disrupted = {"type": "DisruptionTarget", "status": "True"}
        fields["podFailurePolicy"] = {"rules": [{"action": "Ignore", "onPodConditions": [disrupted]}]}
    return fields


def _train_job(spec: JobSpec, template: Manifest, work: Manifest) -> Manifest:
    """The fields of a TrainJob, for Kubeflow Trainer 2.2 (`runtimePatches`), which takes no `envFrom`.

    Its runtime brings the variables with which the pods find each other, and decides what follows the loss of a node.
    """
    replicated = {"name": _TRAIN_JOB_CONTAINER, "template": {"spec": {"template": template}}}
    patch = {"template": {"spec": {"replicatedJobs": [replicated]}}}
    return {
        "runtimeRef": {"name": spec.config.runtime},
        "trainer": {**work, "numNodes": spec.nodes, "resourcesPerNode": _resources(spec.pool)},
        "runtimePatches": [{"manager": "podium.kubeflow.org/jobs", "trainingRuntimeSpec": patch}],
    }


def _environment(spec: JobSpec) -> list[Manifest]:
    """The variables of a container; its own take precedence over inherited ones."""
    own = [{"name": name, "value": value} for name, value in spec.environment.items()]
    return [*(dict(item) for item in spec.inherited.environment if item["name"] not in spec.environment), *own]


def _resources(pool: NodePoolConfig) -> Manifest:
    """Requests and limits: processors are not limited; memory and devices are limited to what is requested."""
    device = {} if pool.device is None else {pool.device: str(pool.devices)}
    return {
        "requests": {"cpu": pool.cpu, "memory": pool.memory, **device},
        "limits": {"memory": pool.memory, **device},
    }


def _pod(spec: JobSpec) -> Manifest:
    """The fields of a pod that say where it runs, as whom, and with which volumes."""
    config, pool, given = spec.config, spec.pool, spec.inherited
    container: Manifest = {"name": spec.primary_container, "securityContext": dict(spec.security)}
    volumes: list[Manifest] = []
    mounts: list[Manifest] = []
    if pool.shared_memory is not None:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": pool.shared_memory}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    if config.volume_claim is not None:
        volumes.append({"name": "shared", "persistentVolumeClaim": {"claimName": config.volume_claim}})
        mounts.append({"name": "shared", "mountPath": config.volume_path})
    taints = [_toleration(taint) for taint in (*pool.tolerations, *(_SPOT_TAINTS if pool.spot else ()))]
    fields: Manifest = {
        "containers": [{**container, "volumeMounts": mounts} if mounts else container],
        "securityContext": _POD_SECURITY,
        "serviceAccountName": config.service_account or given.service_account,
        "imagePullSecrets": list(given.pull_secrets),
        "nodeSelector": {**given.selector, **pool.selector},
        "tolerations": [*map(dict, given.tolerations), *taints],
        "priorityClassName": pool.priority_class,
        "volumes": volumes,
    }
    return {name: value for name, value in fields.items() if value}


def _toleration(taint: str) -> dict[str, Any]:
    match = _TAINT.fullmatch(taint)
    assert match is not None, taint
    fields = {**match.groupdict(), "operator": "Exists" if match["value"] is None else "Equal"}
    return {name: value for name, value in fields.items() if value is not None}

"""What runs on a node pool: pod templates, Jobs and TrainJobs made from its profile."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from podium.cluster.resources import JOB, TRAIN_JOB, Manifest
from podium.config.cluster import ClusterConfig, NodePoolConfig

CONTAINER = "trial"
"""Name of the container that trains, in a Job."""

TRAIN_JOB_CONTAINER = "node"
"""Name of the container that trains, and of its replicated job, in the runtimes of Kubeflow Trainer."""

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
KEPT_SECONDS = 3600
"""How long a Job that ended is kept, so that its log and the reason of its end can be read."""

_SPOT_TAINTS = ("cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority")
"""Taints that clouds put on nodes which may be taken away; where they do not exist, tolerating them does nothing."""

_TAINT = re.compile(r"(?P<key>[^=:]+)(?:=(?P<value>[^:]*))?(?::(?P<effect>\w+))?")


@dataclass(frozen=True)
class Command:
    """What a pod executes.

    Attributes:
        arguments: of Python, which starts by itself or, with several nodes, by torchrun.
        environment: variables by name.
        labels: of the pod.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def trial_manifest(config: ClusterConfig, command: Command) -> Manifest:
    """A Job, or for several nodes a TrainJob, without name and namespace, that executes `command` on the trial pool."""
    return job(config, command) if config.trial_nodes == 1 else train_job(config, command)


def job(config: ClusterConfig, command: Command) -> Manifest:
    """A Job of one pod that is started once; where nodes may be taken away, again for each time one was.

    The pod meets the `restricted` Pod Security Standard.
    """
    pool = config.pool
    spec: Manifest = {
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "template": {"metadata": {"labels": dict(command.labels)}, "spec": pod_spec(config, command)},
    }
    if config.trial_seconds is not None:
        spec["activeDeadlineSeconds"] = config.trial_seconds
    if pool.spot:
        disrupted = {"type": "DisruptionTarget", "status": "True"}
        spec["podFailurePolicy"] = {"rules": [{"action": "Ignore", "onPodConditions": [disrupted]}]}
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.name,
        "metadata": {"labels": {**command.labels, **_queue(pool)}},
        "spec": spec,
    }


def train_job(config: ClusterConfig, command: Command) -> Manifest:
    """A TrainJob of `trial_nodes` pods of the runtime, which brings the variables of the rendezvous.

    Needs Kubeflow Trainer 2.2 (`runtimePatches`). What to do when a node is taken away is up to the runtime.
    """
    pool = config.pool
    pod = _placement(config)
    mounts = _mounts(config)
    secured: Manifest = {"name": TRAIN_JOB_CONTAINER, "securityContext": _container_security()}
    pod["containers"] = [{**secured, "volumeMounts": mounts} if mounts else secured]
    template = {"metadata": {"labels": dict(command.labels)}, "spec": pod}
    replicated = {"name": TRAIN_JOB_CONTAINER, "template": {"spec": {"template": template}}}
    spec: Manifest = {
        "runtimeRef": {"name": config.runtime},
        "trainer": {
            "image": config.image,
            "command": ["torchrun", *command.arguments],
            "env": _environment(command),
            "numNodes": config.trial_nodes,
            "resourcesPerNode": resources(pool),
        },
        "runtimePatches": [
            {
                "manager": "podium.kubeflow.org/trials",
                "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [replicated]}}},
            }
        ],
    }
    if config.trial_seconds is not None:
        spec["activeDeadlineSeconds"] = config.trial_seconds
    return {
        "apiVersion": TRAIN_JOB.api_version,
        "kind": TRAIN_JOB.name,
        "metadata": {"labels": {**command.labels, **_queue(pool)}},
        "spec": spec,
    }


def pod_spec(config: ClusterConfig, command: Command) -> Manifest:
    """A pod that executes `command` once; its user is the image's, which must be a number other than 0."""
    container: Manifest = {
        "name": CONTAINER,
        "image": config.image,
        "command": ["python", *command.arguments],
        "env": _environment(command),
        "resources": resources(config.pool),
        "securityContext": _container_security(),
    }
    if config.secrets:
        container["envFrom"] = [{"secretRef": {"name": name}} for name in config.secrets]
    if mounts := _mounts(config):
        container["volumeMounts"] = mounts
    return {"restartPolicy": "Never", "containers": [container], **_placement(config)}


def resources(pool: NodePoolConfig) -> Manifest:
    """Requests and limits of a container: processors are not limited, memory and devices are what is requested."""
    device = {} if pool.device is None else {pool.device: str(pool.devices)}
    return {
        "requests": {"cpu": pool.cpu, "memory": pool.memory, **device},
        "limits": {"memory": pool.memory, **device},
    }


def _placement(config: ClusterConfig) -> Manifest:
    """The fields of a pod that say where it runs, as whom, and with which volumes."""
    pool = config.pool
    tolerations = [_toleration(taint) for taint in (*pool.tolerations, *(_SPOT_TAINTS if pool.spot else ()))]
    volumes: list[Manifest] = []
    if pool.shared_memory is not None:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": pool.shared_memory}})
    if config.volume_claim is not None:
        volumes.append({"name": "shared", "persistentVolumeClaim": {"claimName": config.volume_claim}})
    fields: Manifest = {
        "serviceAccountName": config.service_account,
        "nodeSelector": dict(pool.selector),
        "tolerations": tolerations,
        "priorityClassName": pool.priority_class,
        "volumes": volumes,
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {"securityContext": security, **{name: value for name, value in fields.items() if value}}


def _mounts(config: ClusterConfig) -> list[Manifest]:
    shm = [] if config.pool.shared_memory is None else [{"name": "shm", "mountPath": "/dev/shm"}]
    shared = [] if config.volume_claim is None else [{"name": "shared", "mountPath": config.volume_path}]
    return shm + shared


def _container_security() -> Manifest:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _environment(command: Command) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in command.environment.items()]


def _queue(pool: NodePoolConfig) -> dict[str, str]:
    return {} if pool.queue is None else {QUEUE_LABEL: pool.queue}


def _toleration(taint: str) -> dict[str, Any]:
    match = _TAINT.fullmatch(taint)
    assert match is not None, taint
    value, effect = match["value"], match["effect"]
    toleration = {"key": match["key"], "operator": "Exists" if value is None else "Equal"}
    if value is not None:
        toleration["value"] = value
    return toleration if effect is None else {**toleration, "effect": effect}

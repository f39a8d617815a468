"""Jobs of trials on a cluster: their manifests, how they are created, adopted and cancelled, and why they fail."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from podium.cluster.client import (
    JOB,
    POD,
    TRAIN_JOB,
    Cluster,
    Kind,
    Manifest,
    ObjectMetadata,
    condition,
    labels_of,
    name_of,
)
from podium.config.cluster import ClusterConfig, NodePoolConfig
from podium.errors import ClusterError, ComputationFailed, OutOfMemory, ProcessKilled, StudyFailed, TimeLimitExceeded
from podium.execution.ending import signals_ignored
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

COLLECTOR = "metrics-logger-and-collector"
"""Katib's sidecar. It repeats the output of a trial, because Katib redirects the trial's own output into a file."""

_POD_LABELS = {JOB: "batch.kubernetes.io/job-name", TRAIN_JOB: "jobset.sigs.k8s.io/jobset-name"}
"""The label of a pod that names the Job or TrainJob it belongs to."""

_ON_THEIR_WAY = ("ContainerCreating", "PodInitializing")
_PERMANENT = ("InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")
"""Reasons for which a container waits and that do not go away by themselves."""

_DISRUPTIONS = ("Evicted", "Preempting", "Preempted", "NodeLost", "NodeShutdown", "Terminated", "DisruptionTarget")
_RAISE_MEMORY = "raise memory of the node pool, or lower training.batch_size or training.max_length"
_RAISE_DEADLINE = "raise cluster.trial_seconds, or train less"

_log = logging.getLogger(__name__)


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


@dataclass
class Jobs:
    """The Jobs and TrainJobs of the namespace of a client. Use it from one thread.

    Attributes:
        cluster: the client.
        start_seconds: how long a pod may take to start.
        stop_seconds: how long to wait until a deleted Job is gone.
        poll_seconds: time between two looks at what runs.
    """

    cluster: Cluster
    start_seconds: float = 900.0
    stop_seconds: float = 20.0
    poll_seconds: float = 5.0
    _first_seen: dict[str, float] = field(default_factory=dict, init=False)

    def submit(self, spec: JobSpec) -> None:
        """Create a Job, or adopt the one of the same name and key that runs; one that has ended is replaced.

        Raises:
            ClusterError: the cluster refuses it, or a Job of that name has another key.
        """
        manifest, key = job_manifest(spec), key_label(spec.key)

        def check(found: Manifest) -> None:
            other = labels_of(found).get(KEY_LABEL)
            if other != key:
                raise ClusterError(
                    f"{self.cluster.title(spec.kind, spec.name)} must have the label {KEY_LABEL}={key} of the work to "
                    f"be done, but has {other or 'none'}, so it belongs to something else; delete or rename it",
                    status=409,
                )

        found = self.cluster.create_or_adopt(spec.kind, manifest, check)
        if condition(found, "Complete", "Failed"):
            self.cluster.delete(spec.kind, spec.name, wait_seconds=self.stop_seconds)
            self.cluster.create_or_adopt(spec.kind, manifest, check)

    def cancel(self, kind: Kind, names: Iterable[str], key: str) -> None:
        """Delete the Jobs of a key and their pods, undisturbed by further signals, and wait until they are gone."""
        deadline = time.monotonic() + self.stop_seconds
        with signals_ignored():
            try:
                for name in names:
                    found = self.cluster.get(kind, name)
                    if found is not None and labels_of(found).get(KEY_LABEL) == key_label(key):
                        self.cluster.delete(kind, name, wait_seconds=max(0.0, deadline - time.monotonic()))
            except ClusterError as error:
                _log.warning("what runs on the cluster could not be deleted: %s", error)

    def failure(self, job: Manifest, kind: Kind) -> ComputationFailed:
        """Why a Job failed: what its newest pods say, else its own condition.

        Args:
            job: the Job, or an object of the same name that owns it.
            kind: Job or TrainJob.
        """
        title = self.cluster.title(kind, name_of(job))
        try:
            pods = self.cluster.find(POD, f"{_POD_LABELS[kind]}={name_of(job)}")
        except ClusterError as error:
            if error.status != 403:
                raise
            return ComputationFailed(f"{title} failed; why cannot be read: {error}")
        for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True):
            if (found := self._pod_failure(pod, CONTAINERS[kind])) is not None:
                return found
        failed = condition(job, "Failed")
        if failed is None:
            return ProcessKilled(f"{title}: its pod is gone, and nothing says why")
        said = f"{title}: {failed.get('reason', '')}: {failed.get('message', '')}"
        if failed.get("reason") == "DeadlineExceeded":
            return TimeLimitExceeded(f"{said}; {_RAISE_DEADLINE}")
        return ComputationFailed(said)

    def _pod_failure(self, pod: Manifest, container: str) -> ComputationFailed | None:
        status, title = pod.get("status") or {}, self.cluster.title(POD, name_of(pod))
        containers = _containers(status)
        for item in containers:
            # A container that was started again has the reason in its last state.
            states = (item.get("state") or {}, item.get("lastState") or {})
            if any((state.get("terminated") or {}).get("reason") == "OOMKilled" for state in states):
                return OutOfMemory(
                    f"a Job must fit into the memory of its pod, but container {item['name']} of {title} was "
                    f"OOMKilled; {_RAISE_MEMORY}"
                )
        reason = status.get("reason")
        if reason == "DeadlineExceeded":
            return TimeLimitExceeded(f"{title}: DeadlineExceeded; {_RAISE_DEADLINE}")
        disrupted = condition(pod, "DisruptionTarget") or (status if reason in _DISRUPTIONS else None)
        if disrupted is not None:
            return ProcessKilled(f"{title}: {disrupted.get('reason')}: {disrupted.get('message', '')}")
        for item in containers:
            code = ((item.get("state") or {}).get("terminated") or {}).get("exitCode", 0)
            if item["name"] == container and code != 0:
                logs = (self.cluster.log_tail(name_of(pod), name) for name in (container, COLLECTOR))
                tail = "".join(f"\n  | {line}" for line in next(filter(None, logs), []))
                return ComputationFailed(f"{title}: container {container} ended with exit code {code}{tail}")
        return None

    def check_started(self, selector: str) -> None:
        """Raise StudyFailed for a pod that cannot start at all, or has not started in time since it was first seen."""
        for pod in self.cluster.find(POD, selector):
            if (found := _obstacle(pod)) is None:
                continue
            reason, message = found
            title, now = self.cluster.title(POD, name_of(pod)), time.monotonic()
            seconds = now - self._first_seen.setdefault(name_of(pod), now)
            if reason in _PERMANENT or seconds > self.start_seconds:
                raise StudyFailed(
                    f"{title} must start within cluster.start_seconds={self.start_seconds:g}, but after "
                    f"{seconds:.0f} s: {reason}: {message}; correct image, secrets or node pool in the section "
                    "cluster, and run the same command again"
                )
            _log.info("%s does not start yet: %s: %s", title, reason, message)

    def log_command(self, kind: Kind, name: str) -> str:
        """The command that shows the output of a Job."""
        selector = f"{_POD_LABELS[kind]}={name}"
        return f"kubectl logs -n {self.cluster.namespace} -l {selector} --all-containers --tail=-1"


def _containers(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Statuses of the containers of a pod, those that initialise it first."""
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _obstacle(pod: Manifest) -> tuple[str, str] | None:
    """Why a pod does not start, as Kubernetes' word and sentence; None if it runs, has ended, or is being started."""
    status = pod.get("status") or {}
    if status.get("phase", "Pending") != "Pending" or pod["metadata"].get("deletionTimestamp"):
        return None
    for item in status.get("conditions") or ():
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            return item.get("reason") or "Unschedulable", item.get("message", "")
    for item in _containers(status):
        waiting = (item.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in _ON_THEIR_WAY:
            return waiting["reason"], waiting.get("message", "")
    return None

"""Why a pod does not start or a Job has failed, as typed errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podium.cluster.client import Cluster
from podium.cluster.resources import Manifest, condition, container_states, name_of
from podium.errors import ClusterError, ComputationFailed, OutOfMemory, ProcessKilled, TimeLimitExceeded

_ON_THEIR_WAY = ("ContainerCreating", "PodInitializing")
_PERMANENT = ("InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")
"""Reasons for which a container waits and that do not go away by themselves."""

_DISRUPTIONS = ("Evicted", "Preempting", "Preempted", "NodeLost", "NodeShutdown", "Terminated", "DisruptionTarget")


class JobNotStarted(ClusterError):
    """A pod of a Job does not start.

    Attributes:
        reason: the word of Kubernetes for it: `Unschedulable`, `ImagePullBackOff`, `CreateContainerConfigError`.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message, status=422)
        self.reason = reason


@dataclass(frozen=True)
class Advice:
    """What the user of a Job can do when it fails, in the words of their configuration.

    Attributes:
        memory: after OOMKilled.
        deadline: after DeadlineExceeded.
        start: where a pod does not start.
        start_limit: name of the setting that limits how long a pod may take to start.
    """

    memory: str = "raise the memory of the node pool"
    deadline: str = "raise the deadline of the Job"
    start: str = "correct the image, the secrets or the node pool"
    start_limit: str = "start_seconds"


@dataclass(frozen=True)
class Obstacle:
    """Why a pod does not start.

    Attributes:
        pod: its name.
        reason: the word of Kubernetes: `Unschedulable`, `ImagePullBackOff`.
        message: what the scheduler or the kubelet says.
        permanent: whether it cannot go away by itself.
    """

    pod: str
    reason: str
    message: str
    permanent: bool


def obstacle(pod: Manifest) -> Obstacle | None:
    """What keeps a pod from starting; None for a pod that runs, has ended, or is being started."""
    status = pod.get("status") or {}
    if status.get("phase", "Pending") != "Pending" or pod["metadata"].get("deletionTimestamp"):
        return None
    for item in status.get("conditions") or ():
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            return Obstacle(name_of(pod), item.get("reason") or "Unschedulable", item.get("message", ""), False)
    for _, state in container_states(pod):
        waiting = state.get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason and reason not in _ON_THEIR_WAY:
            return Obstacle(name_of(pod), reason, waiting.get("message", ""), reason in _PERMANENT)
    return None


def failure(
    cluster: Cluster, pods: Iterable[Manifest], job: Manifest, title: str, containers: Sequence[str], advice: Advice
) -> ComputationFailed:
    """Why a Job failed: what its newest pods say, else its own condition.

    Args:
        cluster: where logs are read.
        pods: the pods that still exist.
        job: a Job, TrainJob, or what owns it.
        title: of the Job, for the message.
        containers: the container that works, and others whose log repeats its output where it has none of its own.
        advice: what the user can do.
    """
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True):
        if (found := _pod_failure(cluster, pod, containers, advice)) is not None:
            return found
    failed = condition(job, "Failed") or {}
    if failed.get("reason") == "DeadlineExceeded":
        return TimeLimitExceeded(f"{title}: DeadlineExceeded: {failed.get('message', '')}; {advice.deadline}")
    if failed:
        return ComputationFailed(f"{title}: {failed.get('reason', '')}: {failed.get('message', '')}")
    return ProcessKilled(f"{title}: its pod is gone, and nothing says why")


def _pod_failure(
    cluster: Cluster, pod: Manifest, containers: Sequence[str], advice: Advice
) -> ComputationFailed | None:
    status, title = pod.get("status") or {}, f"Pod {cluster.namespace}/{name_of(pod)}"
    states = container_states(pod)
    for name, state in states:
        if (state.get("terminated") or state["last"].get("terminated") or {}).get("reason") == "OOMKilled":
            return OutOfMemory(
                f"a Job must fit into the memory of its pod, but container {name} of {title} was OOMKilled; "
                f"{advice.memory}"
            )
    if status.get("reason") == "DeadlineExceeded":
        return TimeLimitExceeded(f"{title}: DeadlineExceeded; {advice.deadline}")
    if (disruption := _disruption(status)) is not None:
        return ProcessKilled(f"{title}: {disruption}")
    for name, state in states:
        code = (state.get("terminated") or {}).get("exitCode", 0)
        if name == containers[0] and code != 0:
            logs = (cluster.log_tail(name_of(pod), container) for container in containers)
            tail = "".join(f"\n  | {line}" for line in next(filter(None, logs), []))
            return ComputationFailed(f"{title}: container {name} ended with exit code {code}{tail}")
    return None


def _disruption(status: Mapping[str, Any]) -> str | None:
    """Why a pod was taken away from its node, if it was."""
    for item in status.get("conditions") or ():
        if item.get("type") == "DisruptionTarget" and item.get("status") == "True":
            return f"{item.get('reason')}: {item.get('message', '')}"
    reason = status.get("reason")
    return f"{reason}: {status.get('message', '')}" if reason in _DISRUPTIONS else None

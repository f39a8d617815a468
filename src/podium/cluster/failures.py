"""Why a pod does not start or has failed, in the words of Podium's errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from podium.cluster.client import Cluster
from podium.cluster.resources import Manifest, condition, name_of
from podium.errors import ComputationFailed, OutOfMemory, ProcessKilled, TimeLimitExceeded

COLLECTOR = "metrics-logger-and-collector"
"""Katib's sidecar; it repeats the output of the trial, whose own stream Katib redirects into a file."""

_OWN_FAULT = {"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"}
"""Reasons of waiting that no patience cures."""

_LOST = {"Evicted", "Preempting", "Preempted", "NodeLost", "NodeShutdown", "Terminated", "DisruptionTarget"}


@dataclass(frozen=True)
class Obstacle:
    """Why a pod does not start.

    Attributes:
        pod: its name.
        reason: a stable word: `Unschedulable`, `ImagePullBackOff`.
        message: of the scheduler or the kubelet.
        lasting: whether it cannot go away by itself.
    """

    pod: str
    reason: str
    message: str
    lasting: bool


def obstacle(pod: Manifest) -> Obstacle | None:
    """What keeps a pod from starting; None for one that runs, has ended, or is on its way."""
    status = pod.get("status") or {}
    if status.get("phase", "Pending") != "Pending" or pod["metadata"].get("deletionTimestamp"):
        return None
    for item in status.get("conditions") or ():
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            return Obstacle(name_of(pod), item.get("reason") or "Unschedulable", item.get("message", ""), lasting=False)
    for container in _containers(status):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason and reason not in ("ContainerCreating", "PodInitializing"):
            return Obstacle(name_of(pod), reason, waiting.get("message", ""), lasting=reason in _OWN_FAULT)
    return None


def failure(cluster: Cluster, pods: Iterable[Manifest], owner: Manifest | None, container: str) -> ComputationFailed:
    """Why a trial failed: from its pods, else from the condition of what owns them.

    Args:
        cluster: where the log is read.
        pods: of the trial, as far as they still exist.
        owner: Job, TrainJob or Trial; None where it is gone.
        container: name of the one that trains.
    """
    newest = sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
    for pod in newest:
        if (found := _pod_failure(cluster, pod, container)) is not None:
            return found
    failed = (owner and condition(owner, "Failed")) or {}
    reason, message = failed.get("reason", ""), failed.get("message", "")
    if reason == "DeadlineExceeded":
        return TimeLimitExceeded(f"DeadlineExceeded: {message}; raise cluster.trial_seconds, or train less")
    if failed:
        return ComputationFailed(f"{reason}: {message}")
    return ProcessKilled("its pod is gone, and nothing tells why")


def _pod_failure(cluster: Cluster, pod: Manifest, container: str) -> ComputationFailed | None:
    status, title = pod.get("status") or {}, f"Pod {cluster.namespace}/{name_of(pod)}"
    for item in _containers(status):
        ended = (item.get("state") or {}).get("terminated") or (item.get("lastState") or {}).get("terminated") or {}
        if ended.get("reason") == "OOMKilled":
            return OutOfMemory(
                f"a training must fit into the memory of its pod, but container {item['name']} of {title} was "
                "OOMKilled; raise memory of the node pool, or lower training.batch_size or training.max_length"
            )
    if status.get("reason") == "DeadlineExceeded":
        return TimeLimitExceeded(f"{title}: DeadlineExceeded; raise cluster.trial_seconds, or train less")
    lost = _loss(status)
    if lost is not None:
        return ProcessKilled(f"{title}: {lost}")
    for item in _containers(status):
        ended = (item.get("state") or {}).get("terminated") or {}
        if item["name"] == container and ended.get("exitCode", 0) != 0:
            lines = cluster.log_tail(name_of(pod), container) or cluster.log_tail(name_of(pod), COLLECTOR)
            tail = "".join(f"\n  | {line}" for line in lines)
            return ComputationFailed(f"{title}: container {container} ended with exit code {ended['exitCode']}{tail}")
    return None


def _loss(status: Mapping[str, Any]) -> str | None:
    """Why a pod was taken away from its node, if it was."""
    for item in status.get("conditions") or ():
        if item.get("type") == "DisruptionTarget" and item.get("status") == "True":
            return f"{item.get('reason')}: {item.get('message', '')}"
    reason = status.get("reason")
    return f"{reason}: {status.get('message', '')}" if reason in _LOST else None


def _containers(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]

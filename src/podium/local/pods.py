"""The pods of a run on Kubeflow Pipelines, as Kubernetes has them: their steps, logs, and what keeps them waiting."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any

from podium.cluster.client import POD, Cluster, ContainerLog, Manifest, name_of
from podium.cluster.jobs import obstacle_of
from podium.cluster.kubeflow import Kubeflow
from podium.errors import ClusterError, InputError
from podium.stages.steps import STEPS
from podium.text import hint

TASKS = (*(step.name for step in STEPS if step.name != "plan"), "reuse", "close")
"""The tasks of the pipeline; others are Kubeflow's own. `reuse` reads all results where every result is stored."""

RUN_LABEL, OWN_LABEL = "pipeline/runid", "podium/kfp-run"
"""Labels with the id of the run: of KFP on its pods, and of Podium on what its steps create."""

ENDED = ("Succeeded", "Failed")
"""The phases that a pod does not leave."""

_NODE_NAME = "workflows.argoproj.io/node-name"
_CONTAINER = "main"
_SHORT_SILENCE = 2.0
_LONG_SILENCE = 30.0
_LOOK_SECONDS, _START_SECONDS = 10.0, 20.0
_ERROR = re.compile(r"podium\.errors\.\w+: (.*)")
_OF_KUBEFLOW = re.compile(r"[IWEF]\d{4} |time=")
_ERROR_LINES = 200


def pods_of(server: Kubeflow, run: Any) -> tuple[Cluster, list[Manifest]]:
    """The pods of a run that are there still, with the cluster that they are in.

    Raises:
        ClusterError: there is no cluster within reach, or its pods may not be listed.
    """
    cluster = Cluster.connect(namespace_of(server, run)).once()
    return cluster, cluster.find(POD, f"{RUN_LABEL}={run.run_id}")


def namespace_of(server: Kubeflow, run: Any) -> str:
    """Where the pods of a run are: its profile, or the namespace of a Kubeflow of one user."""
    experiment = server.client.get_experiment(experiment_id=run.experiment_id)
    return str(experiment.namespace or server.namespace or "kubeflow")


def step_of(pod: Manifest) -> str:
    """The step that a pod runs: the task around its executor; empty for pods of Kubeflow's own."""
    parts = str((pod["metadata"].get("annotations") or {}).get(_NODE_NAME, "")).split(".")
    inside = [number for number, part in enumerate(parts) if part.startswith("executor")]
    return parts[inside[-1] - 1].partition("(")[0] if inside and inside[-1] else ""


def logs(server: Kubeflow, run: Any, step: str, *, wait: bool) -> Iterator[str]:
    """The logs of the pods of a run that are there still, each line with its step.

    Args:
        step: of this step only; empty for all.
        wait: follow the logs of pods that run until they end.

    Raises:
        InputError: there is no such step, or none of its pods is left.
    """
    if step and step not in TASKS:
        raise InputError(f"STEP is a step of the pipeline, but got {step!r}{hint(step, TASKS)}")
    cluster, found = pods_of(server, run)
    pods = [pod for pod in found if step_of(pod) and step in ("", step_of(pod)) and _started(pod)]
    if not pods:
        of_step = f" of step {step}" if step else ""
        raise InputError(
            f"run {run.run_id} has no pod{of_step} in namespace {cluster.namespace} any more, or not yet; "
            "Podium keeps no logs on a cluster, but Kubeflow's UI shows those that are archived: "
            f"{server.link('runs', run.run_id)}"
        )
    for pod in sorted(pods, key=_created):
        log, title = ContainerLog(cluster, name_of(pod), _CONTAINER), step_of(pod)
        ended = pod["status"].get("phase") in ENDED
        while not log.complete:
            for line in log.read_on(ended, _LONG_SILENCE if wait or ended else _SHORT_SILENCE):
                yield f"{title:<10} {line}"
            if not wait and not ended:
                break
            now = cluster.get(POD, name_of(pod))
            ended = now is None or now["status"].get("phase") in ENDED


def _started(pod: Manifest) -> bool:
    return any("waiting" not in one.get("state", {}) for one in pod.get("status", {}).get("containerStatuses") or ())


@dataclass
class PodWatch:
    """What Kubernetes says of the pods of a run that is followed; nothing where it is out of reach."""

    server: Kubeflow
    _cluster: Cluster | None = field(default=None, init=False)
    _next: float = field(default=0.0, init=False)
    _first_seen: dict[tuple[str, str], float] = field(default_factory=dict, init=False)
    _told: set[tuple[str, str]] = field(default_factory=set, init=False)

    def pods(self, run: Any, *, at_once: bool) -> list[Manifest]:
        """The pods of the run, the oldest first; none where they cannot be seen, or were looked at a moment ago."""
        if time.monotonic() < self._next and not at_once:
            return []
        self._next = time.monotonic() + _LOOK_SECONDS
        try:
            self._cluster = self._cluster or Cluster.connect(namespace_of(self.server, run)).once()
            found = self._cluster.find(POD, f"{RUN_LABEL}={run.run_id}")
        except ClusterError:
            return []
        return sorted(found, key=_created)

    def obstacles(self, pods: list[Manifest]) -> Iterator[tuple[str, str]]:
        """Step and reason of what does not start for a while; each reason is given once."""
        for pod in pods:
            found = obstacle_of(pod)
            if found is None:
                continue
            known = name_of(pod), found[0]
            since = self._first_seen.setdefault(known, time.monotonic())
            if known not in self._told and (found[2] or time.monotonic() - since >= _START_SECONDS):
                self._told.add(known)
                yield step_of(pod) or "driver", f"does not start: {found[0]}: {found[1]}"

    def cause(self, pods: list[Manifest], step: str) -> str:
        """What Podium said at the end of the newest pod of a step that failed; empty where that cannot be seen."""
        failed = [pod for pod in pods if step_of(pod) == step and pod["status"].get("phase") == "Failed"]
        if not failed or self._cluster is None:
            return ""
        lines = self._cluster.log_tail(name_of(failed[-1]), _CONTAINER, _ERROR_LINES)
        starts = [number for number, line in enumerate(lines) if _ERROR.match(line)]
        if not starts:
            return ""
        first, *rest = lines[starts[-1] :]
        return "\n".join([_ERROR.sub(r"\1", first), *takewhile(lambda line: not _OF_KUBEFLOW.match(line), rest)])


def times_of(pod: Manifest) -> tuple[datetime | None, datetime | None]:
    """When a pod was started, and when its main container ended."""
    status = pod.get("status") or {}
    states = [one.get("state") or {} for one in status.get("containerStatuses") or () if one["name"] == _CONTAINER]
    end = next(((state.get("terminated") or {}).get("finishedAt") for state in states), None)
    start = status.get("startTime")
    return tuple(datetime.fromisoformat(one) if one else None for one in (start, end))  # type: ignore[return-value]


def _created(pod: Manifest) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))

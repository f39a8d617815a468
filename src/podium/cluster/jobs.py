"""Runs Jobs on a cluster: created or adopted by key, followed with their output, cancelled, and their failures read."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from podium.cluster.client import (
    EVENT,
    JOB,
    POD,
    TRAIN_JOB,
    Cluster,
    ContainerLog,
    Kind,
    Manifest,
    condition,
    labels_of,
    name_of,
)
from podium.cluster.manifests import KEY_LABEL, JobSpec, job_manifest, key_label
from podium.errors import ClusterError, ComputationFailed, JobNotStarted, OutOfMemory, ProcessKilled, TimeLimitExceeded
from podium.execution.ending import signals_ignored, sigterm_unwinds

_POD_LABELS = {JOB: "batch.kubernetes.io/job-name", TRAIN_JOB: "jobset.sigs.k8s.io/jobset-name"}
"""The label of a pod that names the Job or TrainJob it belongs to."""

_ON_THEIR_WAY = ("ContainerCreating", "PodInitializing")
_PERMANENT = ("InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")
"""Reasons for which a container waits and that do not go away by themselves."""

REFUSED = re.compile(r"is forbidden: (?!exceeded quota)|is invalid:|denied the request")
"""Answers to the creation of a pod that stay the same. A quota may have room later, and a server come back."""

_DISRUPTIONS = ("Evicted", "Preempting", "Preempted", "NodeLost", "NodeShutdown", "Terminated", "DisruptionTarget")

Obstacle = tuple[str, str, bool]
"""Why a pod does not start: Kubernetes' word and sentence, and whether that cannot go away by itself."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Advice:
    """What a user can do about a Job that was OOMKilled, exceeded its deadline, or does not start, in their words."""

    memory: str = "raise the memory of the node pool"
    deadline: str = "raise the deadline of the Job"
    start: str = "correct image, secrets or node pool, and run the same command again"


@dataclass
class Jobs:
    """The Jobs and TrainJobs of the namespace of a client. Use it from one thread.

    Attributes:
        advice: what the user can do about failures.
        start_seconds: how long a pod may take to start.
        stop_seconds: how long to wait until a deleted Job is gone.
        poll_seconds: time between two looks at what runs, and how long its output may be silent before another look.
    """

    cluster: Cluster
    advice: Advice = Advice()
    start_seconds: float = 900.0
    stop_seconds: float = 20.0
    poll_seconds: float = 5.0
    _first_seen: dict[str, float] = field(default_factory=dict, init=False)

    def run(self, spec: JobSpec, on_line: Callable[[str], None] = lambda line: None) -> None:
        """Execute a Job to its end; one that runs or is complete already is adopted, and one that failed is replaced.

        The Job is cancelled when this process is stopped (KeyboardInterrupt, SIGTERM), when its pods do not start, and
        when `on_line` raises. It is left running when the API server does not answer: the next call adopts it.

        Args:
            on_line: called with every line of the output as it is written, of an adopted Job with those from its start.

        Raises:
            ComputationFailed: the Job failed: OutOfMemory (OOMKilled), TimeLimitExceeded (DeadlineExceeded),
                ProcessKilled (evicted, its node was taken away, or it was deleted), or exit code and last lines.
            JobNotStarted: its pods are refused (quota, Pod Security) or do not start (Unschedulable, ImagePullBackOff).
            ClusterError: the cluster refuses it, or a Job of that name has another key.
        """
        with sigterm_unwinds():
            try:
                self.submit(spec, replaced=("Failed",))
                for line in self.output(spec):
                    on_line(line)
            except BaseException as error:
                unreachable = isinstance(error, ClusterError) and error.status is None
                if not unreachable and not isinstance(error, ComputationFailed):
                    self.cancel(spec.kind, [spec.name], spec.key)
                raise

    def output(self, spec: JobSpec) -> Iterator[str]:
        """Lines of a Job's output as they are written, until it is complete; of a TrainJob that of its first pod.

        Raises:
            ComputationFailed, JobNotStarted, ClusterError: see `run`.
        """
        title, selector = self.cluster.title(spec.kind, spec.name), f"{_POD_LABELS[spec.kind]}={spec.name}"
        followed = selector if spec.kind is JOB else f"{selector},batch.kubernetes.io/job-completion-index=0"
        logs: dict[tuple[str, int], ContainerLog] = {}
        ended_since: float | None = None
        while True:
            # First the Job, then its pods, then their logs: what has ended has written all of its output.
            looked = time.monotonic()
            job = self.cluster.get(spec.kind, spec.name)
            if job is None:
                raise ProcessKilled(f"{title} was deleted before it had ended")
            ended, complete = condition(job, "Complete", "Failed"), True
            for pod in sorted(self.cluster.find(POD, followed), key=_created):
                for item in _containers(pod.get("status") or {}):
                    state = item.get("state") or {}
                    if item["name"] != spec.primary_container or not state.keys() & {"running", "terminated"}:
                        continue
                    start = (name_of(pod), item.get("restartCount", 0))
                    log = logs.setdefault(start, ContainerLog(self.cluster, name_of(pod), item["name"]))
                    if not log.complete:
                        yield from log.read_on("terminated" in state, self.poll_seconds)
                    complete = complete and log.complete
            if ended is None:
                self.check_started(selector, spec, [spec.name])
            else:
                ended_since = ended_since or looked
                if complete or looked - ended_since > self.stop_seconds:
                    if ended["type"] == "Failed":
                        raise self.failure(job, spec)
                    return
            time.sleep(max(0.0, looked + self.poll_seconds - time.monotonic()))

    def submit(self, spec: JobSpec, replaced: Collection[str] = ("Complete", "Failed")) -> None:
        """Create a Job, or adopt the one of the same name and key; one with a condition in `replaced` is replaced.

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
        if condition(found, *replaced):
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

    def failure(self, job: Manifest, spec: JobSpec) -> ComputationFailed:
        """Why a Job failed: what its newest pods say, else its own condition.

        Args:
            job: the Job, or an object of the same name that owns it.
            spec: its spec, or the template of its spec.
        """
        title = self.cluster.title(spec.kind, name_of(job))
        try:
            pods = self.cluster.find(POD, f"{_POD_LABELS[spec.kind]}={name_of(job)}")
        except ClusterError as error:
            if error.status != 403:
                raise
            return ComputationFailed(f"{title} failed; why cannot be read: {error}")
        for pod in sorted(pods, key=_created, reverse=True):
            if (found := self._pod_failure(pod, spec.primary_container)) is not None:
                return found
        failed = condition(job, "Failed")
        if failed is None:
            return ProcessKilled(f"{title}: its pod is gone, and nothing says why")
        said = f"{title}: {failed.get('reason', '')}: {failed.get('message', '')}"
        if failed.get("reason") == "DeadlineExceeded":
            return TimeLimitExceeded(f"{said}; {self.advice.deadline}")
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
                    f"OOMKilled; {self.advice.memory}"
                )
        reason = status.get("reason")
        if reason == "DeadlineExceeded":
            return TimeLimitExceeded(f"{title}: DeadlineExceeded; {self.advice.deadline}")
        disrupted = condition(pod, "DisruptionTarget") or (status if reason in _DISRUPTIONS else None)
        if disrupted is not None:
            return ProcessKilled(f"{title}: {disrupted.get('reason')}: {disrupted.get('message', '')}")
        for item in containers:
            code = ((item.get("state") or {}).get("terminated") or {}).get("exitCode", 0)
            if item["name"] == container and code != 0:
                # Where the output is redirected into a file, as Katib does, a sidecar repeats it.
                names = (container, *(other["name"] for other in containers if other["name"] != container))
                logs = (self.cluster.log_tail(name_of(pod), name) for name in names)
                tail = "".join(f"\n  | {line}" for line in next(filter(None, logs), []))
                return ComputationFailed(f"{title}: container {container} ended with exit code {code}{tail}")
        return None

    def check_started(self, selector: str, spec: JobSpec, names: Collection[str]) -> None:
        """Look for pods that are not created or do not start. The time of each begins when it was first seen here.

        Args:
            spec: spec or template of the Jobs.
            names: Jobs that have not ended.

        Raises:
            JobNotStarted: a pod cannot start at all, or has not started in time.
        """
        pods, now = self.cluster.find(POD, selector), time.monotonic()
        found = {self.cluster.title(POD, name_of(pod)): obstacle_of(pod) for pod in pods}
        counts = Counter(labels_of(pod).get(_POD_LABELS[spec.kind]) for pod in pods)
        if lacking := {name for name in names if counts[name] < spec.nodes}:
            found |= self._refusals(spec, lacking)
        obstacles = {title: obstacle for title, obstacle in found.items() if obstacle is not None}
        self._first_seen = {title: self._first_seen.get(title, now) for title in obstacles}
        for title, (reason, message, permanent) in obstacles.items():
            seconds = now - self._first_seen[title]
            if permanent or seconds > self.start_seconds:
                raise JobNotStarted(
                    f"{title} must start within {self.start_seconds:g} s, but after {seconds:.0f} s: {reason}: "
                    f"{message}; {self.advice.start}"
                )
            level = logging.INFO if seconds else logging.WARNING
            _log.log(level, "%s does not start yet: %s: %s", title, reason, message)

    def _refusals(self, spec: JobSpec, names: Collection[str]) -> dict[str, Obstacle | None]:
        """Why the API server creates no pods for Jobs that lack some, by title of the Job. Only events say so."""
        try:
            events = self.cluster.find(EVENT, fields="involvedObject.kind=Job,reason=FailedCreate")
        except ClusterError as error:
            if error.status != 403:
                raise
            _log.info("whether pods are refused cannot be seen: %s", error)
            return {}
        refusals: dict[str, Obstacle | None] = {}
        for event in sorted(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime"))):
            involved, message = event["involvedObject"], event.get("message", "")
            # The JobSet of a TrainJob has the name of the TrainJob, and one Job for its nodes.
            name = involved["name"].removesuffix("" if spec.kind is JOB else f"-{spec.primary_container}-0")
            job = self.cluster.get(JOB, involved["name"]) if name in names else None
            # There may be another Job of the same name by now, or its pods.
            if job is not None and job["metadata"]["uid"] == involved["uid"] and _lacks_pods(job):
                permanent = REFUSED.search(message) is not None
                refusals[self.cluster.title(spec.kind, name)] = ("FailedCreate", message, permanent)
        return refusals

    def log_command(self, kind: Kind, name: str) -> str:
        """The command that shows the output of a Job."""
        selector = f"{_POD_LABELS[kind]}={name}"
        return f"kubectl logs -n {self.cluster.namespace} -l {selector} --all-containers --tail=-1"


def _created(pod: Manifest) -> str:
    return str(pod["metadata"]["creationTimestamp"])


def _containers(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Statuses of the containers of a pod, those that initialise it first."""
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _lacks_pods(job: Manifest) -> bool:
    status = job.get("status") or {}
    created = sum(status.get(name) or 0 for name in ("active", "succeeded", "failed"))
    return not condition(job, "Complete", "Failed") and created < int(job["spec"].get("parallelism", 1))


def obstacle_of(pod: Manifest) -> Obstacle | None:
    """Why a pod does not start; None if it runs, has ended, or is being started."""
    status = pod.get("status") or {}
    if status.get("phase", "Pending") != "Pending" or pod["metadata"].get("deletionTimestamp"):
        return None
    for item in status.get("conditions") or ():
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            return item.get("reason") or "Unschedulable", item.get("message", ""), False
    for item in _containers(status):
        waiting = (item.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in _ON_THEIR_WAY:
            return waiting["reason"], waiting.get("message", ""), waiting["reason"] in _PERMANENT
    return None

"""Runs Jobs on a cluster: created or adopted by key, followed with their output, cancelled, and their failures read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from podium.cluster.client import Cluster
from podium.cluster.failures import Advice, JobNotStarted, failure, obstacle
from podium.cluster.logs import follow_log
from podium.cluster.manifests import KEY_LABEL, JobSpec, job_manifest, key_label
from podium.cluster.resources import (
    JOB,
    POD,
    TRAIN_JOB,
    Kind,
    Manifest,
    condition,
    container_states,
    labels_of,
    name_of,
    selector_of,
)
from podium.errors import ClusterError, ComputationFailed, ProcessKilled
from podium.execution.signals import signals_ignored, sigterm_unwinds

ENDED = ("Complete", "Failed")
"""Types of the conditions with which a Job or a TrainJob ends."""

_POD_LABELS = {JOB.name: "batch.kubernetes.io/job-name", TRAIN_JOB.name: "jobset.sigs.k8s.io/jobset-name"}
"""The label of a pod that names the Job or TrainJob it belongs to."""

_FIRST_POD = "batch.kubernetes.io/job-completion-index=0"

_log = logging.getLogger(__name__)


class Jobs:
    """The Jobs and TrainJobs of one namespace. Use it from one thread.

    Only Jobs that carry the key of a spec are changed or deleted for it. A failed Job is raised as OutOfMemory (its
    container was OOMKilled), TimeLimitExceeded (DeadlineExceeded), ProcessKilled (evicted, or its node taken away) or
    another ComputationFailed (exit code and last lines of the output). A Job whose pod does not start (Unschedulable,
    ImagePullBackOff, CreateContainerConfigError) is raised as JobNotStarted.
    """

    def __init__(
        self,
        cluster: Cluster,
        advice: Advice | None = None,
        *,
        sidecars: Sequence[str] = (),
        start_seconds: float = 900.0,
        stop_seconds: float = 20.0,
        quiet_seconds: int = 10,
    ) -> None:
        """Work in the namespace of a client.

        Args:
            cluster: the client.
            advice: what the user can do about a failure.
            sidecars: containers whose log repeats the output of the one that works.
            start_seconds: how long a pod may take to start.
            stop_seconds: how long to wait until a deleted Job is gone.
            quiet_seconds: how often to look at a Job from which nothing is heard.
        """
        self.cluster = cluster
        self.advice = advice or Advice()
        self.start_seconds = start_seconds
        self.stop_seconds = stop_seconds
        self.quiet_seconds = quiet_seconds
        self._sidecars = sidecars
        self._first_seen: dict[str, float] = {}

    def submit(self, spec: JobSpec, replaced: Collection[str] = ("Failed",)) -> tuple[Manifest, bool]:
        """Create a Job, or adopt the one of the same name and key.

        Args:
            spec: the Job; it has a name.
            replaced: conditions with which an existing Job is deleted and created again.

        Returns:
            The Job, and whether it was created.

        Raises:
            ClusterError: the cluster refuses it, or a Job of that name has another key.
        """
        manifest, kind, name = job_manifest(spec), spec.kind, spec.name

        def check(found: Manifest) -> None:
            key = labels_of(found).get(KEY_LABEL)
            if key != key_label(spec.key):
                raise ClusterError(
                    f"{self._title(kind, name)} must have the label {KEY_LABEL}={key_label(spec.key)} of the work to "
                    f"be done, but has {key or 'none'}, so it belongs to something else; delete or rename it",
                    status=409,
                )

        found, created = self.cluster.create_or_adopt(kind, manifest, check)
        if not created and condition(found, *replaced):
            self.cluster.delete(kind, name, wait_seconds=self.stop_seconds)
            found, created = self.cluster.create_or_adopt(kind, manifest, check)
        return found, created

    def run(self, spec: JobSpec, on_line: Callable[[str], None] = lambda line: None) -> None:
        """Execute a Job to its end; one that runs or is complete already is adopted, and one that failed is replaced.

        A Job is cancelled when this process is stopped (KeyboardInterrupt, SystemExit, SIGTERM) or its pod does not
        start. It is left running when the API server does not answer: the next call adopts it.

        Args:
            spec: the Job; it has a name.
            on_line: called with every line of its output as it is written; where several pods work together, with
                the output of the first.

        Raises:
            ComputationFailed: the Job failed, or was deleted.
            JobNotStarted: its pod does not start.
            ClusterError: the cluster refuses it, or a Job of that name has another key.
        """
        with sigterm_unwinds():
            try:
                job, created = self.submit(spec)
                if created or not condition(job, "Complete"):
                    for line in self.output(spec):
                        on_line(line)
            except (KeyboardInterrupt, SystemExit, JobNotStarted):
                self.cancel(spec.kind, [spec.name], spec.key)
                raise

    def output(self, spec: JobSpec) -> Iterator[str]:
        """Lines of a Job's output as they are written, until it is complete.

        Raises:
            ComputationFailed, JobNotStarted: see `run`.
        """
        name, read = spec.name, set[str]()
        selector = f"{_POD_LABELS[spec.kind.name]}={name}" + ("" if spec.kind is JOB else f",{_FIRST_POD}")
        following = selector_of({KEY_LABEL: key_label(spec.key)})
        for change in self.cluster.follow(spec.kind, following, self.quiet_seconds):
            job = next((item for item in change.objects if name_of(item) == name), None)
            if (change.type == "listed" and job is None) or (change.type == "deleted" and job is not None):
                raise ProcessKilled(f"{self._title(spec.kind, name)} was deleted before it had ended")
            for pod in self.cluster.find(POD, selector)[0]:
                if name_of(pod) not in read and _has_started(pod, spec.primary_container):
                    read.add(name_of(pod))
                    yield from follow_log(self.cluster, name_of(pod), spec.primary_container, self.quiet_seconds)
            ended = None if job is None else condition(job, *ENDED)
            if job is not None and ended is not None:
                if ended["type"] == "Failed":
                    raise self.failure(job, spec.kind, spec.primary_container)
                return
            self.check_started(selector)

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

    def failure(self, job: Manifest, kind: Kind, container: str) -> ComputationFailed:
        """Why a Job failed, from its pods and its conditions.

        Args:
            job: the Job, or an object of the same name that owns it.
            kind: Job or TrainJob.
            container: the one that works.
        """
        try:
            pods, _ = self.cluster.find(POD, f"{_POD_LABELS[kind.name]}={name_of(job)}")
            containers = (container, *self._sidecars)
            return failure(self.cluster, pods, job, self._title(kind, name_of(job)), containers, self.advice)
        except ClusterError as error:
            if error.status != 403:
                raise
            return ComputationFailed(f"{self._title(kind, name_of(job))} failed; why cannot be read: {error}")

    def check_started(self, selector: str) -> None:
        """Look for pods that do not start. The time of each begins when it was first seen here.

        Raises:
            JobNotStarted: a pod cannot start at all, or has not started in time.
        """
        for found in filter(None, map(obstacle, self.cluster.find(POD, selector)[0])):
            title = f"Pod {self.cluster.namespace}/{found.pod}"
            seconds = time.monotonic() - self._first_seen.setdefault(found.pod, time.monotonic())
            if found.permanent or seconds > self.start_seconds:
                raise JobNotStarted(
                    f"{title} must start within {self.advice.start_limit}={self.start_seconds:g}, but after "
                    f"{seconds:.0f} s: {found.reason}: {found.message}; {self.advice.start}",
                    found.reason,
                )
            _log.info("%s does not start yet: %s: %s", title, found.reason, found.message)

    def log_command(self, kind: Kind, name: str) -> str:
        """The command that shows the output of a Job."""
        selector = f"{_POD_LABELS[kind.name]}={name}"
        return f"kubectl logs -n {self.cluster.namespace} -l {selector} --all-containers --tail=-1"

    def _title(self, kind: Kind, name: str) -> str:
        return f"{kind.name} {self.cluster.namespace}/{name}"


def _has_started(pod: Manifest, container: str) -> bool:
    states = (state for name, state in container_states(pod) if name == container)
    return any("running" in state or "terminated" in state for state in states)

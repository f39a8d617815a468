"""The pods of a study's trials: why they failed, why they do not start, where their output is."""

from __future__ import annotations

import logging
import time

from podium.cluster.client import Cluster
from podium.cluster.failures import failure, obstacle
from podium.cluster.resources import JOB, POD, TRAIN_JOB, Kind, Manifest
from podium.errors import ClusterError, ComputationFailed, StudyFailed
from podium.katib.template import TrialTemplate

_LABELS = {JOB.name: "batch.kubernetes.io/job-name", TRAIN_JOB.name: "jobset.sigs.k8s.io/jobset-name"}
"""Label of a pod that names the Job or TrainJob it belongs to."""

_log = logging.getLogger(__name__)


class TrialPods:
    """Pods of trials that are made from one template.

    Attributes:
        kind: of what a trial is on the cluster.
    """

    def __init__(self, cluster: Cluster, template: TrialTemplate, start_seconds: float) -> None:
        """Look after the pods of a template, which may take `start_seconds` to start."""
        self._cluster = cluster
        self._container = template.primary_container
        self._start_seconds = start_seconds
        self._seen: dict[str, float] = {}
        self.kind: Kind = TRAIN_JOB if template.kind[1] == TRAIN_JOB.name else JOB

    def failure(self, owner: Manifest, name: str) -> ComputationFailed:
        """Why a trial failed, from its pods and what owns them."""
        try:
            pods, _ = self._cluster.find(POD, f"{_LABELS[self.kind.name]}={name}")
            return failure(self._cluster, pods, owner, self._container)
        except ClusterError as error:
            if error.status != 403:
                raise
            return ComputationFailed(f"its pods may not be read: {error}")

    def log_of(self, name: str) -> str:
        """The command that shows the output of a trial."""
        selector = f"{_LABELS[self.kind.name]}={name}"
        return f"kubectl logs -n {self._cluster.namespace} -l {selector} --all-containers --tail=-1"

    def check(self, selector: str) -> None:
        """Look for pods that do not start; each has its time from when it was first seen, whatever the clocks say.

        Raises:
            StudyFailed: one never can, or has had its time.
        """
        for pod in self._cluster.find(POD, selector)[0]:
            found = obstacle(pod)
            if found is None:
                continue
            title = f"Pod {self._cluster.namespace}/{found.pod}"
            seconds = time.monotonic() - self._seen.setdefault(found.pod, time.monotonic())
            if found.lasting or seconds > self._start_seconds:
                raise StudyFailed(
                    f"{title} must start within cluster.start_seconds={self._start_seconds:g}, but after "
                    f"{seconds:.0f} s: {found.reason}: {found.message}; correct image, secrets or node pool in "
                    "the section cluster, and run the same command again"
                )
            _log.info("%s does not start yet: %s: %s", title, found.reason, found.message)

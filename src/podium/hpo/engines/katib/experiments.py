"""The Katib Experiments of one study: found, adopted, given larger budgets, created, deleted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from podium.cluster.client import Cluster
from podium.cluster.resources import EXPERIMENT, NAMESPACE, SUGGESTION, TRIAL, Manifest, condition, name_of
from podium.errors import ClusterError
from podium.hpo.engines.katib.manifests import (
    GENERATION_LABEL,
    LEDGER_ANNOTATION,
    SPEC_ANNOTATION,
    STUDY_LABEL,
    Names,
    budgets_of,
    continued,
    katib_experiment,
    resource_of,
    spec_digest,
)
from podium.hpo.engines.katib.trials import StudyTrials, state_of
from podium.hpo.experiment import Experiment
from podium.katib.experiment import KatibExperiment
from podium.katib.template import TrialTemplate
from podium.katib.trial import EXPERIMENT_LABEL

INJECTION_LABEL = "katib.kubeflow.org/metrics-collector-injection"

_USED_UP = "ExperimentMaxTrialsReached"
_RESTARTABLE = ("FromVolume", "LongRunning")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ObjectMetadata:
    """What Experiments and Jobs carry for others to find.

    Attributes:
        labels: such as the ids of runs.
        annotations: the same, for texts that are no labels.
        owner: reference to the object with which they are to disappear; in the same namespace.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner: Mapping[str, Any] | None = None


class Experiments:
    """The Experiments of one study. Only those that carry its label and name its ledger are changed or deleted.

    Attributes:
        labels: of everything that belongs to the study.
        whole: the study as one Experiment, of which no trial has begun.
    """

    def __init__(
        self,
        cluster: Cluster,
        marks: ObjectMetadata,
        experiment: Experiment,
        place: str,
        names: Names,
        template: TrialTemplate,
    ) -> None:
        self._cluster = cluster
        self._marks = marks
        self._experiment = experiment
        self._place = place
        self._names = names
        self._template = template
        self.labels = {STUDY_LABEL: names.study}
        self.whole = self._katib(continued(experiment, 0, 0, 0), names.base)
        self._digest = spec_digest(resource_of(self.whole, None))

    def title(self, name: str) -> str:
        """`Experiment namespace/name`."""
        return f"Experiment {self._cluster.namespace}/{name}"

    def check_namespace(self) -> None:
        """Check that Katib may run trials in the namespace.

        Raises:
            ClusterError: it does not exist, or lacks the label; the message has the command that helps.
        """
        name = self._cluster.namespace
        try:
            namespace = self._cluster.get(NAMESPACE, name)
        except ClusterError as error:
            if error.status != 403:
                raise
            _log.warning("whether Katib may collect metrics in namespace %s cannot be checked: %s", name, error)
            return
        if namespace is None:
            raise ClusterError(f"Namespace {name} must exist, but does not: kubectl create namespace {name}", 404)
        if (namespace["metadata"].get("labels") or {}).get(INJECTION_LABEL) != "enabled":
            raise ClusterError(
                f"Namespace {name} must have the label {INJECTION_LABEL}=enabled, or Katib collects no metrics there: "
                f"kubectl label namespace {name} {INJECTION_LABEL}=enabled",
                status=422,
            )

    def all(self) -> list[Manifest]:
        """The Experiments of this study, the newest last."""
        found, _ = self._cluster.find(EXPERIMENT, selector_of(self.labels))
        return sorted((item for item in found if _ledger(item) == self._place), key=_generation)

    def get(self, name: str) -> Manifest | None:
        """An Experiment; None for one that is gone or is being deleted."""
        found = self._cluster.get(EXPERIMENT, name)
        return None if found is None or found["metadata"].get("deletionTimestamp") else found

    def adopted(self, book: StudyTrials) -> str | None:
        """Name of the Experiment that goes on, with the budgets of this run; None: there is none.

        Raises:
            ClusterError: it has another spec.
        """
        newest = self._newest()
        if newest is None or is_over(newest):
            return None
        self._check(newest)
        return self._with_budgets(newest, book)

    def restarted(self, book: StudyTrials) -> str | None:
        """Name of the Experiment that used up its budget and got a larger one; None: there is none that can."""
        newest = self._newest()
        ended = newest and condition(newest, "Succeeded")
        if newest is None or not ended or ended.get("reason") != _USED_UP or not self._is_same(newest):
            return None
        return self._with_budgets(newest, book) if newest["spec"].get("resumePolicy") in _RESTARTABLE else None

    def created(self, book: StudyTrials) -> str:
        """Name of an Experiment for what is left of the study.

        It never has the name of an earlier one, whose volume may be there still: Katib refuses that.

        Raises:
            ClusterError: the cluster refuses it, or one of that name belongs to something else.
        """
        known = [self._names.generation(name) for name in book.experiments]
        generation = max([_generation(found) for found in self.all()] + known, default=0) + 1
        name = self._names.experiment(generation)
        left = continued(self._experiment, book.progress.ended, book.progress.failed, book.count)
        manifest = resource_of(self._katib(left, name, {GENERATION_LABEL: str(generation)}), self._marks.owner)
        self._cluster.create_or_adopt(EXPERIMENT, manifest, self._check)
        return name

    def stop(self, wait_seconds: float) -> list[str]:
        """Delete those that go on; the cluster then deletes what they own.

        Not what they own first: for that long Katib would put back what is deleted, and begin further trials.

        Returns:
            Names of their trials that run.
        """
        running: list[str] = []
        for found in self.all():
            if not is_over(found):
                trials, _ = self._cluster.find(TRIAL, f"{EXPERIMENT_LABEL}={name_of(found)}")
                running += [name_of(trial) for trial in trials if state_of(trial) is None]
                self._cluster.delete(EXPERIMENT, name_of(found), wait_seconds=wait_seconds, owned_first=False)
        return running

    def explanation(self, name: str) -> str:
        """What Katib says of the suggestion service of an Experiment, and how to find out more."""
        namespace = self._cluster.namespace
        suggestion = self._cluster.get(SUGGESTION, name)
        failed = suggestion and condition(suggestion, "Failed")
        said = f"Suggestion {namespace}/{name}: {failed.get('message')}; " if failed else ""
        return (
            f"{said}look at: kubectl describe experiment,suggestion -n {namespace} {name}, and, for what keeps its pod "
            f"from being made: kubectl describe replicaset,pod -n {namespace} -l {EXPERIMENT_LABEL}={name}"
        )

    def _newest(self) -> Manifest | None:
        newest = next(reversed(self.all()), None)
        return None if newest is None or newest["metadata"].get("deletionTimestamp") else newest

    def _with_budgets(self, found: Manifest, book: StudyTrials) -> str:
        """Give an Experiment what is left of the study's budgets: its own trials count in them, others do not."""
        name = name_of(found)
        own = book.of(name)
        ended = book.progress.ended - len(own)
        failed = book.progress.failed - sum(trial.status == "failed" for trial in own)
        wanted = budgets_of(resource_of(self._katib(continued(self._experiment, ended, failed, 0), name), None))
        # Katib takes no budget that is used up already; the study then ends by its own count.
        if wanted != budgets_of(found) and wanted["maxTrialCount"] > (found.get("status") or {}).get("trials", 0):
            self._cluster.patch(EXPERIMENT, name, {"spec": wanted})
        return name

    def _katib(self, experiment: Experiment, name: str, labels: Mapping[str, str] | None = None) -> KatibExperiment:
        return katib_experiment(
            experiment,
            name,
            self._cluster.namespace,
            self._template,
            {**self._marks.labels, **self.labels, **(labels or {})},
            {**self._marks.annotations, LEDGER_ANNOTATION: self._place},
        )

    def _is_same(self, found: Manifest) -> bool:
        return (found["metadata"].get("annotations") or {}).get(SPEC_ANNOTATION) == self._digest

    def _check(self, found: Manifest) -> None:
        title, ledger = self.title(name_of(found)), _ledger(found) or "something else"
        if ledger != self._place:
            raise ClusterError(
                f"{title} must belong to the study at {self._place}, but belongs to {ledger}; delete or rename it",
                status=409,
            )
        if not self._is_same(found):
            raise ClusterError(
                f"{title} runs already and must have the same spec but for its budgets, but was created with another "
                "image, node pool or search; wait for it, or stop it: "
                f"kubectl delete experiment -n {self._cluster.namespace} {name_of(found)}",
                status=409,
            )


def is_over(experiment: Manifest) -> bool:
    """Whether Katib has ended an Experiment; one that was just given a larger budget is about to go on."""
    ended = condition(experiment, "Succeeded", "Failed")
    if ended is None:
        return False
    if ended["type"] == "Failed" or ended.get("reason") != _USED_UP:
        return True
    most = experiment["spec"].get("maxTrialCount")
    return most is None or most <= (experiment.get("status") or {}).get("trials", 0)


def selector_of(labels: Mapping[str, str]) -> str:
    """The selector of objects with these labels."""
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _ledger(experiment: Manifest) -> str | None:
    return (experiment["metadata"].get("annotations") or {}).get(LEDGER_ANNOTATION)


def _generation(experiment: Manifest) -> int:
    return int((experiment["metadata"].get("labels") or {}).get(GENERATION_LABEL, 1))

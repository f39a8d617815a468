"""The Katib Experiments of one study: found, adopted, given larger budgets, created, deleted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from podium.cluster.client import Cluster
from podium.cluster.resources import (
    NAMESPACE,
    Manifest,
    ObjectMetadata,
    condition,
    labels_of,
    name_of,
    selector_of,
)
from podium.errors import ClusterError
from podium.hpo.engines.katib.manifests import (
    EXPERIMENT,
    GENERATION_LABEL,
    LEDGER_ANNOTATION,
    SPEC_ANNOTATION,
    STUDY_LABEL,
    SUGGESTION,
    TRIAL,
    Names,
    budgets_of,
    continued,
    experiment_manifest,
    katib_experiment,
)
from podium.hpo.engines.katib.trials import StudyTrials, state_of
from podium.hpo.experiment import Experiment
from podium.katib.experiment import KatibExperiment
from podium.katib.template import TrialTemplate
from podium.katib.trial import EXPERIMENT_LABEL

INJECTION_LABEL = "katib.kubeflow.org/metrics-collector-injection"

_USED_UP = "ExperimentMaxTrialsReached"
_EXTENSIBLE = ("FromVolume", "LongRunning")
"""Resume policies with which an Experiment that used up its budget goes on with a larger one."""

_log = logging.getLogger(__name__)


class Experiments:
    """The Experiments of one study. Only those that carry its label and name its ledger are changed or deleted.

    Attributes:
        whole: the study as one Experiment, of which no trial has begun.
    """

    def __init__(
        self,
        cluster: Cluster,
        metadata: ObjectMetadata,
        experiment: Experiment,
        place: str,
        names: Names,
        template: TrialTemplate,
    ) -> None:
        self._cluster = cluster
        self._experiment = experiment
        self._place = place
        self._names = names
        self._template = template
        self._labels = {STUDY_LABEL: names.study}
        self._metadata = replace(
            metadata,
            labels={**metadata.labels, **self._labels},
            annotations={**metadata.annotations, LEDGER_ANNOTATION: place},
        )
        self.whole = self._katib(continued(experiment, 0, 0, 0), names.base)
        self._digest = _annotation(experiment_manifest(self.whole, metadata), SPEC_ANNOTATION)

    def title(self, name: str) -> str:
        """`Experiment namespace/name`."""
        return f"Experiment {self._cluster.namespace}/{name}"

    def check_namespace(self) -> None:
        """Check that Katib may run trials in the namespace.

        Raises:
            ClusterError: the namespace does not exist or lacks the label; the message has the command that helps.
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
        if labels_of(namespace).get(INJECTION_LABEL) != "enabled":
            raise ClusterError(
                f"Namespace {name} must have the label {INJECTION_LABEL}=enabled, or Katib collects no metrics there: "
                f"kubectl label namespace {name} {INJECTION_LABEL}=enabled",
                status=422,
            )

    def all(self) -> list[Manifest]:
        """The Experiments of this study, the newest last."""
        found, _ = self._cluster.find(EXPERIMENT, selector_of(self._labels))
        return sorted((item for item in found if _annotation(item, LEDGER_ANNOTATION) == self._place), key=_generation)

    def get(self, name: str) -> Manifest | None:
        """An Experiment; None for one that is gone or is being deleted."""
        found = self._cluster.get(EXPERIMENT, name)
        return None if found is None or found["metadata"].get("deletionTimestamp") else found

    def adopted(self, trials: StudyTrials) -> str | None:
        """Give the Experiment that is running the budgets of this run, and return its name; None if there is none.

        Raises:
            ClusterError: it has another spec.
        """
        newest = self._newest()
        if newest is None or is_over(newest):
            return None
        self._check(newest)
        return self._with_budgets(newest, trials)

    def extended(self, trials: StudyTrials) -> str | None:
        """Give the Experiment that used up its budget a larger one, and return its name; None if none allows that."""
        newest = self._newest()
        ended = newest and condition(newest, "Succeeded")
        if newest is None or not ended or ended.get("reason") != _USED_UP or not self._is_same(newest):
            return None
        return self._with_budgets(newest, trials) if newest["spec"].get("resumePolicy") in _EXTENSIBLE else None

    def created(self, trials: StudyTrials) -> str:
        """Create an Experiment for the rest of the study, and return its name.

        It never has the name of an earlier one: Katib refuses that while the earlier one's volume exists.

        Raises:
            ClusterError: the cluster refuses it, or one of that name belongs to something else.
        """
        known = [self._names.generation(name) for name in trials.experiments]
        generation = max([_generation(found) for found in self.all()] + known, default=0) + 1
        name = self._names.experiment(generation)
        left = continued(self._experiment, trials.progress.ended, trials.progress.failed, trials.count)
        katib = self._katib(left, name, {GENERATION_LABEL: str(generation)})
        self._cluster.create_or_adopt(EXPERIMENT, experiment_manifest(katib, self._metadata), self._check)
        return name

    def stop(self, wait_seconds: float) -> list[str]:
        """Delete the Experiments that are not over, before what they own.

        If what they own went first, Katib would create it again meanwhile, and begin further trials.

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
        """What Katib says about the suggestion service of an Experiment, and how to find out more."""
        namespace = self._cluster.namespace
        suggestion = self._cluster.get(SUGGESTION, name)
        failed = suggestion and condition(suggestion, "Failed")
        reason = f"Suggestion {namespace}/{name}: {failed.get('message')}; " if failed else ""
        return (
            f"{reason}look at: kubectl describe experiment,suggestion -n {namespace} {name}, and, for what keeps its "
            f"pod from being made: kubectl describe replicaset,pod -n {namespace} -l {EXPERIMENT_LABEL}={name}"
        )

    def _newest(self) -> Manifest | None:
        newest = next(reversed(self.all()), None)
        return None if newest is None or newest["metadata"].get("deletionTimestamp") else newest

    def _with_budgets(self, found: Manifest, trials: StudyTrials) -> str:
        """Give an Experiment the budgets that are left of the study; Katib counts its own trials in them."""
        name = name_of(found)
        own = trials.of(name)
        ended = trials.progress.ended - len(own)
        failed = trials.progress.failed - sum(trial.status == "failed" for trial in own)
        left = self._katib(continued(self._experiment, ended, failed, 0), name)
        wanted = budgets_of(experiment_manifest(left, self._metadata))
        # Katib refuses a budget that is used up already; the study then ends by its own count.
        if wanted != budgets_of(found) and wanted["maxTrialCount"] > (found.get("status") or {}).get("trials", 0):
            self._cluster.patch(EXPERIMENT, name, {"spec": wanted})
        return name

    def _katib(self, experiment: Experiment, name: str, labels: Mapping[str, str] | None = None) -> KatibExperiment:
        metadata = replace(self._metadata, labels={**self._metadata.labels, **(labels or {})})
        return katib_experiment(experiment, name, self._cluster.namespace, self._template, metadata)

    def _is_same(self, found: Manifest) -> bool:
        return _annotation(found, SPEC_ANNOTATION) == self._digest

    def _check(self, found: Manifest) -> None:
        title, ledger = self.title(name_of(found)), _annotation(found, LEDGER_ANNOTATION) or "something else"
        if ledger != self._place:
            raise ClusterError(
                f"{title} must belong to the study at {self._place}, but belongs to {ledger}; delete or rename it",
                status=409,
            )
        if not self._is_same(found):
            raise ClusterError(
                f"{title} runs already and must have the same spec apart from its budgets, but was created with "
                "another image, node pool or search; wait for it, or stop it: "
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


def _annotation(manifest: Manifest, name: str) -> str | None:
    return (manifest["metadata"].get("annotations") or {}).get(name)


def _generation(experiment: Manifest) -> int:
    return int(labels_of(experiment).get(GENERATION_LABEL, 1))

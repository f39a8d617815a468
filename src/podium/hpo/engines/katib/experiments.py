"""The Katib Experiments of one study: their manifests, and how they are adopted, extended, created and deleted."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace

from podium.cluster.client import (
    EVENT,
    EXPERIMENT,
    INJECTION_LABEL,
    NAMESPACE,
    POD,
    SUGGESTION,
    TRIAL,
    Cluster,
    Manifest,
    ObjectMetadata,
    condition,
    labels_of,
    name_of,
)
from podium.cluster.inherited import NOTHING, Inherited
from podium.cluster.jobs import REFUSED, Advice
from podium.cluster.manifests import JobSpec, job_manifest
from podium.config.cluster import ClusterConfig
from podium.config.parameters import CategoricalParameter
from podium.config.search import RESTARTED
from podium.errors import ClusterError, ConfigError
from podium.hpo.engines.katib.trials import StudyTrials, has_ended
from podium.hpo.experiment import Experiment, Params, Space
from podium.hpo.trial_container import NAME_VARIABLE
from podium.katib.experiment import EXPERIMENT_LABEL, KatibExperiment, to_katib
from podium.katib.search import to_text
from podium.katib.template import MetricsCollector, TrialParameter, TrialTemplate
from podium.keys import canonical_json, digest_bytes

STUDY_LABEL = "podium/study"
"""Label of everything that belongs to a study: the first digits of the digest of its ledger's place."""

LEDGER_ANNOTATION = "podium/ledger"
SPEC_ANNOTATION = "podium/spec"

ADVICE = Advice(
    deadline="raise cluster.trial_seconds, or train less",
    start="correct image, secrets, node pool or start_seconds in the section cluster, and run the same command again",
)
"""What the user can do about the Job of a trial."""

_SHELL_SAFE = re.compile(r"[A-Za-z0-9_.,:@%+=/-]+")
"""Texts that a shell leaves as they are: Katib joins a trial's command line into `sh -c` without quoting."""

_NAME_PARAMETER = "podiumTrialName"
_BUDGETS = ("maxTrialCount", "parallelTrialCount", "maxFailedTrialCount")
"""The fields of an Experiment's spec that Katib allows to be changed."""

_USED_UP = "ExperimentMaxTrialsReached"
_EXTENSIBLE = ("FromVolume", "LongRunning")
"""Resume policies with which an Experiment that used up its budget goes on with a larger one."""

_log = logging.getLogger(__name__)


def trial_job(config: ClusterConfig, environment: Mapping[str, str], inherited: Inherited = NOTHING) -> JobSpec:
    """The Job of a trial that is not named yet and has no params; the processes of several nodes are torchrun's.

    A pool that the config names is where trials run, wherever the pod is that they inherit from. Secrets that are
    inherited as a whole get into a Job, but not into a TrainJob, which is said.
    """
    if config.trial_nodes > 1 and inherited.secrets:
        _log.warning(
            "trials do not get the variables that this pod has from %s: a TrainJob takes no envFrom; where trials need "
            "them, name it in envFrom of the container of runtime %s",
            ", ".join(f"Secret {one['secretRef']['name']}" for one in inherited.secrets),
            config.runtime,
        )
    if config.trial_pool is not None:
        inherited = replace(inherited, selector={}, tolerations=())
    return JobSpec(
        config,
        ["python" if config.trial_nodes == 1 else "torchrun", "-m", "podium.hpo.trial_container"],
        environment,
        container="trial",
        pool=config.pool,
        nodes=config.trial_nodes,
        deadline_seconds=config.trial_seconds,
        inherited=inherited,
    )


def job_for_trial(job: JobSpec, name: str, params: Params) -> JobSpec:
    """The Job that executes the trial of that name: a parameter is an argument `--name=value`."""
    return _with_arguments(job, name, name, {key: to_text(value) for key, value in params.items()})


def trial_template(job: JobSpec, space: Space) -> TrialTemplate:
    """The template from which Katib makes the Jobs of trials."""
    for name, parameter in space.parameters.items():
        texts = [to_text(choice) for choice in parameter.choices] if isinstance(parameter, CategoricalParameter) else []
        for text in (name, *texts):
            if not _SHELL_SAFE.fullmatch(text):
                raise ConfigError(
                    f"hpo.space.{name}: Katib hands arguments to a shell unquoted, so that names and choices must be "
                    f"made of letters, digits and _ . , : @ % + = / -, but got {text!r}; rename it, or set "
                    "hpo.engine=embedded"
                )
    placeholders = {name: f"${{trialParameters.{name}}}" for name in space.parameters}
    template = _with_arguments(job, "", f"${{trialParameters.{_NAME_PARAMETER}}}", placeholders)
    return TrialTemplate(
        primary_container=job.primary_container,
        parameters=(
            *(TrialParameter(name=name, reference=name) for name in placeholders),
            TrialParameter(name=_NAME_PARAMETER, reference="${trialSpec.Name}"),
        ),
        trial_spec=job_manifest(template),
        # The reason of a failure is read from the pod, which Katib would delete at once; the Job's time to live
        # deletes it later.
        retain=True,
    )


def _with_arguments(job: JobSpec, name: str, trial: str, values: Mapping[str, str]) -> JobSpec:
    command = [*job.command, *(f"--{key}={value}" for key, value in values.items())]
    return replace(job, name=name, command=command, environment={**job.environment, NAME_VARIABLE: trial})


def continued(experiment: Experiment, ended: int, failed: int, began: int) -> Experiment:
    """The rest of a study, for an Experiment of its own.

    Args:
        ended: number of trials that use up its budget.
        failed: how many of them failed.
        began: number of trials that were begun. A new suggestion service knows none of them; it gets another seed,
            because with the same one it would suggest them again.

    Raises:
        ConfigError: the algorithm would begin with the trials that exist.
    """
    if began and experiment.algorithm.name in RESTARTED:
        raise ConfigError(
            f"algorithm {experiment.algorithm.name!r} goes on only where its Experiment still exists, because Katib "
            f"would begin it anew, but the study has {began} trials and no Experiment to go on with; continue with "
            "hpo.engine=embedded, or begin again with run_mode=force_new"
        )
    left = experiment.max_trials - ended
    return experiment.model_copy(
        update={
            "max_trials": left,
            "parallel_trials": min(experiment.parallel_trials, left),
            "max_failed_trials": experiment.max_failed_trials - failed,
            "seed": experiment.seed + began,
        }
    )


def study_digest(place: str) -> str:
    """The value of `STUDY_LABEL` for the place of a study's ledger, which identifies the study."""
    return digest_bytes(place.encode())[:16]


def base_name(title: str, place: str) -> str:
    """Name of a study's first Experiment, from a title for people and the place of its ledger."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:22].strip("-")
    slug = slug if slug[:1].isalpha() else f"study-{slug}"[:22].strip("-")
    return f"{slug}-{study_digest(place)[:10]}"


class Experiments:
    """The Experiments of one study. Only those that carry its label and name its ledger are changed or deleted.

    The first has the name `base`, the next one `base-2`; Katib takes at most 40 characters.

    Attributes:
        whole: the study as one Experiment, of which no trial has begun.
    """

    def __init__(
        self, cluster: Cluster, metadata: ObjectMetadata, experiment: Experiment, place: str, job: JobSpec
    ) -> None:
        self._cluster = cluster
        self._experiment = experiment
        self._place = place
        self._template = trial_template(job, experiment.space)
        self._base = base_name(experiment.name, place)
        self._metadata = replace(
            metadata,
            labels={**metadata.labels, STUDY_LABEL: study_digest(place)},
            annotations={**metadata.annotations, LEDGER_ANNOTATION: place},
        )
        self.whole = self._katib(continued(experiment, 0, 0, 0), self._base)
        self._digest = _annotation(self.manifest(self.whole), SPEC_ANNOTATION)

    def manifest(self, katib: KatibExperiment) -> Manifest:
        """The manifest of an Experiment, with its owner and the digest of what must not change while it runs.

        Budgets may be changed, and the seed follows from the ledger.
        """
        manifest = to_katib(katib)
        if self._metadata.owner is not None:
            manifest["metadata"]["ownerReferences"] = [dict(self._metadata.owner)]
        spec = {name: value for name, value in manifest["spec"].items() if name not in _BUDGETS}
        settings = spec["algorithm"].get("algorithmSettings") or ()
        unseeded = [item for item in settings if item["name"] != "random_state"]
        fixed = {**spec, "algorithm": {**spec["algorithm"], "algorithmSettings": unseeded}}
        manifest["metadata"]["annotations"][SPEC_ANNOTATION] = digest_bytes(canonical_json(fixed))
        return manifest

    def check_namespace(self) -> None:
        """Check that Katib may run trials in the namespace, and name the command that helps where it may not."""
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
        found = self._cluster.find(EXPERIMENT, f"{STUDY_LABEL}={study_digest(self._place)}")
        own = (item for item in found if _annotation(item, LEDGER_ANNOTATION) == self._place)
        return sorted(own, key=lambda item: self._generation(name_of(item)))

    def get(self, name: str) -> Manifest | None:
        """An Experiment; None for one that is gone or is being deleted."""
        found = self._cluster.get(EXPERIMENT, name)
        return None if found is None or found["metadata"].get("deletionTimestamp") else found

    def adopted(self, trials: StudyTrials) -> str | None:
        """Give the Experiment that is running the budgets of this run, and return its name; None if there is none."""
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
        """
        known = {*trials.experiments, *map(name_of, self.all())}
        number = max(map(self._generation, known), default=0) + 1
        name = self._base if number == 1 else f"{self._base}-{number}"
        left = continued(self._experiment, trials.progress.ended, trials.progress.failed, trials.count)
        self._cluster.create_or_adopt(EXPERIMENT, self.manifest(self._katib(left, name)), self._check)
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
                trials = self._cluster.find(TRIAL, f"{EXPERIMENT_LABEL}={name_of(found)}")
                running += [name_of(trial) for trial in trials if not has_ended(trial)]
                self._cluster.delete(EXPERIMENT, name_of(found), wait_seconds=wait_seconds, owned_first=False)
        return running

    def order(self, name: str) -> dict[str, int]:
        """Names of the Trials of an Experiment, numbered in the order in which they were suggested."""
        suggestion = self._cluster.get(SUGGESTION, name) or {}
        suggested = (suggestion.get("status") or {}).get("suggestions") or ()
        return {str(item.get("name")): number for number, item in enumerate(suggested)}

    def explanation(self, name: str) -> str:
        """What Katib says about the suggestion service of an Experiment, and how to find out more."""
        namespace = self._cluster.namespace
        suggestion = self._cluster.get(SUGGESTION, name)
        failed = suggestion and condition(suggestion, "Failed")
        reason = f"{self._cluster.title(SUGGESTION, name)}: {failed.get('message')}; " if failed else ""
        return (
            f"{reason}look at: kubectl describe experiment,suggestion -n {namespace} {name}, and, for what keeps its "
            f"pod from being made: kubectl describe replicaset,pod -n {namespace} -l {EXPERIMENT_LABEL}={name}"
        )

    def refusal(self, name: str) -> str:
        """Why the API server creates no pod for the suggestion service; empty where it does, or that cannot be seen."""
        try:
            if self._cluster.find(POD, f"{EXPERIMENT_LABEL}={name}"):
                return ""
            events = self._cluster.find(EVENT, fields="involvedObject.kind=ReplicaSet,reason=FailedCreate")
        except ClusterError as error:
            if error.status != 403:
                raise
            return ""
        service = f"{name}-{self._experiment.algorithm.name}-"
        said = [str(one.get("message")) for one in events if one["involvedObject"]["name"].startswith(service)]
        return next((message for message in reversed(said) if REFUSED.search(message)), "")

    def _generation(self, name: str) -> int:
        """The number in the name of an Experiment, 1 for the first; 0 for the Experiment of another study."""
        number = re.fullmatch(rf"{re.escape(self._base)}(?:-(\d+))?", name)
        return 0 if number is None else int(number[1] or 1)

    def _newest(self) -> Manifest | None:
        newest = next(reversed(self.all()), None)
        return None if newest is None or newest["metadata"].get("deletionTimestamp") else newest

    def _with_budgets(self, found: Manifest, trials: StudyTrials) -> str:
        """Give an Experiment the budgets that are left of the study; Katib counts its own trials in them."""
        name = name_of(found)
        own = trials.of(name)
        ended = trials.progress.ended - len(own)
        failed = trials.progress.failed - sum(trial.status == "failed" for trial in own)
        left = to_katib(self._katib(continued(self._experiment, ended, failed, 0), name))["spec"]
        wanted = {budget: left.get(budget) for budget in _BUDGETS}
        changed = any(found["spec"].get(budget) != value for budget, value in wanted.items())
        # Katib refuses a budget that is used up already; the study then ends by its own count.
        if changed and wanted["maxTrialCount"] > (found.get("status") or {}).get("trials", 0):
            self._cluster.patch(EXPERIMENT, name, {"spec": wanted})
        return name

    def _katib(self, experiment: Experiment, name: str) -> KatibExperiment:
        """An experiment as the resource of that name; the value of its objective is what a trial reports last.

        Before its end a trial reports the mean over the folds so far, whose best value is not its score.
        """
        objective = experiment.objective
        latest = objective.model_copy(update={"strategies": {**objective.strategies, objective.metric: "latest"}})
        neutral = experiment.model_copy(update={"name": name, "objective": latest})
        labels, annotations = self._metadata.labels, self._metadata.annotations
        namespace = self._cluster.namespace
        return KatibExperiment(neutral, self._template, MetricsCollector(), namespace, labels, annotations)

    def _is_same(self, found: Manifest) -> bool:
        return _annotation(found, SPEC_ANNOTATION) == self._digest

    def _check(self, found: Manifest) -> None:
        title = self._cluster.title(EXPERIMENT, name_of(found))
        ledger = _annotation(found, LEDGER_ANNOTATION) or "something else"
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

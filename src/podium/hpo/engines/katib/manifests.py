"""The Kubernetes objects of a study on a cluster: their names, the Jobs of trials, the Experiment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from podium.cluster.manifests import JobSpec, job_manifest
from podium.cluster.resources import Kind, Manifest, ObjectMetadata
from podium.config.algorithms import RESTARTED
from podium.config.parameters import CategoricalParameter, FloatParameter
from podium.errors import ConfigError
from podium.hpo.experiment import Experiment
from podium.hpo.space import Params, Space
from podium.hpo.trial_container import NAME_VARIABLE
from podium.katib.experiment import KatibExperiment, to_katib
from podium.katib.space import to_text
from podium.katib.template import MetricsCollector, TrialParameter, TrialTemplate
from podium.keys import canonical_json, digest_bytes

EXPERIMENT = Kind("Experiment", "kubeflow.org/v1beta1", "experiments")
SUGGESTION = Kind("Suggestion", "kubeflow.org/v1beta1", "suggestions")
TRIAL = Kind("Trial", "kubeflow.org/v1beta1", "trials")

STUDY_LABEL = "podium/study"
"""Label of everything that belongs to a study: the first digits of the digest of its ledger's place."""

GENERATION_LABEL = "podium/generation"
"""Label of an Experiment: 1 for the first of a study, one more for each that continues it."""
LEDGER_ANNOTATION = "podium/ledger"
SPEC_ANNOTATION = "podium/spec"

_SHELL_SAFE = re.compile(r"[A-Za-z0-9_.,:@%+=/-]+")
"""Texts that a shell leaves as they are: Katib joins a trial's command line into `sh -c` without quoting."""

_NAME_PARAMETER = "podiumTrialName"
_BUDGETS = ("maxTrialCount", "parallelTrialCount", "maxFailedTrialCount")
"""The fields of an Experiment's spec that Katib allows to be changed."""


class Names:
    """Names of the objects of one study.

    Attributes:
        study: value of `STUDY_LABEL`.
        base: name of the first Experiment.
    """

    def __init__(self, title: str, place: str) -> None:
        """Make names from a title, for people, and from the place of the study's ledger, which identifies the study."""
        self.study = digest_bytes(place.encode())[:16]
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:22].strip("-")
        slug = slug if slug[:1].isalpha() else f"study-{slug}"[:22].strip("-")
        self.base = f"{slug}-{self.study[:10]}"

    def experiment(self, generation: int) -> str:
        """Name of an Experiment; Katib takes at most 40 characters."""
        return self.base if generation == 1 else f"{self.base}-{generation}"

    def generation(self, experiment: str) -> int:
        """The generation in the name of an Experiment; 0 for the Experiment of another study."""
        if experiment == self.base:
            return 1
        number = experiment.removeprefix(f"{self.base}-")
        return int(number) if number != experiment and number.isdigit() else 0


def job_for_trial(job: JobSpec, name: str, params: Params) -> JobSpec:
    """The Job that executes the trial of that name: a parameter is an argument `--name=value`."""
    return _with_arguments(job, name, name, {key: to_text(value) for key, value in params.items()})


def trial_template(job: JobSpec, space: Space) -> TrialTemplate:
    """The template from which Katib makes the Jobs of trials.

    Raises:
        ConfigError: a name or a choice has characters that mean something to a shell.
    """
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
            *(TrialParameter(name, name) for name in placeholders),
            TrialParameter(_NAME_PARAMETER, "${trialSpec.Name}"),
        ),
        trial_spec=job_manifest(template),
        # The reason of a failure is read from the pod, which Katib would delete at once; the Job's time to live
        # deletes it later.
        retain=True,
    )


def _with_arguments(job: JobSpec, name: str, trial: str, values: Mapping[str, str]) -> JobSpec:
    arguments = [f"--{key}={value}" for key, value in values.items()]
    environment = {**job.environment, NAME_VARIABLE: trial}
    return replace(job, name=name, command=[*job.command, *arguments], environment=environment)


def check_for_katib(experiment: Experiment) -> None:
    """Check that Katib can search as the experiment says, before anything is created.

    Raises:
        ConfigError: it cannot; the message says why.
    """
    if experiment.early_stopping.name == "median":
        raise ConfigError(
            f"hpo.early_stopping: Katib has no rule {experiment.early_stopping.name!r}, which needs the reports of "
            "other trials at the same point; use medianstop, or set hpo.engine=embedded"
        )
    if experiment.algorithm.name != "bayesianoptimization":
        return
    for name, parameter in experiment.space.parameters.items():
        if isinstance(parameter, FloatParameter) and parameter.low <= 0:
            raise ConfigError(
                f"hpo.space.{name}.low: bayesianoptimization of Katib searches the logarithm of every number that is "
                f"not whole and needs a low above 0, but got {parameter.low:g}; raise it, take another algorithm, or "
                "set hpo.engine=embedded"
            )


def continued(experiment: Experiment, ended: int, failed: int, began: int) -> Experiment:
    """The rest of a study, for an Experiment of its own.

    Args:
        experiment: the whole study.
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


def katib_experiment(
    experiment: Experiment, name: str, namespace: str, template: TrialTemplate, metadata: ObjectMetadata
) -> KatibExperiment:
    """An experiment as the resource of that name; the value of its objective is what a trial reports last.

    Before its end a trial reports the mean over the folds so far, whose best value is not its score.
    """
    objective = experiment.objective
    latest = objective.model_copy(update={"strategies": {**objective.strategies, objective.metric: "latest"}})
    neutral = experiment.model_copy(update={"name": name, "objective": latest})
    return KatibExperiment(neutral, template, MetricsCollector(), namespace, metadata.labels, metadata.annotations)


def experiment_manifest(katib: KatibExperiment, metadata: ObjectMetadata) -> Manifest:
    """The manifest of an experiment, with its owner and the digest of what must not change while it runs."""
    manifest = to_katib(katib)
    if metadata.owner is not None:
        manifest["metadata"]["ownerReferences"] = [dict(metadata.owner)]
    manifest["metadata"].setdefault("annotations", {})[SPEC_ANNOTATION] = spec_digest(manifest)
    return manifest


def spec_digest(manifest: Manifest) -> str:
    """Digest of an Experiment's spec without budgets, which may be changed, and seed, which follows from the ledger."""
    spec = {name: value for name, value in manifest["spec"].items() if name not in _BUDGETS}
    algorithm = dict(spec["algorithm"])
    algorithm["algorithmSettings"] = [
        item for item in algorithm.get("algorithmSettings") or () if item["name"] != "random_state"
    ]
    return digest_bytes(canonical_json({**spec, "algorithm": algorithm}))


def budgets_of(manifest: Manifest) -> Manifest:
    """The budgets in an Experiment's spec."""
    return {name: manifest["spec"].get(name) for name in _BUDGETS}

"""The Kubernetes objects of a study on a cluster: names, template, Experiment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from podium.cluster.manifests import CONTAINER, TRAIN_JOB_CONTAINER, Command
from podium.cluster.resources import TRAIN_JOB, Manifest
from podium.errors import ConfigError
from podium.hpo.algorithms import FROM_THE_START
from podium.hpo.experiment import Experiment
from podium.hpo.parameters import CategoricalParameter, FloatParameter, NormalParameter
from podium.hpo.space import Space
from podium.hpo.trial_container import NAME_VARIABLE
from podium.katib.experiment import KatibExperiment, to_katib
from podium.katib.space import to_text
from podium.katib.template import MetricsCollector, TrialParameter, TrialTemplate
from podium.keys import canonical_json, digest_bytes

STUDY_LABEL = "podium/study"
"""Label of everything that belongs to a study: the first digits of the digest of its ledger's place."""

GENERATION_LABEL = "podium/generation"
"""Label of an Experiment: 1 for the first of a study, one more for each that continues it."""
LEDGER_ANNOTATION = "podium/ledger"
SPEC_ANNOTATION = "podium/spec"

_PLAIN = re.compile(r"[A-Za-z0-9_.,:@%+=/-]+")
"""Texts that mean themselves in a shell: Katib joins a trial's command line into `sh -c` without quoting."""

_NAME_PARAMETER = "podiumTrialName"
_BUDGETS = ("maxTrialCount", "parallelTrialCount", "maxFailedTrialCount")
"""What Katib lets one change of an Experiment's spec."""


class Names:
    """What the objects of one study are called.

    Attributes:
        study: value of `STUDY_LABEL`.
        base: name of the first Experiment.
    """

    def __init__(self, title: str, place: str) -> None:
        """Names from a title for people and the place of the study's ledger, which is its identity."""
        self.study = digest_bytes(place.encode())[:16]
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:22].strip("-")
        slug = slug if slug[:1].isalpha() else f"study-{slug}"[:22].strip("-")
        self.base = f"{slug}-{self.study[:10]}"

    def experiment(self, generation: int) -> str:
        """Name of an Experiment: at most 40 characters, which is all that Katib takes."""
        return self.base if generation == 1 else f"{self.base}-{generation}"

    def generation(self, experiment: str) -> int:
        """The generation in the name of an Experiment; 0 for one that is none of this study's."""
        if experiment == self.base:
            return 1
        number = experiment.removeprefix(f"{self.base}-")
        return int(number) if number != experiment and number.isdigit() else 0


def trial_template(
    space: Space, manifest: Callable[[Command], Manifest], environment: Mapping[str, str], labels: Mapping[str, str]
) -> TrialTemplate:
    """The template of trials that run `podium.hpo.trial_container` with an argument `--name=value` for each parameter.

    Args:
        space: of the study.
        manifest: makes a Job or a TrainJob of a command.
        environment: variables of every trial.
        labels: of the pods.

    Raises:
        ConfigError: a name or a choice has characters that a shell would not leave alone.
    """
    for name, parameter in space.parameters:
        texts = [to_text(choice) for choice in parameter.choices] if isinstance(parameter, CategoricalParameter) else []
        for text in (name, *texts):
            if not _PLAIN.fullmatch(text):
                raise ConfigError(
                    f"hpo.space.{name}: Katib hands arguments to a shell unquoted, so that names and choices must be "
                    f"made of letters, digits and _ . , : @ % + = / -, but got {text!r}; rename it, or set "
                    "hpo.engine=embedded"
                )
    names = [name for name, _ in space.parameters]
    arguments = ["-m", "podium.hpo.trial_container", *(f"--{name}=${{trialParameters.{name}}}" for name in names)]
    variables = {**environment, NAME_VARIABLE: f"${{trialParameters.{_NAME_PARAMETER}}}"}
    spec = manifest(Command(arguments, variables, labels))
    return TrialTemplate(
        primary_container=TRAIN_JOB_CONTAINER if spec["kind"] == TRAIN_JOB.name else CONTAINER,
        parameters=(
            *(TrialParameter(name, name) for name in names),
            TrialParameter(_NAME_PARAMETER, "${trialSpec.Name}"),
        ),
        trial_spec=spec,
        # What failed is read from its pod, which Katib would delete at once; a Job goes by its own time to live.
        retain=True,
    )


def check_for_katib(experiment: Experiment) -> None:
    """Check that Katib searches as the experiment says, before anything is created.

    Raises:
        ConfigError: it cannot; the message has the reason.
    """
    if experiment.early_stopping is not None and experiment.early_stopping.name != "medianstop":
        raise ConfigError(
            f"hpo.early_stopping: Katib has no rule {experiment.early_stopping.name!r}, which needs the reports of "
            "other trials at the same point; use medianstop, or set hpo.engine=embedded"
        )
    if experiment.algorithm.name == "bayesianoptimization":
        _check_for_skopt(experiment.space)


def _check_for_skopt(space: Space) -> None:
    for name, parameter in space.parameters:
        whole = isinstance(parameter, NormalParameter) and parameter.whole
        if isinstance(parameter, FloatParameter | NormalParameter) and not whole and parameter.low <= 0:
            raise ConfigError(
                f"hpo.space.{name}.low: bayesianoptimization of Katib searches the logarithm of every number that is "
                f"not whole and needs a low above 0, but got {parameter.low:g}; raise it, take another algorithm, or "
                "set hpo.engine=embedded"
            )


def continued(experiment: Experiment, ended: int, failed: int, began: int) -> Experiment:
    """What is left of a study for an Experiment of its own.

    Args:
        experiment: the whole study.
        ended: trials that use up its budget.
        failed: those of them that failed.
        began: trials that were begun. The search gets another seed for them, because a new suggestion service, which
            knows nothing of them, would suggest the same ones again.

    Raises:
        ConfigError: the algorithm would begin with the trials that exist.
    """
    if began and experiment.algorithm.name in FROM_THE_START:
        raise ConfigError(
            f"algorithm {experiment.algorithm.name!r} goes on only where its Experiment still exists, because Katib "
            f"would begin it anew, but the study has {began} trials and no Experiment to go on with; continue with "
            "hpo.engine=embedded, or begin again with run_mode=force_new"
        )
    left = experiment.max_trials - ended
    return replace(
        experiment,
        max_trials=left,
        parallel_trials=min(experiment.parallel_trials, left),
        max_failed_trials=experiment.max_failed_trials - failed,
        seed=experiment.seed + began,
    )


def katib_experiment(
    experiment: Experiment,
    name: str,
    namespace: str,
    template: TrialTemplate,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> KatibExperiment:
    """An experiment as the resource of that name; the value of the objective is what a trial reports last.

    On the way a trial reports the mean over the folds done so far, whose best is not its score.
    """
    objective = experiment.objective
    latest = replace(objective, strategies={**objective.strategies, objective.metric: "latest"})
    neutral = replace(experiment, name=name, objective=latest)
    return KatibExperiment(neutral, template, MetricsCollector(), namespace, labels, annotations)


def resource_of(katib: KatibExperiment, owner: Mapping[str, Any] | None) -> Manifest:
    """The manifest of an experiment, with its owner and the digest of what must not change while it runs."""
    manifest = to_katib(katib)
    if owner is not None:
        manifest["metadata"]["ownerReferences"] = [dict(owner)]
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
    """The fields of an Experiment's spec that Katib lets one change."""
    spec = manifest["spec"]
    return {name: spec.get(name) for name in _BUDGETS}

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from podium.cluster.client import Cluster, ObjectMetadata
from podium.cluster.manifests import JobSpec, job_manifest
from podium.config.cluster import ClusterConfig
from podium.config.parameters import CategoricalParameter, IntParameter
from podium.config.search import algorithm_named, stopping_named
from podium.errors import ConfigError
from podium.hpo.engines.katib.experiments import (
    SPEC_ANNOTATION,
    Experiments,
    base_name,
    continued,
    job_for_trial,
    trial_job,
    trial_template,
)
from podium.hpo.experiment import Experiment, Space
from podium.katib.experiment import from_katib, render

from ...support import SPACE, experiment

JOB = trial_job(ClusterConfig(image="podium:1"), {"PODIUM_STORE": "s3://b"})
TRAIN_JOB = trial_job(ClusterConfig(image="podium:1", trial_nodes=2, runtime="torch-distributed"), {})
PLACE = "bucket/documents/ledgers/abc/main"


class Nowhere(Cluster):
    """Stands in for a cluster that is not asked for anything."""

    def __init__(self) -> None:
        self.namespace = "studies"


def experiments(study: Experiment, job: JobSpec = JOB) -> Experiments:
    return Experiments(Nowhere(), ObjectMetadata({"podium/run": "r"}), study, PLACE, job)


def manifest(study: Experiment, job: JobSpec = JOB) -> dict[str, Any]:
    made = experiments(study, job)
    return made.manifest(made.whole)


@pytest.mark.parametrize("title", ["bbc-news-bert-tiny", "A very long title of a study, with blanks", "4711", "", "ä"])
def test_names_are_names_of_katib_whatever_the_title(title: str) -> None:
    name = base_name(title, PLACE)
    assert re.fullmatch(r"[a-z][-a-z0-9]*[a-z0-9]", name)
    assert len(f"{name}-999") <= 40
    assert base_name(title, "elsewhere") != name


@pytest.mark.parametrize("job", [JOB, TRAIN_JOB])
def test_what_is_sent_is_an_experiment_as_podium_reads_it(job: JobSpec) -> None:
    stopping = stopping_named("medianstop", {"min_trials_required": 2, "start_step": 1})
    study = experiment(algorithm=algorithm_named("tpe", {"n_startup_trials": 2}), early_stopping=stopping)
    made = manifest(study, job)
    read = from_katib(made)
    assert next(iter(read.experiment.space.parameters)) == "batch_size"
    assert read.experiment.objective.strategies == {"score": "latest"}
    assert read.experiment.early_stopping == stopping
    assert (read.experiment.max_trials, read.experiment.max_failed_trials) == (6, 2)
    assert read.template.retain
    assert read.template.kind[1] == ("Job" if job is JOB else "TrainJob")
    assert read.template.primary_container == ("trial" if job is JOB else "node")


def test_torchrun_starts_the_processes_of_a_trial_of_several_nodes() -> None:
    work = manifest(experiment(), TRAIN_JOB)["spec"]["trialTemplate"]["trialSpec"]["spec"]["trainer"]
    assert work["command"][:3] == ["torchrun", "-m", "podium.hpo.trial_container"]
    assert work["numNodes"] == 2


def test_a_trial_takes_pool_and_deadline_of_the_config() -> None:
    config = ClusterConfig.model_validate(
        {"image": "podium:1", "pools": {"gpu": {"memory": "16Gi"}}, "trial_pool": "gpu", "trial_seconds": 60}
    )
    job = trial_job(config, {})
    assert (job.pool.memory, job.deadline_seconds) == ("16Gi", 60)


def test_the_command_line_has_nothing_that_a_shell_would_read() -> None:
    made = manifest(experiment())
    (container,) = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == [
        "python",
        "-m",
        "podium.hpo.trial_container",
        "--batch_size=${trialParameters.batch_size}",
        "--epochs=${trialParameters.epochs}",
        "--learning_rate=${trialParameters.learning_rate}",
        "--warmup_ratio=${trialParameters.warmup_ratio}",
    ]
    assert {"name": "PODIUM_TRIAL", "value": "${trialParameters.podiumTrialName}"} in container["env"]


def test_a_trial_is_continued_by_the_job_that_katib_would_make_of_the_template() -> None:
    params = {"batch_size": 16, "epochs": 3, "learning_rate": 0.001, "warmup_ratio": 0.1}
    metadata = ObjectMetadata({"a": "b"}, {"podium/ledger": "l"})
    job = replace(JOB, key="the study", metadata=metadata)
    rendered = render(experiments(experiment(), job).whole, 0, params, "study-1-x")
    rendered["metadata"].pop("namespace")
    assert job_manifest(job_for_trial(job, "study-1-x", params)) == rendered


@pytest.mark.parametrize("choice", ["a b", "$HOME", "a;b", "a'b", "", "a|b", 'a"b', "*"])
def test_choices_with_shell_characters_are_refused(choice: str) -> None:
    space = Space(parameters={"optimizer": CategoricalParameter(choices=("sgd", choice))})
    with pytest.raises(ConfigError, match=r"hpo.space.optimizer: Katib hands arguments to a shell unquoted"):
        trial_template(JOB, space)


def test_what_is_left_of_a_study_is_its_budget_and_another_seed() -> None:
    study = experiment(max_trials=10, parallel_trials=4, max_failed_trials=3, seed=13)
    left = continued(study, ended=7, failed=2, began=8)
    assert (left.max_trials, left.parallel_trials, left.max_failed_trials, left.seed) == (3, 3, 1, 21)
    assert continued(study, 0, 0, 0) == study


def test_an_algorithm_that_would_begin_anew_is_not_continued() -> None:
    space = Space(parameters={"a": IntParameter(low=1, high=4)})
    study = experiment(space=space, algorithm=algorithm_named("grid"), max_trials=4)
    with pytest.raises(ConfigError, match="algorithm 'grid' goes on only where its Experiment still exists"):
        continued(study, 1, 0, 1)


def digest(*given: Any) -> str:
    return str(manifest(*given)["metadata"]["annotations"][SPEC_ANNOTATION])


def test_budgets_and_seed_are_not_part_of_what_must_stay_the_same() -> None:
    one = digest(experiment())
    assert digest(experiment(max_trials=20, parallel_trials=5, max_failed_trials=9, seed=5)) == one
    assert digest(experiment(), TRAIN_JOB) != one
    assert digest(experiment(space=Space(parameters=dict([*SPACE.parameters.items()][:2])))) != one

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from podium.cluster.manifests import trial_manifest
from podium.config.cluster import ClusterConfig
from podium.errors import ConfigError
from podium.hpo.algorithms import Algorithm, EarlyStopping
from podium.hpo.engines.katib.manifests import (
    Names,
    continued,
    katib_experiment,
    resource_of,
    spec_digest,
    trial_template,
)
from podium.hpo.experiment import Experiment
from podium.hpo.parameters import CategoricalParameter, IntParameter
from podium.hpo.space import Space
from podium.katib.experiment import from_katib

from ...support import SPACE, experiment

CLUSTER = ClusterConfig(image="podium:1")
TRAIN = ClusterConfig(image="podium:1", trial_nodes=2, runtime="torch-distributed")


def manifest(study: Experiment, cluster: ClusterConfig = CLUSTER, **metadata: Any) -> dict[str, Any]:
    template = trial_template(study.space, partial(trial_manifest, cluster), {"PODIUM_STORE": "s3://b"}, {"a": "b"})
    katib = katib_experiment(study, "study-1", "studies", template, {"podium/run": "r"}, {"podium/ledger": "l"})
    return resource_of(katib, metadata.get("owner"))


@pytest.mark.parametrize("title", ["bbc-news-bert-tiny", "A very long title of a study, with blanks", "4711", "", "ä"])
def test_names_are_names_of_katib_whatever_the_title(title: str) -> None:
    names = Names(title, "bucket/documents/ledgers/abc/main")
    for generation in (1, 2, 999):
        name = names.experiment(generation)
        assert manifest(experiment())["metadata"]["name"] == "study-1"
        study = experiment()
        template = trial_template(study.space, partial(trial_manifest, CLUSTER), {}, {})
        katib_experiment(study, name, "studies", template, {}, {})
        assert names.generation(name) == generation
    assert names.generation("other") == 0
    assert Names(title, "elsewhere").experiment(1) != names.experiment(1)
    assert Names(title, "bucket/documents/ledgers/abc/main").experiment(1) == names.experiment(1)


@pytest.mark.parametrize("cluster", [CLUSTER, TRAIN])
def test_what_is_sent_is_an_experiment_as_podium_reads_it(cluster: ClusterConfig) -> None:
    stopping = EarlyStopping("medianstop", {"min_trials_required": 2, "start_step": 1})
    study = experiment(algorithm=Algorithm("tpe", {"n_startup_trials": 2}), early_stopping=stopping)
    made = manifest(study, cluster)
    read = from_katib(made)
    assert read.experiment.space.parameters[0][0] == "batch_size"
    assert read.experiment.objective.strategies == {"score": "latest"}
    assert read.experiment.early_stopping == stopping
    assert (read.experiment.max_trials, read.experiment.max_failed_trials) == (6, 2)
    assert read.template.retain
    assert read.template.kind[1] == ("Job" if cluster is CLUSTER else "TrainJob")


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


@pytest.mark.parametrize("choice", ["a b", "$HOME", "a;b", "a'b", "", "a|b", 'a"b', "*"])
def test_choices_with_shell_characters_are_refused(choice: str) -> None:
    space = Space.of({"optimizer": CategoricalParameter(("sgd", choice))})
    with pytest.raises(ConfigError, match=r"hpo.space.optimizer: Katib hands arguments to a shell unquoted"):
        trial_template(space, partial(trial_manifest, CLUSTER), {}, {})


def test_what_is_left_of_a_study_is_its_budget_and_another_seed() -> None:
    study = experiment(max_trials=10, parallel_trials=4, max_failed_trials=3, seed=13)
    left = continued(study, ended=7, failed=2, began=8)
    assert (left.max_trials, left.parallel_trials, left.max_failed_trials, left.seed) == (3, 3, 1, 21)
    assert continued(study, 0, 0, 0) == study


def test_an_algorithm_that_would_begin_anew_is_not_continued() -> None:
    space = Space.of({"a": IntParameter(1, 4)})
    study = experiment(space=space, algorithm=Algorithm("grid"), max_trials=4)
    with pytest.raises(ConfigError, match="algorithm 'grid' goes on only where its Experiment still exists"):
        continued(study, 1, 0, 1)


def test_budgets_and_seed_are_not_part_of_what_must_stay_the_same() -> None:
    one = spec_digest(manifest(experiment()))
    assert spec_digest(manifest(experiment(max_trials=20, parallel_trials=5, max_failed_trials=9, seed=5))) == one
    assert spec_digest(manifest(experiment(), TRAIN)) != one
    assert spec_digest(manifest(experiment(space=Space.of(dict(SPACE.parameters[:2]))))) != one

"""When the study of a Katib Experiment is the one that is there, and when it may go on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from podium.errors import ConfigError
from podium.hpo.study import StudyAbout, StudyDescription
from podium.katib.experiment import KatibExperiment, from_katib, namespace_of, to_katib
from podium.katib_local.study import LocalStudy

from ..katib.test_experiment import document


def katib(seed: int = 0, **spec: Any) -> KatibExperiment:
    """An experiment of at most 4 trials whose command exists here."""
    source = document()
    source["spec"].update({"maxTrialCount": 4, "maxFailedTrialCount": 2, "parallelTrialCount": 2, **spec})
    template = source["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]
    template["containers"][0]["command"][0] = sys.executable
    return from_katib(source, seed)


def begun(directory: Path, experiment: KatibExperiment, scores: list[float | None]) -> None:
    """Leave a study with trials that ended with these scores, or failed."""
    study = opened(directory, experiment)
    about = StudyAbout(source="file.yaml", katib=to_katib(experiment))
    StudyDescription(experiment=experiment.experiment, about=about).write(study.ledger.documents)
    for number, score in enumerate(scores):
        claim = study.ledger.begin(number, {"lr": 0.02, "momentum": 0.7})
        if score is None:
            study.ledger.fail(claim, "ComputationFailed", "ComputationFailed: x")
        else:
            study.ledger.finish(claim, score)


def opened(directory: Path, experiment: KatibExperiment, fresh: bool = False) -> LocalStudy:
    return LocalStudy(experiment, directory, fresh)


def test_the_same_experiment_goes_on(tmp_path: Path) -> None:
    begun(tmp_path, katib(), [0.5, 0.4])
    study = opened(tmp_path, katib())
    assert [trial.number for trial in study.found] == [0, 1]
    assert not study.is_over


def test_a_setting_that_only_katib_honours_is_refused_before_the_study_begins(tmp_path: Path) -> None:
    settings = [{"name": "acq_func", "value": "LCB"}]
    experiment = katib(algorithm={"algorithmName": "bayesianoptimization", "algorithmSettings": settings})
    with pytest.raises(ConfigError, match=r"^spec\.algorithm: setting 'acq_func' .* must be EI, but got 'LCB'"):
        opened(tmp_path, experiment)


@pytest.mark.parametrize("budgets", [{"maxTrialCount": 9}, {"parallelTrialCount": 1}, {"maxFailedTrialCount": 4}])
def test_budgets_may_change_while_it_runs(tmp_path: Path, budgets: Any) -> None:
    begun(tmp_path, katib(), [0.5, 0.4])
    assert not opened(tmp_path, katib(**budgets)).is_over


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": {"algorithmName": "tpe"}}, 'spec.algorithm.algorithmName: "random" became "tpe"'),
        ({"resumePolicy": "LongRunning"}, 'spec.resumePolicy: "Never" became "LongRunning"'),
        ({"objective": {"type": "maximize", "objectiveMetricName": "loss"}}, "spec.objective.goal: 0.001 became null"),
        ({"seed": 1}, r"random_state|algorithmSettings\[0\].value: \"0\" became \"1\""),
    ],
)
def test_anything_else_makes_another_study(tmp_path: Path, changes: Any, message: str) -> None:
    begun(tmp_path, katib(), [])
    with pytest.raises(ConfigError, match=message) as caught:
        opened(tmp_path, katib(**changes))
    assert "only maxTrialCount, parallelTrialCount, maxFailedTrialCount may change" in str(caught.value)
    assert str(caught.value).endswith("undo that, give it another metadata.name, or begin anew with --fresh")


def test_a_seed_that_katib_cannot_keep_is_compared_too(tmp_path: Path) -> None:
    sobol = {"algorithmName": "sobol"}
    begun(tmp_path, katib(algorithm=sobol), [])
    with pytest.raises(ConfigError, match="seed: 0 became 1"):
        opened(tmp_path, katib(seed=1, algorithm=sobol))


@pytest.mark.parametrize("policy", ["LongRunning", "FromVolume"])
def test_one_that_used_up_its_trials_is_restarted_by_more(tmp_path: Path, policy: str) -> None:
    begun(tmp_path, katib(resumePolicy=policy), [0.5, 0.4, 0.3, 0.2])
    assert opened(tmp_path, katib(resumePolicy=policy)).is_over
    assert not opened(tmp_path, katib(resumePolicy=policy, maxTrialCount=5)).is_over
    with pytest.raises(ConfigError, match="must be greater than the 4 trials that team/random has, but got 3"):
        opened(tmp_path, katib(resumePolicy=policy, maxTrialCount=3))


@pytest.mark.parametrize(
    ("policy", "scores", "changes", "message"),
    [
        (
            "Never",
            [0.5, 0.4, 0.3, 0.2],
            {"maxTrialCount": 9},
            "team/random reached maxTrialCount, resumePolicy is",
        ),
        ("LongRunning", [0.0001], {"maxTrialCount": 9}, "team/random reached its goal"),
        ("LongRunning", [None, None], {"maxFailedTrialCount": 4}, "team/random failed"),
    ],
)
def test_one_that_ended_otherwise_is_not_restarted(
    tmp_path: Path, policy: str, scores: list[float | None], changes: Any, message: str
) -> None:
    begun(tmp_path, katib(resumePolicy=policy), scores)
    assert opened(tmp_path, katib(resumePolicy=policy)).is_over
    with pytest.raises(ConfigError, match=message):
        opened(tmp_path, katib(resumePolicy=policy, **changes))


def test_fresh_is_a_study_of_its_own_beside_the_first(tmp_path: Path) -> None:
    begun(tmp_path, katib(), [0.5, 0.4])
    again = opened(tmp_path, katib(seed=1), fresh=True)
    assert again.found == ()
    assert again.directory == tmp_path / "studies" / "team" / "random.0002"
    again.ledger.begin(0, {"lr": 0.02, "momentum": 0.7})
    assert len(opened(tmp_path, katib(seed=1)).found) == 1
    assert opened(tmp_path, katib(), fresh=True).directory.name == "random.0003"


def test_names_of_other_namespaces_are_other_studies(tmp_path: Path) -> None:
    begun(tmp_path, katib(), [0.5])
    source = to_katib(katib())
    del source["metadata"]["namespace"]
    other = from_katib(source)
    assert namespace_of(other) == "default"
    assert opened(tmp_path, other).found == ()

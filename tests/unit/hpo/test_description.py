from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from podium.config.algorithms import algorithm_named, stopping_named
from podium.errors import InputError
from podium.hpo.description import StudyAbout, StudyDescription
from podium.hpo.engines.embedded import EmbeddedEngine
from podium.hpo.experiment import Objective
from podium.hpo.space import Space
from podium.hpo.study import run_study
from podium.records import TrialRecord

from .support import InlinePool, Trial, experiment, file_ledger, where
from .test_space import spaces


@given(space=spaces)
def test_every_space_reads_back_equal(space: Space) -> None:
    description = StudyDescription(
        experiment=experiment(space=space), about=StudyAbout(backbone="tiny", family="f" * 64)
    )
    read = StudyDescription.from_json(description.to_json())
    assert read == description
    assert [type(value) for value in _choices(read)] == [type(value) for value in _choices(description)]


def _choices(description: StudyDescription) -> list[Any]:
    return [
        value for _, item in description.experiment.space.parameters.items() for value in getattr(item, "choices", ())
    ]


def test_everything_else_reads_back_equal() -> None:
    aim = experiment(
        space=where("warmup_ratio", batch_size=(8, 32)),
        objective=Objective(
            metric="loss",
            direction="minimize",
            goal=0.1,
            additional_metrics=("accuracy",),
            strategies={"accuracy": "latest"},
        ),
        algorithm=algorithm_named("tpe", {"n_startup_trials": 3, "multivariate": True}),
        early_stopping=stopping_named("median", {"start_step": 2}),
    )
    about = StudyAbout(engine="katib", source="e.yaml", katib={"kind": "Experiment"})
    assert StudyDescription.from_json(StudyDescription(experiment=aim, about=about).to_json()) == StudyDescription(
        experiment=aim, about=about
    )


def without(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(StudyDescription(experiment=experiment()).to_json())
    del body["experiment"][name]
    return body


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"schema_version": 1}', "schema_version must be 2, but got 1"),
        (json.dumps(without("space")), "experiment.space must be given"),
        (json.dumps(without("seed")), "seed"),
        (StudyDescription(experiment=experiment()).to_json().replace('"type": "int"', '"type": "complex"'), "complex"),
        (
            StudyDescription(experiment=experiment()).to_json().replace('"max_trials": 6', '"max_trials": 0'),
            "experiment.max_trials must be greater than 0, but got 0",
        ),
    ],
)
def test_what_describes_no_study_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        StudyDescription.from_json(text)


def test_a_study_describes_itself_before_its_first_trial_and_again_when_it_is_extended(tmp_path: Path) -> None:
    ledger = file_ledger(tmp_path)
    engine = EmbeddedEngine(Trial(tmp_path / "executed"), InlinePool(), tmp_path / "logs")
    about = StudyAbout(backbone="tiny")
    seen: list[str | None] = []

    def on_trial(trial: TrialRecord) -> None:
        seen.append(ledger.description())

    run_study(experiment(max_trials=2), ledger, engine, on_trial, about)
    assert set(seen) == {StudyDescription(experiment=experiment(max_trials=2), about=about).to_json()}
    run_study(experiment(max_trials=3), ledger, engine, about=about)
    assert ledger.description() == StudyDescription(experiment=experiment(max_trials=3), about=about).to_json()
    assert len(ledger.trials()) == 3

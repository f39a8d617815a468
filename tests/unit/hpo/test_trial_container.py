"""What a trial's container is given, and what it leaves; its training is covered with a real model elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.config.schema import EntrantConfig
from podium.errors import ConfigError, InputError, TimeLimitExceeded
from podium.hpo.engines import TrialResult
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.trial_container import TrialInstructions, main, params_given, run
from podium.records import ArtifactRef
from podium.store.store import ArtifactStore

from .support import SPACE

PARAMS = {"batch_size": 16, "epochs": 4, "learning_rate": 0.001, "warmup_ratio": 0.1}
ARGUMENTS = [f"--{name}={value}" for name, value in PARAMS.items()]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """A store with the instructions of a study whose trials only report a score."""

    def train(instructions: Any, store: Any, name: str, claim: Claim, ledger: TrialLedger) -> TrialResult:
        ledger.fold_finished(claim, 0, 0.5, {}, 1.0)
        return TrialResult(0.5)

    monkeypatch.setattr("podium.hpo.trial_container.cross_validate_in_pod", train)
    store = ArtifactStore(str(tmp_path / "store"))
    instructions = TrialInstructions(
        space=SPACE.parameters,
        training={},
        data=ArtifactRef(name="data", digest="0" * 64, files=1, size_bytes=1),
        entrant=EntrantConfig(path="somewhere"),
        identity={"backbone": "0" * 64},
        trial={},
    )
    instructions.write(store.documents("ledgers/study"))
    return store


def environment(store: ArtifactStore, **variables: str) -> dict[str, str]:
    return {"PODIUM_STORE": store.uri, "PODIUM_LEDGER": "ledgers/study", "PODIUM_TRIAL": "t", **variables}


@pytest.mark.parametrize(("rank", "written"), [("0", True), ("1", False)])
def test_only_the_first_rank_writes_the_result(store: ArtifactStore, rank: str, written: bool) -> None:
    record = run(ARGUMENTS, environment(store, RANK=rank))
    assert (record.status, record.score, record.params) == ("succeeded", 0.5, PARAMS)
    found = TrialLedger(store.documents("ledgers/study").below("t")).trials()
    assert [trial.fold_scores for trial in found] == ([{"0": 0.5}] if written else [])


def test_a_helping_rank_knows_what_an_earlier_attempt_finished(store: ArtifactStore) -> None:
    ledger = TrialLedger(store.documents("ledgers/study").below("t"))
    earlier = run(ARGUMENTS, environment(store))
    assert run(["--epochs=1", *ARGUMENTS[:1], *ARGUMENTS[2:]], environment(store, RANK="1")) == earlier
    assert ledger.trials() == (earlier,)


def test_a_training_that_fails_is_a_failed_trial_with_exit_code_1(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> TrialResult:
        raise TimeLimitExceeded("a training must end within 1 s")

    monkeypatch.setattr("podium.hpo.trial_container.cross_validate_in_pod", fail)
    monkeypatch.setattr("sys.argv", ["", *ARGUMENTS])
    for name, value in environment(store).items():
        monkeypatch.setenv(name, value)
    assert main() == 1
    (found,) = TrialLedger(store.documents("ledgers/study").below("t")).trials()
    assert (found.status, found.reason) == ("failed", "TimeLimitExceeded")


@pytest.mark.parametrize("name", ["PODIUM_STORE", "PODIUM_LEDGER", "PODIUM_TRIAL"])
def test_a_missing_variable_is_named(store: ArtifactStore, name: str) -> None:
    with pytest.raises(InputError, match=f"the variable {name} must be set"):
        run(ARGUMENTS, {**environment(store), name: ""})


def test_instructions_of_another_version_are_refused(store: ArtifactStore) -> None:
    store.documents("ledgers/study").put("instructions.json", "{}")
    with pytest.raises(ConfigError, match="are image and engine of one version"):
        run(ARGUMENTS, environment(store))


def test_an_argument_takes_precedence_over_a_variable() -> None:
    variables = {f"KUBEFLOW_TRAINER_OPT_{name.upper()}": str(value) for name, value in PARAMS.items()}
    assert params_given([], variables, SPACE) == PARAMS
    assert params_given(["--epochs=7"], variables, SPACE) == {**PARAMS, "epochs": 7}


@pytest.mark.parametrize(("argument", "text"), [("epochs=7", "as --name=value"), ("--epoch=7", "did you mean")])
def test_an_argument_that_is_no_parameter_is_refused(argument: str, text: str) -> None:
    given: dict[str, Any] = {}
    with pytest.raises(ConfigError, match=text):
        params_given([argument], given, SPACE)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.config.schema import EntrantConfig, PodiumConfig
from podium.errors import ConfigError
from podium.records import StudyRecord
from podium.stages import keys
from podium.stages.hpo import prior_trials
from podium.store.store import ArtifactStore
from tests.unit.report.samples import sample

INPUTS = sample()
IDENTITY = {"kind": "transformer", "backbone": "digest"}
CONFIG = INPUTS.run.config.model_copy(
    update={"entrants": {**INPUTS.run.config.entrants, "linear": EntrantConfig(kind="linear")}}
)


def hpo(**changes: Any) -> PodiumConfig:
    return CONFIG.model_copy(update={"hpo": CONFIG.hpo.model_copy(update=changes)})


def put(store: ArtifactStore, config: PodiumConfig = CONFIG, number: int = 0) -> StudyRecord:
    """A finished study in the store, as the step leaves it."""
    sampled = INPUTS.studies[number]
    key = keys.study_key(config, INPUTS.data, sampled.entrant, IDENTITY)
    family = keys.family_key(config, INPUTS.data, sampled.entrant).digest
    study = sampled.model_copy(update={"key": key.digest, "family": family})
    store.put(key, study)
    return study


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path))


def test_studies_are_named_by_the_first_digits_of_their_keys(store: ArtifactStore) -> None:
    studies = {study.key: study.trials for study in (put(store, number=0), put(store, number=1))}
    for named in ([key[:10] for key in studies], [f"study/{key}" for key in reversed(studies)]):
        prior = prior_trials(store, hpo(warm_start=tuple(named)), INPUTS.data, "bert-tiny")
        assert prior == studies
        assert list(prior) == sorted(studies)
    assert prior_trials(store, CONFIG, INPUTS.data, "bert-tiny") == {}


def test_budgets_and_a_warm_start_of_its_own_leave_a_study_in_the_family(store: ArtifactStore) -> None:
    study = put(store, hpo(max_trials=99, warm_start=("abc",)))
    assert prior_trials(store, hpo(warm_start=(study.key,)), INPUTS.data, "bert-tiny") == {study.key: study.trials}


def test_an_unknown_study_is_refused(store: ArtifactStore) -> None:
    put(store)
    with pytest.raises(ConfigError, match=r"hpo\.warm_start: no result .* starts with 'study/eee'.*podium hpo status"):
        prior_trials(store, hpo(warm_start=("eee",)), INPUTS.data, "bert-tiny")
    with pytest.raises(ConfigError, match=r"hpo\.warm_start: a key is given by the first digits"):
        prior_trials(store, hpo(warm_start=("bert-tiny",)), INPUTS.data, "bert-tiny")


def test_a_study_of_another_family_is_refused_with_what_differs(store: ArtifactStore) -> None:
    study = put(store)
    other = hpo(warm_start=(study.key[:8],), epochs=7.0)
    with pytest.raises(ConfigError, match=r"same family.*minilm\) has other settings\.epochs \(2\.0, here 7\.0\)$"):
        prior_trials(store, other, INPUTS.data, "bert-tiny")


def test_studies_of_another_kind_are_left_out(store: ArtifactStore) -> None:
    """One warm start serves all entrants of a run, and a linear model learns nothing from a transformer's params."""
    key = keys.study_key(CONFIG, INPUTS.data, "linear", {"kind": "linear"})
    family = keys.family_key(CONFIG, INPUTS.data, "linear").digest
    fitted = INPUTS.studies[0].model_copy(update={"key": key.digest, "family": family, "entrant": "linear"})
    store.put(key, fitted)
    tuned = put(store)
    both = hpo(warm_start=(fitted.key, tuned.key))
    assert prior_trials(store, both, INPUTS.data, "bert-tiny") == {tuned.key: tuned.trials}
    assert prior_trials(store, both, INPUTS.data, "linear") == {fitted.key: fitted.trials}


def test_the_key_of_a_study_follows_what_it_learns_from_and_not_how_that_is_named(store: ArtifactStore) -> None:
    study = put(store)

    def key(**changes: Any) -> str:
        config = hpo(**changes)
        prior = prior_trials(store, config, INPUTS.data, "bert-tiny")
        return keys.study_key(config, INPUTS.data, "bert-tiny", IDENTITY, prior).digest

    warm = key(warm_start=(study.key,))
    assert warm == key(warm_start=(study.key[:9],)) != key()
    longer = (*study.trials, study.trials[0].model_copy(update={"number": 99}))
    stored = keys.study_key(CONFIG, INPUTS.data, study.entrant, IDENTITY)
    store.put(stored, study.model_copy(update={"budget": 99, "mlflow_run_id": None}))
    assert key(warm_start=(study.key,)) == warm
    store.put(stored, study.model_copy(update={"trials": longer}))
    assert key(warm_start=(study.key,)) != warm

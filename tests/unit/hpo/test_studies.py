from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.errors import InputError, StudyFailed
from podium.hpo.description import StudyAbout, StudyDescription
from podium.hpo.experiment import Objective
from podium.hpo.ledger import TrialLedger
from podium.hpo.studies import LEDGERS, find_study, list_studies
from podium.store.process import ProcessIdentity
from podium.store.store import ArtifactStore

from .conformance import PARAMS, dead_owner
from .support import experiment

KEY = "3ddbbc0d2d4c" + "0" * 52


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store") if request.param == "local" else f"memory://{tmp_path}")


def study(
    store: ArtifactStore, key: str = KEY, ledger: str = "main", owner: ProcessIdentity | None = None, **changes: Any
) -> TrialLedger:
    """The ledger of a study that is described and has no trials yet."""
    trials = TrialLedger(store.documents(f"{LEDGERS}/{key}/{ledger}"), owner)
    trials.describe(StudyDescription(experiment=experiment(**changes), about=StudyAbout(backbone="tiny")).to_json())
    return trials


def succeed(ledger: TrialLedger, number: int, score: float) -> None:
    ledger.finish(ledger.begin(number, PARAMS), score)


def test_a_store_without_studies_has_none(store: ArtifactStore) -> None:
    assert list_studies(store) == ([], [])
    with pytest.raises(InputError, match=r"no study in the store .* has the name 'x' .*, which holds none"):
        find_study(store, "x")


def test_states_follow_the_trials_and_who_runs_them(store: ArtifactStore) -> None:
    cases = {
        "a": ("finished", {"max_trials": 2}, [0.1, 0.2]),
        "b": ("stopped", {"max_trials": 3}, [0.1, 0.2]),
        "c": ("goal reached", {"objective": Objective(metric="score", goal=0.2)}, [0.1, 0.2]),
        "d": ("failed", {"max_failed_trials": 0}, [0.1, None]),
        "e": ("failed", {"max_trials": 1}, [None]),
        "f": ("stopped", {}, []),
    }
    for key, (_, changes, scores) in cases.items():
        ledger = study(store, key, **changes)
        for number, score in enumerate(scores):
            if score is None:
                ledger.fail(ledger.begin(number, PARAMS), "OutOfMemory", "full")
            else:
                succeed(ledger, number, score)
    studies, problems = list_studies(store)
    assert {one.key: one.state for one in studies} == {key: state for key, (state, _, _) in cases.items()}
    assert problems == []


def test_a_trial_that_its_reached_goal_cut_off_does_not_run(store: ArtifactStore) -> None:
    ledger = study(store, objective=Objective(metric="score", goal=0.2), owner=ProcessIdentity.current())
    succeed(ledger, 0, 0.3)
    ledger.begin(1, PARAMS)
    assert find_study(store, KEY).state == "goal reached"


def test_a_study_runs_as_long_as_who_runs_it_may_be_alive(store: ArtifactStore) -> None:
    elsewhere = ProcessIdentity(host="pod-7/boot", pid=1, started=0.0)
    for key, owner in (("a", ProcessIdentity.current()), ("b", dead_owner()), ("c", elsewhere)):
        study(store, key, owner=owner).begin(0, PARAMS)
    assert find_study(store, "a").state == "running"
    assert find_study(store, "b").state == "stopped"
    assert find_study(store, "c").owners == ("process 1 on pod-7",)


def test_the_study_that_began_last_comes_first(store: ArtifactStore) -> None:
    for key in ("b", "a", "c"):
        succeed(study(store, key), 0, 0.5)
    study(store, "d")
    assert [one.key for one in list_studies(store)[0]] == ["d", "c", "a", "b"]


def test_a_study_is_found_by_key_prefix_or_name(store: ArtifactStore) -> None:
    study(store, name="reviews-tiny")
    study(store, "ffff", name="other")
    for text in ("3ddb", KEY, f"{KEY}/main", "reviews-tiny"):
        assert find_study(store, text).key == KEY
    with pytest.raises(InputError, match=r"no study .*'nothing'.*it holds:\n  .*reviews-tiny, stopped, 0 trials"):
        find_study(store, "nothing")
    with pytest.raises(InputError, match="no study"):
        find_study(store, "")


def test_an_ambiguous_name_lists_what_it_may_mean(store: ArtifactStore) -> None:
    for key in ("aa", "ab"):
        study(store, key, name="reviews-tiny")
    study(store, "aa", "run-2", name="reviews-tiny")
    for text in ("a", "reviews-tiny"):
        with pytest.raises(InputError, match="means 3; give one of these keys:") as error:
            find_study(store, text)
        assert all(f"\n  {key}  reviews-tiny" in str(error.value) for key in ("aa/main", "aa/run-2", "ab"))
    assert find_study(store, "aa/r").ledger == "run-2"


def test_a_ledger_without_description_is_reported(store: ArtifactStore) -> None:
    succeed(TrialLedger(store.documents(f"{LEDGERS}/{KEY}/main")), 0, 0.5)
    with pytest.raises(
        InputError, match=r"3ddbbc.*/main has no study\.json: an older version of Podium wrote it"
    ) as error:
        find_study(store, "3dd")
    assert list_studies(store) == ([], [str(error.value)])


def test_a_damaged_description_is_named_and_hides_no_other_study(store: ArtifactStore) -> None:
    study(store, "aa").describe("{")
    study(store, "bb")
    studies, (problem,) = list_studies(store)
    assert [one.key for one in studies] == ["bb"] and "ledgers/aa/main/study.json" in problem
    with pytest.raises(InputError, match=r"ledgers/aa/main/study\.json: the description of a study is damaged"):
        find_study(store, "aa")


def test_the_best_trial_follows_the_direction(store: ArtifactStore) -> None:
    ledger = study(store, objective=Objective(metric="loss", direction="minimize"))
    with pytest.raises(StudyFailed):
        _ = find_study(store, KEY).best
    succeed(ledger, 0, 0.5)
    succeed(ledger, 1, 0.3)
    assert find_study(store, KEY).best.number == 1

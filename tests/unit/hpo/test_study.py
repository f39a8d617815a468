from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from podium.config.search import algorithm_named, stopping_named
from podium.errors import ConfigError, InputError, OutOfMemory, StudyFailed
from podium.events import ENV_FILE
from podium.hpo.engines import EmbeddedEngine, Engine, OnTrial
from podium.hpo.experiment import Experiment, Objective, Space
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import (
    LEDGERS,
    StudyAbout,
    StudyDescription,
    best_trial,
    find_study,
    list_studies,
    run_study,
    try_again,
)
from podium.records import TrialRecord
from podium.store.process import ProcessIdentity
from podium.store.store import ArtifactStore

from .conformance import PARAMS, dead_owner
from .support import InlinePool, Trial, experiment, file_ledger, where
from .test_experiment import spaces


class Refuses(Engine):
    def run(self, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial) -> None:
        raise AssertionError("no engine is needed")


def test_a_ledger_of_another_study_is_refused(tmp_path: Path) -> None:
    ledger = file_ledger(tmp_path)
    ledger.finish(ledger.begin(0, {**PARAMS, "learning_rate": 0.5}), 0.1)
    with pytest.raises(ConfigError, match=r"trial 0 of the ledger does not belong to study synthetic: .*learning_rate"):
        run_study(experiment(), ledger, Refuses())


@pytest.mark.parametrize("failing", [{0, 2, 3}, {0, 1, 2, 3, 4, 5}])
def test_a_study_that_failed_executes_its_failed_trials_once_more(tmp_path: Path, failing: set[int]) -> None:
    ledger, place, asked = file_ledger(tmp_path), tmp_path / "executed", experiment(parallel_trials=1)
    trial = Trial(place, errors={number: OutOfMemory("full") for number in failing})
    with pytest.raises(StudyFailed, match="run the same command again, which executes them once more"):
        run_study(asked, ledger, EmbeddedEngine(trial, InlinePool(), tmp_path / "logs"))
    before = {record.number: record for record in ledger.trials()}
    try_again(asked, ledger)
    reopened = [record for record in ledger.trials() if record.status == "running"]
    assert [record.number for record in reopened] == sorted(failing & before.keys())
    assert all(record.params == before[record.number].params and record.error is None for record in reopened)
    trials = run_study(asked, ledger, EmbeddedEngine(Trial(place), InlinePool(), tmp_path / "logs"))
    assert [record.status for record in trials] == ["succeeded"] * asked.max_trials
    assert 1 in failing or trials[1] == before[1]


def test_failed_trials_of_a_study_with_a_result_are_left_as_they_are(tmp_path: Path) -> None:
    ledger, asked = file_ledger(tmp_path), experiment(max_trials=2)
    ledger.fail(ledger.begin(0, PARAMS), "OutOfMemory", "full")
    for _ in range(2):
        try_again(asked, ledger)
        assert ledger.trials()[0].status == "failed"
        if len(ledger.trials()) == 1:
            ledger.finish(ledger.begin(1, PARAMS), 0.5)


def test_a_long_list_of_errors_is_cut(tmp_path: Path) -> None:
    ledger = file_ledger(tmp_path)
    for number in range(9):
        ledger.fail(ledger.begin(number, PARAMS), "OutOfMemory", f"OutOfMemory: {number}")
    with pytest.raises(StudyFailed, match="trial 4: OutOfMemory: 4; and 4 more") as error:
        run_study(experiment(max_trials=20), ledger, Refuses())
    assert "trial 5" not in str(error.value)


def test_progress_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(
        tmp_path / "executed", errors={1: OutOfMemory("full")}, scores={0: 3.0, 2: 5.0, 3: 4.0, 4: 2.0, 5: 1.0}
    )
    fields = {"entrant": "synthetic", "folds": 2}
    engine = EmbeddedEngine(trial, InlinePool(), tmp_path / "logs", event_fields=fields)
    ledger = file_ledger(tmp_path)
    objective = Objective(metric="score", direction="minimize")
    run_study(experiment(max_trials=3, parallel_trials=1, objective=objective), ledger, engine)
    monkeypatch.setenv(ENV_FILE, str(tmp_path / "events"))
    run_study(experiment(max_trials=6, parallel_trials=1, objective=objective), ledger, engine)
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    started = [event for event in events if event["event"] == "trial_started"]
    ended = [event for event in events if event["event"] == "trial_finished"]
    assert [event["number"] for event in started] == [event["number"] for event in ended] == list(range(6))
    assert [event["best"] for event in ended] == [3.0, 3.0, 3.0, 3.0, 2.0, 1.0]
    assert [event["score"] for event in ended] == [3.0, None, 5.0, 4.0, 2.0, 1.0]
    assert [event["found"] for event in ended] == [True] * 3 + [False] * 3
    assert ended[1]["error"].startswith("OutOfMemory: full")
    assert ended[1]["status"] == "failed"
    new = {name: started[4][name] for name in ("entrant", "folds", "attempt")}
    assert new == {"entrant": "synthetic", "folds": 2, "attempt": 1}
    assert started[4]["params"] == ended[4]["params"] == ledger.trials()[4].params


def scored(number: int, score: float | None, status: Any = "succeeded") -> TrialRecord:
    return TrialRecord(number=number, params={}, status=status, score=score)


def test_the_best_trial_succeeded_and_has_the_lowest_number_of_equals() -> None:
    trials = [scored(4, 0.5), scored(2, 0.7), scored(1, 0.9, "pruned"), scored(3, 0.7), scored(0, None, "failed")]
    assert best_trial(trials, "maximize").number == 2
    assert best_trial(trials, "minimize").number == 4
    assert best_trial(trials[::-1], "maximize").number == 2


def test_without_a_succeeded_trial_there_is_no_best() -> None:
    with pytest.raises(StudyFailed, match="none of 0 did: no trial failed either"):
        best_trial([], "maximize")


TEXT = StudyDescription(experiment=experiment()).model_dump_json(indent=1)


def read(text: str) -> StudyDescription | None:
    documents = ArtifactStore(f"memory://{uuid.uuid4().hex}").documents("ledger")
    documents.put("study.json", text)
    return StudyDescription.read(documents)


def reread(description: StudyDescription) -> StudyDescription:
    documents = ArtifactStore(f"memory://{uuid.uuid4().hex}").documents("ledger")
    assert StudyDescription.read(documents) is None
    description.write(documents)
    found = StudyDescription.read(documents)
    assert found is not None
    return found


@given(space=spaces)
def test_every_space_reads_back_equal(space: Space) -> None:
    description = StudyDescription(
        experiment=experiment(space=space), about=StudyAbout(entrant="tiny", family="f" * 64)
    )
    again = reread(description)
    assert again == description
    assert [type(value) for value in _choices(again)] == [type(value) for value in _choices(description)]


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
    description = StudyDescription(experiment=aim, about=about)
    assert reread(description) == description


def without(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(TEXT)
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
        (TEXT.replace('"type": "int"', '"type": "complex"'), "complex"),
        (
            TEXT.replace('"max_trials": 6', '"max_trials": 0'),
            "experiment.max_trials must be greater than 0, but got 0",
        ),
    ],
)
def test_what_describes_no_study_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(text)


def test_a_study_describes_itself_before_its_first_trial_and_again_when_it_is_extended(tmp_path: Path) -> None:
    ledger = file_ledger(tmp_path)
    engine = EmbeddedEngine(Trial(tmp_path / "executed"), InlinePool(), tmp_path / "logs")
    about = StudyAbout(entrant="tiny")
    seen: list[StudyDescription | None] = []

    def on_trial(trial: TrialRecord) -> None:
        seen.append(StudyDescription.read(ledger.documents))

    run_study(experiment(max_trials=2), ledger, engine, on_trial, about)
    assert seen == [StudyDescription(experiment=experiment(max_trials=2), about=about)] * 2
    run_study(experiment(max_trials=3), ledger, engine, about=about)
    assert StudyDescription.read(ledger.documents) == StudyDescription(experiment=experiment(max_trials=3), about=about)
    assert len(ledger.trials()) == 3


KEY = "3ddbbc0d2d4c" + "0" * 52


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store") if request.param == "local" else f"memory://{tmp_path}")


def study(
    store: ArtifactStore, key: str = KEY, ledger: str = "main", owner: ProcessIdentity | None = None, **changes: Any
) -> TrialLedger:
    """The ledger of a study that is described and has no trials yet."""
    trials = TrialLedger(store.documents(f"{LEDGERS}/{key}/{ledger}"), owner)
    StudyDescription(experiment=experiment(**changes), about=StudyAbout(entrant="tiny")).write(trials.documents)
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
    study(store, "aa").documents.put("study.json", "{")
    study(store, "bb")
    studies, (problem,) = list_studies(store)
    assert [one.key for one in studies] == ["bb"] and "ledgers/aa/main/study.json" in problem
    with pytest.raises(InputError, match=r"ledgers/aa/main/study\.json: the description of a study is damaged"):
        find_study(store, "aa")


def test_the_best_trial_follows_the_direction(store: ArtifactStore) -> None:
    ledger = study(store, objective=Objective(metric="loss", direction="minimize"))
    assert find_study(store, KEY).ranked == []
    succeed(ledger, 0, 0.5)
    succeed(ledger, 1, 0.3)
    assert [trial.number for trial in find_study(store, KEY).ranked] == [1, 0]

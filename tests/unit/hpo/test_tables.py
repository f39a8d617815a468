from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from podium.errors import InputError, StudyFailed
from podium.hpo.experiment import Experiment, Objective
from podium.hpo.study import StoredStudy, StudyAbout
from podium.hpo.tables import best_facts, best_text, export_study, importance_text, span, studies_table, study_text
from podium.katib.experiment import from_katib, to_katib
from podium.records import Observed, TrialRecord

from .conformance import PARAMS
from .support import experiment, where

WHEN = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


def trial(number: int, score: float | None = None, status: Any = "succeeded", **changes: Any) -> TrialRecord:
    return TrialRecord(number=number, params=PARAMS, status=status, score=score, started_at=WHEN, **changes)


FOLDED = trial(
    1,
    0.75,
    fold_scores={"0": 0.7, "1": 0.8},
    fold_metrics={"0": {"accuracy": 0.5, "epoch": 2.0}, "1": {"accuracy": 0.7}},
)
TRIALS = (trial(0, 0.25), FOLDED, trial(2, status="failed"), trial(3, 0.9, "pruned"), trial(4, status="running"))


def study(*trials: TrialRecord, about: StudyAbout | None = None, key: str = "ab" * 32, **changes: Any) -> StoredStudy:
    return StoredStudy(
        key,
        "main",
        experiment(**changes),
        about or StudyAbout(entrant="tiny"),
        trials,
    )


def test_the_table_has_one_line_for_every_study() -> None:
    katib = study(about=StudyAbout(source="e.yaml"), key="katib-default.e", name="e")
    lines = studies_table(
        [study(*TRIALS), katib], ["cd/main has no study.json"], WHEN + timedelta(hours=3)
    ).splitlines()
    assert lines[0].split()[:4] == ["KEY", "NAME", "ENTRANT", "ENGINE"]
    assert " ".join(lines[1].split()) == "abababababab synthetic tiny embedded 4/6 2 1 1 0 0.7500 stopped 3 h"
    assert " ".join(lines[2].split()) == "katib-default.e e - embedded 0/6 0 0 0 0 - stopped -"
    assert lines[3] == "cd/main has no study.json"
    assert "no studies yet" in studies_table([], [])


@pytest.mark.parametrize(
    ("direction", "goal", "order"),
    [("maximize", 5.0, ["1", "0", "2", "3", "4"]), ("minimize", -5.0, ["0", "1", "2", "3", "4"])],
)
def test_one_study_ranks_its_trials_in_its_direction(direction: Any, goal: float, order: list[str]) -> None:
    found = study(*TRIALS, objective=Objective(metric="score", direction=direction, goal=goal))
    assert "1 pruned, 1 cut off\n" in study_text(found)
    text = study_text(replace(found, owners=("process 7 on here",)))
    assert "state      running: 4 of 6 trials ended, 2 succeeded, 1 failed, 1 pruned, 1 running" in text
    assert f"{direction} score, goal {goal:.4f}" in text
    rows = text.split("TRIAL  STATUS")[1].splitlines()[1:]
    assert [row.split()[0] for row in rows] == order
    assert [row.split()[1] for row in rows][2:] == ["failed", "pruned", "running"]


def test_one_study_says_what_it_searches() -> None:
    text = study_text(study(space=where("epochs", batch_size=(8, 16))))
    searched = [line.split(maxsplit=1) for line in text.split("SEARCHED\n")[1].splitlines()[:4]]
    assert searched == [
        ["batch_size", "8 | 16 | 32"],
        ["epochs", "int 1 to 8" + " " * 25 + "where batch_size is 8 or 16"],
        ["learning_rate", "float 1e-05 to 0.1 on a log scale"],
        ["warmup_ratio", "float 0 to 0.5 in steps of 0.1"],
    ]


def test_a_long_leaderboard_is_cut() -> None:
    text = study_text(study(*(trial(number, 0.5) for number in range(30)), max_trials=30))
    assert text.endswith("and 20 more; `podium hpo export abababababab` has all")


def test_the_best_trial_comes_with_overrides_that_train_with_it() -> None:
    facts = best_facts(study(*TRIALS))
    assert (facts["trial"], facts["score"], facts["params"]) == (1, 0.75, PARAMS)
    assert facts["spread"] == pytest.approx(0.0707107)
    assert facts["metrics"] == {"accuracy": pytest.approx(0.6), "epoch": 2.0}
    assert "training.learning_rate=0.001" in facts["overrides"]
    text = best_text(facts)
    assert "trial 1, the best of 5: score 0.7500 (folds 0.7000, 0.8000; standard deviation 0.0707)" in text
    assert text.splitlines()[-1] == " ".join(facts["overrides"])


def test_overrides_are_in_the_section_of_the_entrant() -> None:
    facts = best_facts(study(*TRIALS, about=StudyAbout(entrant="words", section="linear")))
    assert facts["overrides"] and all(one.startswith("linear.") for one in facts["overrides"])


def test_params_of_a_katib_file_are_no_training_fields() -> None:
    metrics = {"score": Observed(min=0.1, max=0.5, latest=0.4), "loss": Observed(min=0.2, max=0.9, latest=0.3)}
    facts = best_facts(study(trial(0, 0.5, metrics=metrics), about=StudyAbout(source="e.yaml")))
    assert "overrides" not in facts and facts["spread"] is None
    assert facts["metrics"] == {"score": 0.5, "loss": 0.3}
    assert "training." not in best_text(facts)


def test_a_study_without_a_succeeded_trial_has_no_best() -> None:
    with pytest.raises(StudyFailed, match=r"study synthetic \(abababababab, stopped\) has no best trial: .*none of 0"):
        best_facts(study())


def test_importance_is_drawn() -> None:
    lines = importance_text(study(*TRIALS), {"learning_rate": 0.75, "epochs": 0.25}).splitlines()
    assert "score over 2 trials" in lines[0]
    assert [line.split()[:2] for line in lines[2:]] == [["learning_rate", "75.0%"], ["epochs", "25.0%"]]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (5.25, "5.2 s"), (59.9, "59 s"), (61, "1 min"), (7200, "2 h"), (1e6, "11 d")]
)
def test_time_spans_have_one_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


EXAMPLE = Path(__file__).parents[1] / "katib" / "examples" / "random.yaml"


def test_csv_has_a_row_for_every_trial_and_a_column_for_all_there_is() -> None:
    text = export_study(study(*TRIALS), "csv").decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["number"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [row["status"] for row in rows] == ["succeeded", "succeeded", "failed", "pruned", "running"]
    assert rows[1]["fold.0"] == "0.7" and rows[0]["fold.0"] == ""
    assert rows[1]["fold.1.accuracy"] == "0.7"
    assert rows[0]["param.learning_rate"] == "0.001"
    columns = list(rows[0])
    assert columns[:4] == ["number", "status", "score", "param.batch_size"]
    assert columns.index("fold.1") < columns.index("fold.0.accuracy") < columns.index("started_at")


def test_a_study_without_trials_is_a_heading() -> None:
    assert export_study(study(), "csv") == b"number,status,score\n"


def test_parquet_keeps_types_and_takes_choices_of_several_types() -> None:
    from pyarrow import parquet

    mixed = tuple(
        TrialRecord(number=number, params={"layers": value, "size": size}, status="succeeded", score=0.5)
        for number, (value, size) in enumerate([(1, 2), ("all", 2.5)])
    )
    found = parquet.read_table(io.BytesIO(export_study(study(*mixed), "parquet"))).to_pylist()
    assert [row["param.layers"] for row in found] == ["1", "all"]
    assert [row["param.size"] for row in found] == [2.0, 2.5]
    assert [row["number"] for row in found] == [0, 1]


def test_json_holds_whole_records() -> None:
    body = json.loads(export_study(study(*TRIALS), "json"))
    assert Experiment.model_validate(body["experiment"]) == experiment()
    assert tuple(TrialRecord.model_validate(item) for item in body["trials"]) == TRIALS


def test_a_study_of_a_katib_file_is_written_as_one() -> None:
    katib = from_katib(EXAMPLE.read_text())
    exported = export_study(study(about=StudyAbout(source="random.yaml", katib=to_katib(katib))), "katib")
    assert from_katib(exported.decode()) == katib
    assert yaml.safe_load(exported)["kind"] == "Experiment"
    with pytest.raises(InputError, match="searched entrant 'tiny'; --format json has its experiment"):
        export_study(study(), "katib")

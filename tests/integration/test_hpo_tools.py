"""`podium hpo status|best|export|importance` and warm start over the study of a real run."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import Finished, podium_here
from podium.records import StudyRecord

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def study(smoke_run: Finished) -> StudyRecord:
    return StudyRecord.read(smoke_run.record("hpo-bert-tiny"))


def test_status_lists_the_study_and_shows_one(smoke_run: Finished, study: StudyRecord) -> None:
    listed = podium_here(smoke_run.folder, "hpo", "status").output.splitlines()
    (line,) = (line for line in listed if line.startswith(study.key[:12]))
    assert line.split()[:9] == [
        study.key[:12],
        "bbc-news-bert-tiny",
        "bert-tiny",
        "embedded",
        "2/2",
        "2",
        "0",
        "0",
        "0",
    ]
    shown = podium_here(smoke_run.folder, "hpo", "status", study.key[:6], "--watch").output
    assert "finished: 2 of 2 trials ended" in shown and "float 3e-05 to 0.001 on a log scale" in shown


def test_best_is_the_trial_that_was_refitted_and_its_overrides_are_config(
    smoke_run: Finished, study: StudyRecord
) -> None:
    best = json.loads(podium_here(smoke_run.folder, "hpo", "best", "bbc-news-bert-tiny", "-o", "json").output)
    assert (best["trial"], best["score"], best["params"]) == (study.best, study.best_score, study.best_trial.params)
    assert yaml.safe_load(podium_here(smoke_run.folder, "hpo", "best", study.key, "-o", "yaml").output) == best
    shown = podium_here(smoke_run.folder, "config", "show", "--preset", "smoke", *best["overrides"])
    assert shown.code == 0
    for name, value in study.best_trial.params.items():
        line = next(line for line in shown.output.splitlines() if line.startswith(f"training.{name} "))
        assert line.split()[1:] == [str(value), "command", "line"]


def test_every_trial_is_exported(smoke_run: Finished, study: StudyRecord, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(podium_here(smoke_run.folder, "hpo", "export", study.key[:9]).output)))
    assert [float(row["score"]) for row in rows] == [trial.score for trial in study.trials]
    file = tmp_path / "study.parquet"
    done = podium_here(smoke_run.folder, "hpo", "export", study.key[:9], "--format", "parquet", "-o", str(file))
    assert (done.code, done.output, file.read_bytes()[:4]) == (0, "", b"PAR1")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["best", "nothing"], 2, "error: no study in the store"),
        (["importance", "bbc-news-bert-tiny"], 2, "needs at least 8 succeeded trials, but bbc-news-bert-tiny has 2"),
        (["export", "bbc-news-bert-tiny", "--format", "katib"], 2, "only a study that was read from a Katib file"),
        (["status", "--store", "nowhere"], 2, "error: nowhere does not exist"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    smoke_run: Finished, arguments: list[str], code: int, message: str
) -> None:
    done = podium_here(smoke_run.folder, "hpo", *arguments)
    assert done.code == code and message in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("left_out", "refused"), [("bert-tiny", ("linear", "C")), ("linear", ("bert-tiny", "dropout"))]
)
def test_a_search_that_contradicts_itself_is_told_before_anything_runs(
    smoke_run: Finished, left_out: str, refused: tuple[str, str]
) -> None:
    asked = ("hpo.algorithm.name=grid", f"~entrants.{left_out}")
    done = podium_here(smoke_run.folder, "run", "--preset", "smoke", *asked, "--dry-run")
    message = "entrants.{}: hpo: algorithm 'grid' needs a uniform scale and a step, but '{}'".format(*refused)
    assert done.code == 2 and message in done.output


LOADED = """
import sys
from podium.cli.app import main
sys.argv = ["podium", "hpo", "status"]
try:
    main()
except SystemExit:
    print({"torch", "transformers", "mlflow", "optuna", "kfp"} & set(sys.modules))
"""


def test_status_loads_no_heavy_library(smoke_run: Finished) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=smoke_run.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


WARM = """
import sys
from pathlib import Path
from podium.records import DataRecord, RunRecord
from podium.stages.step import StepInputs, execute
from podium.stages.steps import step_named
from podium.config.form import RunForm
from podium.stages.prepare import resolve_form
config = resolve_form(RunForm(run_preset="smoke", run_overrides=tuple(sys.argv[2:])), Path.cwd()).config
inputs = StepInputs(RunRecord(run_id="warm", config=config), (DataRecord.read(sys.argv[1]),), "bert-tiny")
print(execute(step_named("hpo"), inputs).to_json())
"""


@pytest.mark.slow
def test_a_warm_started_study_is_one_of_its_own_that_names_what_it_learnt_from(
    smoke_copy: Finished, study: StudyRecord
) -> None:
    asked = ["hpo.max_trials=1", "hpo.max_failed_trials=0", "tracking.mode=off", f"hpo.warm_start=[{study.key[:8]}]"]
    refused = podium_here(smoke_copy.folder, "run", "--preset", "smoke", *asked, "hpo.epochs=1", "--dry-run")
    assert refused.code == 2 and "must be of the same family" in refused.output
    assert f"{study.key[:12]} (bert-tiny) has other settings.epochs (3.0, here 1.0)" in refused.output
    done = subprocess.run(
        [sys.executable, "-c", WARM, str(smoke_copy.record("prepare")), *asked],
        cwd=smoke_copy.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    warm = StudyRecord.from_json(done.stdout)
    assert warm.key != study.key and warm.family == study.family
    assert warm.parents["warm_start_1"] == study.key
    assert [trial.number for trial in warm.trials] == [0]
    planned = podium_here(smoke_copy.folder, "run", "--preset", "smoke", *asked, "--dry-run").output
    line = next(line for line in planned.splitlines() if line.startswith("hpo-bert-tiny"))
    assert line.split()[1:3] == ["reuse", warm.key[:12]]

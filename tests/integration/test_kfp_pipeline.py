"""The pipeline as Kubeflow wires it, on this machine: `kfp.local` finds what `podium run` stored."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Finished
from podium.config.schema import TrackingConfig
from podium.records import DecisionRecord, FailedEntrant, SelectionRecord
from podium.stages.steps import KFP_RUNS
from podium.store.store import ArtifactStore
from podium.tracking import tracker_for

pytestmark = pytest.mark.integration

CODE = """
import sys
from kfp import local
from podium.pipelines.champion.pipeline import champion
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root="kfp", workspace_root="workspace")
champion(run_preset="smoke", run_overrides=sys.argv[1:])
"""


def run_pipeline(folder: Path, *overrides: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *overrides],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.slow
def test_every_step_of_the_pipeline_hands_over_the_stored_result(smoke_copy: Finished) -> None:
    tracker = tracker_for(TrackingConfig(uri=f"sqlite:///{smoke_copy.folder}/podium-out/mlflow.db"))
    before = {run.run_id for run in tracker.runs({"podium.kind": "run"})}
    run_pipeline(smoke_copy.folder, "report.examples=1")
    decision = DecisionRecord.read(next(smoke_copy.folder.glob("kfp/*/decide/decision")))
    assert decision == DecisionRecord.read(smoke_copy.record("decide"))
    assert next(smoke_copy.folder.glob("kfp/*/report/page")).stat().st_size > 10_000
    (parent,) = (run for run in tracker.runs({"podium.kind": "run"}) if run.run_id not in before)
    assert parent.status == "FINISHED"
    results = {name: key for name, key in parent.tags.items() if name.startswith("podium.result.")}
    assert len(results) == 13 and results["podium.result.decide"] == decision.key
    notes = ArtifactStore(str(smoke_copy.folder / "podium-out" / "store")).documents(KFP_RUNS)
    (note,) = (json.loads(notes.get(name) or "") for name in notes.names())
    assert note["verdict"] == decision.verdict and note["results"]["decide"] == decision.key
    computed = [run for run in tracker.steps() if run.tags.get("podium.run_id") == parent.tags["podium.run_id"]]
    assert [run.name for run in computed] == ["report"], "nothing is computed twice"


@pytest.mark.slow
def test_an_answer_that_is_stored_in_whole_takes_one_pod(smoke_copy: Finished) -> None:
    run_pipeline(smoke_copy.folder)
    tasks = {path.name for path in smoke_copy.folder.glob("kfp/*/*")}
    assert tasks >= {"prepare", "reuse"} and not tasks & {"hpo", "select", "report"}
    page = next(smoke_copy.folder.glob("kfp/*/reuse/page"))
    assert page.read_bytes() == (smoke_copy.directory / "report.html").read_bytes()


@pytest.mark.slow
def test_an_entrant_that_fails_fails_no_task(smoke_copy: Finished) -> None:
    space = "hpo.space={learning_rate:{type:float,low:1e25,high:1e30}}"
    run_pipeline(smoke_copy.folder, space, "hpo.max_failed_trials=0")
    models = [path.read_text() for path in smoke_copy.folder.glob("kfp/*/*/refit/model")]
    (failed,) = (FailedEntrant.from_json(text) for text in models if '"reason"' in text)
    assert len(models) == 2 and failed.title == "hpo-bert-tiny" and "became nan" in failed.error
    selection = SelectionRecord.read(next(smoke_copy.folder.glob("kfp/*/select/selection")))
    assert [entry.entrant for entry in selection.leaderboard] == ["linear"]
    assert "bert-tiny failed in step hpo" in next(smoke_copy.folder.glob("kfp/*/report/page")).read_text()

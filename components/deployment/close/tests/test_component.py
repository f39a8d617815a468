from types import SimpleNamespace

import pytest

from podium.components.deployment.close.component import close
from podium.config.schema import TrackingConfig
from podium.tracking import tracker_for

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("state", "ended"), [("FAILED", "FAILED"), ("CANCELLED", "KILLED"), ("SUCCEEDED", "FAILED")])
def test_it_ends_what_the_pipeline_left_running_and_nothing_else(tmp_path, state, ended) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = tracker_for(TrackingConfig(uri=uri))
    mine, other = {"podium.kfp.run_id": "kfp-1"}, {"podium.kfp.run_id": "kfp-2"}
    done, left, foreign = (tracker.open_run(name, tags) for name, tags in [("a", mine), ("b", mine), ("c", other)])
    step = tracker.open_step(left, "hpo", mine)
    tracker.close(done, "FINISHED")
    close.python_func(SimpleNamespace(state=state), run_tracking_uri=uri, kfp_run_id="kfp-1")
    found = {run.run_id: run.status for run in map(tracker.run, (done, left, step, foreign))}
    assert found == {done: "FINISHED", left: ended, step: ended, foreign: "RUNNING"}


def test_a_config_that_nothing_was_opened_with_closes_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    close.python_func(SimpleNamespace(state="FAILED"), run_overrides=["hpo.max_trails=3"], kfp_run_id="kfp-1")
    assert list(tmp_path.iterdir()) == []

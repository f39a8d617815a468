from types import SimpleNamespace

import pytest

from podium.components.deployment.close.component import close
from podium.config.schema import TrackingConfig
from podium.errors import ClusterError
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


class Workflows:
    """An API server with the Workflow of one run; None for one that forbids to look."""

    def __init__(self, spec: dict | None) -> None:
        self.spec = spec

    def once(self):
        return self

    def find(self, kind, selector):
        assert (kind.plural, selector) == ("workflows", "pipeline/runid=kfp-1")
        if self.spec is None:
            raise ClusterError("workflows: 403 Forbidden", status=403)
        return [{"spec": self.spec}]


@pytest.mark.parametrize(
    ("spec", "ended"), [({"activeDeadlineSeconds": 0}, "KILLED"), ({}, "FAILED"), (None, "FAILED")]
)
def test_a_terminated_run_which_kubeflow_calls_failed_is_killed(tmp_path, monkeypatch, spec, ended) -> None:
    (tmp_path / "namespace").write_text("team")
    monkeypatch.setattr("podium.cluster.client.POD_NAMESPACE", tmp_path / "namespace")
    monkeypatch.setattr("podium.cluster.client.Cluster.connect", lambda: Workflows(spec))
    closed: dict[str, str] = {}
    left = SimpleNamespace(run_id="left", status="RUNNING")
    tracker = SimpleNamespace(runs=lambda tags: [left], close=closed.__setitem__)
    monkeypatch.setattr("podium.stages.prepare.tracker_for", lambda settings: tracker)
    close.python_func(SimpleNamespace(state="RUNNING"), kfp_run_id="kfp-1")
    assert closed == {"left": ended}

"""Step `hpo` with `hpo.engine=katib`: real trials of a real model in the pods of a Katib behind real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from podium.config.compose import compose
from podium.config.schema import PodiumConfig
from podium.errors import ConfigError
from podium.hpo.engines.katib.experiments import INJECTION_LABEL
from podium.records import DataRecord, RunRecord, StudyRecord
from podium.stages.step import StepInputs, execute
from podium.stages.steps import step_named

from .kube.katib import NAMESPACE, KatibController
from .kube.server import ApiServer

pytestmark = pytest.mark.integration


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with ApiServer() as server, KatibController(server):
        server.create("namespaces", "", {"metadata": {"name": NAMESPACE, "labels": {INJECTION_LABEL: "enabled"}}})
        file = tmp_path / "kubeconfig"
        file.write_text(
            f"""
apiVersion: v1
kind: Config
current-context: here
clusters: [{{name: here, cluster: {{server: "{server.url}"}}}}]
users: [{{name: me, user: {{}}}}]
contexts: [{{name: here, context: {{cluster: here, user: me, namespace: {NAMESPACE}}}}}]
"""
        )
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
        yield server


def config(place: Path, *overrides: str) -> PodiumConfig:
    given = [
        "preset=smoke",
        "tracking=off",
        "hpo.engine=katib",
        "cluster=cpu",
        "cluster.image=podium:1",
        "hpo.algorithm.name=random",
        "hpo.max_trials=1",
        "dataset.max_rows=60",
        "training.max_length=16",
        "training.epochs=1",
        "training.threads=1",
        f"output={place}",
        *overrides,
    ]
    return compose(given, place).config


def hpo(run: RunRecord, data: DataRecord, entrant: str) -> StudyRecord:
    return cast(StudyRecord, execute(step_named("hpo"), StepInputs(run, (data,), entrant)))


@pytest.mark.slow
@pytest.mark.parametrize("entrant", ["bert-tiny", "linear"])
def test_a_study_runs_in_pods_and_is_stored(api: ApiServer, tmp_path: Path, entrant: str) -> None:
    shared = ("cluster.volume_claim=shared", f"cluster.volume_path={tmp_path}")
    run = RunRecord(run_id="run-1", config=config(tmp_path, *shared), tags={"podium.kfp.run_id": "kfp-1"})
    data = execute(step_named("prepare"), StepInputs(run))
    study = hpo(run, data, entrant)
    assert [trial.status for trial in study.trials] == ["succeeded"]
    assert all(set(trial.fold_scores) == {"0", "1"} for trial in study.trials)
    assert study.best_score == max(trial.score or 0.0 for trial in study.trials)
    (made,) = api.list("experiments", NAMESPACE)
    assert made["metadata"]["labels"]["podium/run"] == "run-1"
    assert made["metadata"]["labels"]["podium/kfp-run"] == "kfp-1"
    assert made["metadata"]["annotations"]["podium/study-key"] == study.key
    observed: dict[str, Any] = {
        item["metadata"]["name"]: float(item["status"]["observation"]["metrics"][0]["latest"])
        for item in api.list("trials", NAMESPACE)
    }
    assert observed == {trial.labels["katib_trial"]: trial.score for trial in study.trials}
    requests = len(api.requests)
    assert hpo(run, data, entrant) == study
    assert len(api.requests) == requests


def test_a_store_of_this_machine_is_refused_before_anything_is_asked(api: ApiServer, tmp_path: Path) -> None:
    run = RunRecord(run_id="run-1", config=config(tmp_path))
    data = execute(step_named("prepare"), StepInputs(run))
    with pytest.raises(ConfigError, match=r"store=.* lies on this machine"):
        hpo(run, data, "bert-tiny")
    assert api.requests == []

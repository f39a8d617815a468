"""The Katib engine against an API server over real HTTP, with a Katib that runs trials as real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from podium.cluster.client import Cluster, Patience
from podium.cluster.pods import Command, job
from podium.config.cluster import ClusterConfig
from podium.hpo.engines.base import Engine, TrialFunction
from podium.hpo.engines.katib import KatibEngine
from podium.hpo.engines.katib_experiments import INJECTION_LABEL
from podium.hpo.engines.katib_resources import trial_template
from podium.hpo.experiment import Experiment
from podium.hpo.katib.template import TrialTemplate

from ..unit.hpo.conformance import EngineContract
from .kube.katib import NAMESPACE, KatibController
from .kube.server import ApiServer

pytestmark = pytest.mark.integration

QUICK = Patience(attempts=5, first_seconds=0.01, most_seconds=0.1, timeout_seconds=5.0)
SPACE = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    "warmup_ratio": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
    "epochs": {"type": "int", "low": 1, "high": 8},
    "batch_size": {"type": "categorical", "choices": [8, 16, 32]},
}
"""The space of the support module, as the section `hpo.space` has it."""


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        server.create("namespaces", "", {"metadata": {"name": NAMESPACE, "labels": {INJECTION_LABEL: "enabled"}}})
        yield server


@pytest.fixture
def katib(api: ApiServer) -> Iterator[KatibController]:
    with KatibController(api) as controller:
        yield controller


def cluster(api: ApiServer, patience: Patience = QUICK) -> Cluster:
    settings = client.Configuration(host=api.url)
    settings.retries = False
    return Cluster(client.ApiClient(settings), NAMESPACE, patience)


def engine(api: ApiServer, **settings: Any) -> KatibEngine:
    def template(experiment: Experiment, labels: Mapping[str, str], place: str) -> TrialTemplate:
        def manifest(command: Command) -> dict[str, Any]:
            return job(ClusterConfig(image="podium:1"), command)

        variables = {"LEDGER_PLACE": place, "SPACE": json.dumps(SPACE)}
        return trial_template(experiment.space, manifest, variables, labels)

    return KatibEngine(cluster(api), template, **{"stop_seconds": 5.0, "quiet_seconds": 1, **settings})


class TestKatibEngine(EngineContract):
    executions_of_a_damaged_trial = 1

    @pytest.fixture(autouse=True)
    def _cluster(self, api: ApiServer, katib: KatibController) -> None:
        self.api, self.katib = api, katib

    def engine(self, trial: TrialFunction, tmp_path: Path) -> Engine:
        self.katib.trial = trial
        return engine(self.api)

    def log_of(self, number: int) -> str:
        return f"kubectl logs -n {NAMESPACE} -l batch.kubernetes.io/job-name=synthetic-"

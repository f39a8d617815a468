"""What Podium does with Experiments, against the API server that KUBECONFIG names; nothing is run there.

Needs Katib's kinds and the right to create namespaces and Experiments. With Katib's controllers running, its webhook
checks every request; the trials ask for an image that does not exist.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from podium.cluster.client import EXPERIMENT, INJECTION_LABEL, JOB, NAMESPACE, TRIAL, Cluster, ObjectMetadata, name_of
from podium.config.cluster import ClusterConfig
from podium.errors import ClusterError
from podium.hpo.engines.katib.experiments import Experiments, trial_job
from podium.hpo.engines.katib.trials import StudyTrials
from podium.hpo.ledger import TrialLedger

from ..unit.hpo.support import experiment, file_ledger

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    namespace = f"podium-test-{uuid.uuid4().hex[:8]}"
    client = Cluster.connect(namespace)
    try:
        client.get(NAMESPACE, "default")
    except ClusterError as error:
        pytest.skip(f"the cluster cannot be reached: {error}")
    try:
        client.find(EXPERIMENT)
    except ClusterError as error:
        pytest.skip(f"Katib is not installed: {error}")
    metadata = {"name": namespace, "labels": {INJECTION_LABEL: "enabled"}}
    client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    yield client
    client.delete(NAMESPACE, namespace)


@pytest.fixture
def ledger(tmp_path: Path) -> TrialLedger:
    return file_ledger(tmp_path)


def experiments(cluster: Cluster, ledger: TrialLedger, image: str = "registry.invalid/podium:1", **budget: Any) -> Any:
    study = experiment(name=f"test-{Path(ledger.documents.place).parents[2].name}", **budget)
    job = replace(trial_job(ClusterConfig(image=image), {"PODIUM_STORE": "s3://none"}), key=ledger.documents.place)
    made = Experiments(cluster, ObjectMetadata({"podium/run": "test"}), study, ledger.documents.place, job)
    return made, StudyTrials(study, ledger, lambda _: None, str)


def test_an_experiment_is_created_adopted_given_a_larger_budget_and_deleted(
    cluster: Cluster, ledger: TrialLedger
) -> None:
    made, trials = experiments(cluster, ledger, max_trials=3)
    made.check_namespace()
    assert made.adopted(trials) is None
    name = made.created(trials)
    try:
        assert [name_of(found) for found in made.all()] == [name]
        assert made.adopted(trials) == name
        larger, trials = experiments(cluster, ledger, max_trials=7)
        assert larger.adopted(trials) == name
        found = larger.get(name)
        assert found is not None
        assert found["spec"]["maxTrialCount"] == 7
        other, trials = experiments(cluster, ledger, image="registry.invalid/podium:2", max_trials=7)
        with pytest.raises(ClusterError, match="must have the same spec"):
            other.adopted(trials)
    finally:
        made.stop(wait_seconds=60)
    assert made.get(name) is None


def test_its_trials_can_be_found(cluster: Cluster, ledger: TrialLedger) -> None:
    made, trials = experiments(cluster, ledger, max_trials=2)
    name = made.created(trials)
    try:
        for trial in cluster.find(TRIAL, f"katib.kubeflow.org/experiment={name}"):
            assert name_of(trial) in made.order(name)
    finally:
        made.stop(wait_seconds=60)


def test_what_the_server_refuses_is_told_with_its_reason(cluster: Cluster) -> None:
    broken = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "broken"}, "spec": {}}
    with pytest.raises(ClusterError, match=rf"^Job {cluster.namespace}/broken: 422 Invalid: .*spec.template") as error:
        cluster.create(JOB, broken)
    assert error.value.status == 422

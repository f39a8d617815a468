"""The Katib engine where no trial begins, or none would: behind real HTTP is no Katib at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from podium.config.search import algorithm_named
from podium.errors import ConfigError, StudyFailed
from podium.hpo.engines.katib.experiments import INJECTION_LABEL
from podium.hpo.study import run_study

from ..unit.hpo.support import experiment, file_ledger
from .kube.engine import engine
from .kube.katib import NAMESPACE
from .kube.server import ApiServer, Manifest

pytestmark = pytest.mark.integration


def test_it_is_told_where_to_look(tmp_path: Path) -> None:
    """Pod Security refuses the pod of a suggestion service, which only the events of its ReplicaSet tell."""
    with ApiServer() as api:
        api.create("namespaces", "", {"metadata": {"name": NAMESPACE, "labels": {INJECTION_LABEL: "enabled"}}})
        said = (
            "must begin a Trial within cluster.start_seconds=0.5, but none runs; look at: .*"
            f"kubectl describe replicaset,pod -n {NAMESPACE} -l katib.kubeflow.org/experiment=synthetic-"
        )
        with pytest.raises(StudyFailed, match=said):
            run_study(experiment(), file_ledger(tmp_path), engine(api, start_seconds=0.5))
        assert api.list("experiments", NAMESPACE) == []


def test_a_refused_suggestion_service_ends_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podium.hpo.engines.katib.engine.REFUSED_SECONDS", 0.0)
    with ApiServer() as api:
        api.create("namespaces", "", {"metadata": {"name": NAMESPACE, "labels": {INJECTION_LABEL: "enabled"}}})

        def refuse(made: Manifest, _: Manifest | None) -> None:
            name = f"{made['metadata']['name']}-{made['spec']['algorithm']['algorithmName']}-5788fd4b67"
            involved = {"kind": "ReplicaSet", "name": name}
            event = {"metadata": {"name": "e"}, "involvedObject": involved, "reason": "FailedCreate"}
            api.create(
                "events", NAMESPACE, {**event, "message": 'pods "x" is forbidden: violates PodSecurity "restricted"'}
            )

        api.checks["experiments"] = refuse
        said = (
            "gets no suggestions: .* violates PodSecurity .* let katib-config give a securityContext to the algorithm"
        )
        with pytest.raises(StudyFailed, match=said):
            run_study(experiment(), file_ledger(tmp_path), engine(api, start_seconds=60))
        assert api.list("experiments", NAMESPACE) == []


def test_a_range_that_skopt_cannot_search_is_refused(tmp_path: Path) -> None:
    """Katib's service searches the logarithm of every float: it suggests `nan`, or never anything."""
    with ApiServer() as api:
        api.create("namespaces", "", {"metadata": {"name": NAMESPACE, "labels": {INJECTION_LABEL: "enabled"}}})
        said = r"hpo.space.warmup_ratio.low: .* a low above 0, but got 0; .* or set hpo.engine=embedded"
        with pytest.raises(ConfigError, match=said):
            run_study(experiment(algorithm=algorithm_named("bayesianoptimization")), file_ledger(tmp_path), engine(api))
        assert api.list("experiments", NAMESPACE) == []

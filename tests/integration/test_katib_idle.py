"""The Katib engine where no trial begins: behind real HTTP is no Katib at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from podium.errors import StudyFailed
from podium.hpo.engines.katib_experiments import INJECTION_LABEL
from podium.hpo.study import run_study

from ..unit.hpo.support import experiment, file_ledger
from .kube.katib import NAMESPACE
from .kube.server import ApiServer
from .test_katib_engine import engine

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

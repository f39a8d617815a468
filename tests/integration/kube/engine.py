"""Podium's Katib engine, connected to an `ApiServer`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from kubernetes import client

from podium.cluster.client import Cluster, Patience
from podium.cluster.failures import Advice
from podium.cluster.jobs import Jobs
from podium.cluster.resources import ObjectMetadata
from podium.config.cluster import ClusterConfig
from podium.hpo.engines.katib.engine import KatibEngine
from podium.stages.on_cluster import trial_job

from .katib import NAMESPACE
from .server import ApiServer

QUICK = Patience(attempts=5, first_seconds=0.01, most_seconds=0.1, timeout_seconds=60.0)
SPACE = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    "warmup_ratio": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
    "epochs": {"type": "int", "low": 1, "high": 8},
    "batch_size": {"type": "categorical", "choices": [8, 16, 32]},
}
"""The space of the support module, as the section `hpo.space` has it."""


def cluster(api: ApiServer, patience: Patience = QUICK) -> Cluster:
    settings = client.Configuration(host=api.url)
    settings.retries = False
    return Cluster(client.ApiClient(settings), NAMESPACE, patience)


def engine(
    api: ApiServer, metadata: ObjectMetadata | None = None, keep_on_cancel: bool = False, **settings: Any
) -> KatibEngine:
    advice = Advice(start_limit="cluster.start_seconds")
    jobs = Jobs(cluster(api), advice, **{"stop_seconds": 5.0, "quiet_seconds": 1, **settings})
    job = replace(trial_job(ClusterConfig(image="podium:1"), {}), environment={"SPACE": json.dumps(SPACE)})
    return KatibEngine(jobs, job, metadata, keep_on_cancel=keep_on_cancel)


def names(api: ApiServer, plural: str = "experiments") -> list[str]:
    return [item["metadata"]["name"] for item in api.list(plural, NAMESPACE)]

"""Podium's Katib engine, connected to an `ApiServer`."""

from __future__ import annotations

import json
from typing import Any

from kubernetes import client

from podium.cluster.client import RETRIES, Cluster, ObjectMetadata
from podium.cluster.jobs import Jobs
from podium.config.cluster import ClusterConfig
from podium.hpo.engines.katib.engine import KatibEngine
from podium.hpo.engines.katib.experiments import ADVICE, trial_job

from .katib import NAMESPACE
from .server import ApiServer

ATTEMPTS = 5
QUICK = RETRIES.new(total=ATTEMPTS - 1, backoff_factor=0.01, backoff_jitter=0.0)
SPACE = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    "warmup_ratio": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
    "epochs": {"type": "int", "low": 1, "high": 8},
    "batch_size": {"type": "categorical", "choices": [8, 16, 32]},
}
"""The space of the support module, as the section `hpo.space` has it."""


def connected(api: ApiServer, namespace: str = NAMESPACE) -> Cluster:
    settings = client.Configuration(host=api.url)
    settings.retries = QUICK
    return Cluster(client.ApiClient(settings), namespace)


def engine(
    api: ApiServer, metadata: ObjectMetadata | None = None, keep_on_cancel: bool = False, **settings: Any
) -> KatibEngine:
    jobs = Jobs(connected(api), ADVICE, **{"stop_seconds": 5.0, "poll_seconds": 0.02, **settings})
    job = trial_job(ClusterConfig(image="podium:1"), {"SPACE": json.dumps(SPACE)})
    return KatibEngine(jobs, job, metadata or ObjectMetadata(), keep_on_cancel)


def names(api: ApiServer, plural: str = "experiments") -> list[str]:
    return [item["metadata"]["name"] for item in api.list(plural, NAMESPACE)]

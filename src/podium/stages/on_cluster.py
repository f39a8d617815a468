"""Where a study runs as a Katib Experiment: its engine, and the Job of a trial."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from podium.cluster.client import POD_NAMESPACE, Cluster, ObjectMetadata
from podium.cluster.inherited import NOTHING, Inherited, inherited
from podium.cluster.jobs import Advice, Jobs
from podium.config.cluster import ClusterConfig
from podium.config.entrants import ENTRANTS, search_of
from podium.config.paths import is_uri
from podium.config.schema import PodiumConfig
from podium.errors import ConfigError
from podium.hpo.engines.katib.engine import KatibEngine
from podium.hpo.engines.katib.experiments import ADVICE, trial_job
from podium.hpo.trial_container import LEDGER_VARIABLE, STORE_VARIABLE, TrialInstructions
from podium.records import DataRecord
from podium.stages.step import StepRun
from podium.tracking.base import TAG_KFP_RUN

if TYPE_CHECKING:
    from podium.hpo.trial import CrossValidationTrial

_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_OWNERS = (("KFP_POD_NAME", "KFP_POD_UID"), ("POD_NAME", "POD_UID"))
"""Variables with name and uid of this pod: those of KFP's launcher, and the usual ones of the downward API."""


def katib_engine(step: StepRun, trial: CrossValidationTrial, ledger: str) -> KatibEngine:
    """The engine of a study whose trials do in pods what `trial` does on this machine.

    Args:
        trial: a trial of this machine; in pods it uses the processors of the node pool.
        ledger: prefix of the study's ledger in the store.

    Raises:
        ConfigError: pods cannot reach the store.
        ClusterError: there is no cluster within reach.
    """
    config, settings, data = step.config, step.config.cluster, step.one(DataRecord).artifacts["data"]
    check_reachable(step.store.uri, settings)
    cluster = Cluster.connect(settings.namespace)
    threads = getattr(trial.spec.config, "threads", None) or threads_of(settings.pool.cpu)
    there = replace(trial, spec=trial.spec.model_copy(update={"threads": threads}))
    instructions = TrialInstructions.of(
        there, search_of(config, step.entrant).space, data, config.entrants[step.entrant]
    )
    instructions.write(step.store.documents(ledger))
    jobs = Jobs(cluster, advice_of(config, step.entrant), start_seconds=settings.start_seconds)
    owner, given = _own_pod(cluster)
    job = trial_job(settings, {STORE_VARIABLE: step.store.uri, LEDGER_VARIABLE: ledger}, given)
    return KatibEngine(jobs, job, _metadata(step, owner), keep_on_cancel=settings.keep_on_cancel)


def advice_of(config: PodiumConfig, entrant: str) -> Advice:
    """What the user can do about the Job of a trial of this entrant."""
    kind = ENTRANTS.get(config.entrants[entrant].kind)
    return replace(ADVICE, memory=f"{ADVICE.memory}, or {kind.memory_advice}")


def check_reachable(uri: str, config: ClusterConfig, use: str = "hpo.engine=katib") -> None:
    """Check that pods can reach the store, which `use` asks for.

    Raises:
        ConfigError: the store lies on this machine alone.
    """
    if is_uri(uri) and not uri.startswith(("memory://", "file://")):
        return
    path = PurePosixPath(uri.removeprefix("file://"))
    shared = config.volume_path
    if not uri.startswith("memory://") and shared is not None and path.is_relative_to(shared):
        return
    raise ConfigError(
        f"with {use} the store must be where pods reach it, but store={uri} lies on this machine; use a URI "
        "such as s3://bucket/path, or a directory on a volume that cluster.volume_claim and cluster.volume_path name"
    )


def threads_of(cpu: str) -> int:
    """Compute threads for a quantity of processors: one for `500m`, two for `2`."""
    return max(1, int(float(cpu.removesuffix("m")) / (1000 if cpu.endswith("m") else 1)))


def _metadata(step: StepRun, owner: dict[str, Any] | None) -> ObjectMetadata:
    """Ids of runs: as annotations, and those that have the form of labels as labels, too."""
    ids = {
        "podium/run": step.run.run_id,
        "podium/entrant": step.entrant,
        "podium/kfp-run": step.run.tags.get(TAG_KFP_RUN, ""),
        "podium/mlflow-run": step.mlflow_run_id,
        "podium/study-key": step.key.digest,
    }
    given = {name: value for name, value in ids.items() if value}
    labels = {name: value for name, value in given.items() if _LABEL.fullmatch(value)}
    return ObjectMetadata(labels, given, owner)


def _own_pod(cluster: Cluster) -> tuple[dict[str, Any] | None, Inherited]:
    """A reference to the pod of this process, where it runs in one of the same namespace, and what it hands on."""
    if not POD_NAMESPACE.is_file() or POD_NAMESPACE.read_text().strip() != cluster.namespace:
        return None, NOTHING
    for name, uid in _OWNERS:
        if os.environ.get(name) and os.environ.get(uid):
            owner = {"apiVersion": "v1", "kind": "Pod", "name": os.environ[name], "uid": os.environ[uid]}
            return owner, inherited(cluster, os.environ[name], name)
    return None, NOTHING

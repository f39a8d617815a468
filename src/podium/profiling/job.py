"""A profile in a pod of its own: a Job with the one capability that hardware counters need, or one that the Nsight
operator looks at.

`python -m podium.profiling.job` is the program of both. What it profiles and what it found pass through the store,
which both sides reach.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from podium.cluster.client import ObjectMetadata
from podium.cluster.jobs import Advice, Jobs
from podium.cluster.manifests import RESTRICTED, JobSpec
from podium.config.cluster import ClusterConfig, NodePoolConfig
from podium.config.profile import ProfileConfig
from podium.errors import ClusterError, ConfigError, JobNotStarted, PodiumError
from podium.execution.slots import core_slots
from podium.profiling.capture import ROUNDS, DeepProfile, deep_profile
from podium.profiling.workload import Workload, run
from podium.records import Permission
from podium.records.base import ArtifactRef, Frozen
from podium.store.store import ArtifactStore

Mode = Literal["privileged-job", "nsight-operator"]

STORE_VARIABLE, REQUEST_VARIABLE = "PODIUM_STORE", "PODIUM_PROFILE"
REQUEST, RESULT, ROWS = "request.json", "result.json", "rows.jsonl"

COUNTERS: Mapping[str, Any] = {
    # A capability has no effect for another user, and Kubernetes takes SYS_ADMIN only with escalation allowed.
    "runAsUser": 0,
    "runAsNonRoot": False,
    "allowPrivilegeEscalation": True,
    "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
}
"""What ncu needs to read hardware counters, and nothing else: every other capability is dropped."""

OPERATOR_LABEL = {"nvidia-nsight-profile": "enabled"}
"""The label by which the Nsight operator finds the pods that it profiles."""

ADVICE = Advice(
    memory="raise memory of the node pool `profile`",
    deadline="raise profile.timeout_seconds",
    start="correct cluster.image, the node pool `profile`, or set profiling.enabled=true in the chart",
)
_ENABLE = (
    "helm upgrade --reset-then-reuse-values --set profiling.enabled=true, and name its namespace as profile.namespace"
)
_START_SECONDS = 600

_log = logging.getLogger(__name__)


class Request(Frozen):
    """What a pod is to profile; the paths of the workload are empty, since the pod has its own."""

    mode: Mode
    workload: dict[str, Any]
    model: ArtifactRef | None
    config: ProfileConfig


class Answer(Frozen):
    """What a pod found, and its files."""

    profile: DeepProfile
    files: ArtifactRef


def job_spec(
    mode: Mode, cluster: ClusterConfig, environment: Mapping[str, str], key: str, config: ProfileConfig
) -> JobSpec:
    """The Job of a profile: on the pool `profile`, with a deadline for all its attempts.

    Args:
        cluster: its image must hold the tools for `privileged-job`; namespace and service account are those of the Job.
        environment: where the store and the request are.
    """
    labels = OPERATOR_LABEL if mode == "nsight-operator" else {}
    attempts = 2 + 2 * config.kernels + 2 * ROUNDS
    return JobSpec(
        cluster,
        ["python", "-m", "podium.profiling.job"],
        environment=environment,
        name=f"podium-profile-{key[:16]}",
        key=key,
        pool=cluster.pools.get("profile", NodePoolConfig()),
        deadline_seconds=attempts * config.timeout_seconds + _START_SECONDS,
        security=COUNTERS if mode == "privileged-job" else RESTRICTED,
        metadata=ObjectMetadata(dict(labels), {}, None),
    )


def profile_on_cluster(
    mode: Mode,
    workload: Workload,
    directory: Path,
    config: ProfileConfig,
    store: ArtifactStore,
    cluster: ClusterConfig,
    jobs: Jobs,
    key: str,
) -> DeepProfile:
    """The second stage in a Job, whose files come back into `directory`.

    Args:
        store: that the pod reaches, too.
        jobs: of the namespace of profiling.
        key: of the profile, by which a Job that runs already is adopted.

    Returns:
        What the pod found; where the cluster does not let such a Job run, a profile without attempts that says why.
    """
    documents = store.documents(f"profiles/{key}")
    model = store.put_artifact("model", Path(workload.model)) if workload.model else None
    fields = workload.model_dump(mode="json", exclude={"model", "rows", "output"})
    request = Request(mode=mode, workload=fields, model=model, config=_for_pod(mode, config))
    documents.put(ROWS, Path(workload.rows).read_text(encoding="utf-8"))
    documents.put(REQUEST, request.model_dump_json(indent=1))
    environment = {STORE_VARIABLE: store.uri, REQUEST_VARIABLE: f"profiles/{key}"}
    try:
        jobs.run(job_spec(mode, cluster, environment, key, config), lambda line: _log.info("%s", line))
        answer = Answer.model_validate_json(documents.get(RESULT) or "")
    except (ClusterError, JobNotStarted) as error:
        return nothing(config, f"the cluster does not run the Job of a profile: {error}")
    except (PodiumError, ValidationError) as error:
        return nothing(config, f"the Job of the profile gave no result: {error}", ADVICE.start)
    shutil.copytree(store.fetch(answer.files), directory, dirs_exist_ok=True, copy_function=shutil.copyfile)
    return answer.profile


def _for_pod(mode: Mode, config: ProfileConfig) -> ProfileConfig:
    """The config with the tools of the image, whatever paths they have here."""
    tools = ("nsys",) if mode == "nsight-operator" else config.tools
    return config.model_copy(update={"tools": tools, "nsys": None, "ncu": None})


def nothing(config: ProfileConfig, reason: str, remedy: str = _ENABLE) -> DeepProfile:
    """A profile without attempts, and why there are none."""
    return DeepProfile(
        tools=tuple(Permission(name=tool, status="degraded", reason=reason, remedy=remedy) for tool in config.tools)
    )


def execute(store: ArtifactStore, prefix: str, directory: Path) -> Answer:
    """Do in this pod what a request says, and leave the answer in the store.

    Args:
        prefix: of the documents of the request.
        directory: empty; gets the files.

    Raises:
        ConfigError: this version does not find or understand the request.
    """
    documents = store.documents(prefix)
    try:
        request = Request.model_validate_json(documents.get(REQUEST) or "")
    except ValidationError as error:
        raise ConfigError(f"{prefix}/{REQUEST} cannot be read; are both images of one version? {error}") from error
    rows = directory / ROWS
    rows.write_text(documents.get(ROWS) or "", encoding="utf-8")
    model = "" if request.model is None else str(store.fetch(request.model))
    given = {**request.workload, "model": model, "rows": str(rows), "output": str(directory)}
    workload = Workload.model_validate(given)
    if request.mode == "nsight-operator":
        run(workload)
        found = _with_operator()
    else:
        with core_slots(workload.threads):
            found = deep_profile(workload, directory, request.config)
    answer = Answer(profile=found, files=store.put_artifact("profile", directory))
    documents.put(RESULT, answer.model_dump_json(indent=1))
    return answer


def _with_operator() -> DeepProfile:
    """The operator keeps its reports where its installation says, so nothing of them can be checked here."""
    reason = "the workload ran in a pod that the Nsight operator profiles; its report is in the operator's storage"
    status = Permission(
        name="nsys",
        status="degraded",
        reason=f"{reason} and was not checked",
        remedy="fetch it with the operator's command line, and open it in Nsight Systems",
    )
    return DeepProfile(tools=(status,), notes=(reason,))


def main() -> int:
    """The program of the pod; returns its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        store = ArtifactStore(os.environ[STORE_VARIABLE])
        with tempfile.TemporaryDirectory(prefix="podium-profile-") as folder:
            answer = execute(store, os.environ[REQUEST_VARIABLE], Path(folder).resolve())
    except PodiumError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(TypeAdapter(tuple[Permission, ...]).dump_json(answer.profile.tools).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())  # in order: the operator's tool writes what it has at its end

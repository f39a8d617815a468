"""`podium doctor`: what a cluster lacks for a run, found before anything is started, each with what mends it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from podium.cluster.client import (
    ACCESS_REVIEW,
    EXPERIMENT,
    INJECTION_LABEL,
    JOB,
    LOCAL_QUEUE,
    NAMESPACE,
    NODE,
    POD,
    TRAIN_JOB,
    VOLUME_CLAIM,
    Cluster,
    Kind,
    Manifest,
    labels_of,
    name_of,
)
from podium.cluster.jobs import obstacle_of
from podium.cluster.manifests import KEY_LABEL, JobSpec, job_manifest
from podium.cluster.room import allocatable, fits, free_on, open_to, why_none
from podium.config.cluster import NodePoolConfig
from podium.config.paths import is_uri
from podium.config.schema import PodiumConfig
from podium.errors import ClusterError, PodiumError
from podium.text import redact

OLDEST_KUBERNETES = (1, 31)

_JOBS = ("get", "list", "create", "delete")
RIGHTS: Mapping[str, Mapping[tuple[str, str], tuple[str, ...]]] = {
    "jobs": {("", "pods"): ("list",), ("", "pods/log"): ("get",), ("", "events"): ("list",), ("batch", "jobs"): _JOBS},
    "nodes": {("trainer.kubeflow.org", "trainjobs"): _JOBS},
    "katib": {
        ("", "namespaces"): ("get",),
        ("kubeflow.org", "experiments"): ("get", "list", "create", "patch", "delete"),
        ("kubeflow.org", "trials"): ("get", "list", "delete"),
        ("kubeflow.org", "suggestions"): ("get",),
    },
}
"""The verbs that Podium uses, by group and resource: for Jobs, for trials of several nodes, for studies by Katib."""

PULL_SECONDS, OBSTACLE_SECONDS, _POLL_SECONDS = 600.0, 15.0, 1.0
"""How long an image may be pulled, and how long a reason for which it is not may last until it counts."""

_SMALL = {"cpu": "50m", "memory": "64Mi"}
_WAITING = {
    "Unschedulable": "ask for less (chart: --set nodePools.POOL.cpu=1, podium submit: --pool POOL.cpu=1), correct the "
    "pool's selector or tolerations, or add a node",
    "SchedulingGated": "wait for Kueue to admit it, or correct the pool's queue",
    "CreateContainerConfigError": "create the Secret or ConfigMap that it names, or correct the name",
}
"""What mends a pod that waits, by Kubernetes' reason; for other reasons its image is to be corrected."""

Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: what was checked.
        status: `skipped` where it does not apply, or cannot be seen from here.
        text: what was found, or why it was not looked for.
        remedy: what mends it; empty unless it failed.
    """

    name: str
    status: Status
    text: str
    remedy: str = ""


def examine(config: PodiumConfig, cluster: Cluster) -> Iterator[Finding]:
    """Check what a run with this config needs of a cluster. Nothing is created or changed.

    Raises:
        ClusterError: the API server does not answer, or does not know who asks.
    """
    katib, several = config.hpo.engine == "katib", config.cluster.trial_nodes > 1
    yield _version(cluster)
    needed = [("Katib", EXPERIMENT, katib), ("Kubeflow Trainer", TRAIN_JOB, several)]
    queues = _queue_kind(cluster)
    for name, kind, wanted in [*needed, ("Kueue", queues, any(_queues(config)))]:
        yield _provided(cluster, name, kind, wanted)
    wanted_rights = [name for name, on in (("jobs", katib), ("nodes", several), ("katib", katib)) if on]
    for name in wanted_rights:
        yield from rights_to(cluster, RIGHTS[name])
    if katib:
        yield _namespace(cluster)
        yield _admitted(cluster, config)
    yield from room_for(cluster, config.cluster.pools)
    yield from waiting(cluster)
    for queue in _queues(config):
        yield _exists(cluster, queues, queue, "ask for a LocalQueue of that name, or correct the pool's queue")
    if claim := config.cluster.volume_claim:
        yield _exists(cluster, VOLUME_CLAIM, claim, "create the claim, or correct cluster.volume_claim")
    yield _store(config)
    yield _tracking(config)


def waiting(cluster: Cluster) -> Iterator[Finding]:
    """The pods of the chart, of trials and of pipelines that do not start; nothing where pods cannot be seen."""
    found: dict[str, Manifest] = {}
    try:
        for selector in ("app.kubernetes.io/name=podium", KEY_LABEL, "pipeline/runid"):
            found |= {name_of(pod): pod for pod in cluster.find(POD, selector)}
    except ClusterError as error:
        if error.status != 403:
            raise
    for name, pod in sorted(found.items()):
        if (obstacle := obstacle_of(pod)) is not None:
            reason, message, _ = obstacle
            remedy = _WAITING.get(
                reason, "correct the image, or give its registry's credentials to the service account"
            )
            yield Finding(cluster.title(POD, name), "failed", f"does not start: {reason}: {message}", remedy)


def leftovers(cluster: Cluster) -> list[str]:
    """Kind, namespace and name of what Podium created in the namespace and has not deleted."""
    found = []
    for kind, selector in ((JOB, KEY_LABEL), (TRAIN_JOB, KEY_LABEL), (POD, KEY_LABEL), (EXPERIMENT, "podium/run")):
        if cluster.serves(kind):
            found += [cluster.title(kind, name_of(item)) for item in cluster.find(kind, selector)]
    kept = cluster.find(VOLUME_CLAIM, "app.kubernetes.io/name=podium")
    return found + [cluster.title(VOLUME_CLAIM, name_of(item)) for item in kept]


def _version(cluster: Cluster) -> Finding:
    answer = cluster.ask("/version")
    numbers = [answer[part].rstrip("+") for part in ("major", "minor")]
    if not all(number.isdecimal() for number in numbers):
        return Finding("Kubernetes", "skipped", f"it does not say its version ({answer['gitVersion']})")
    version = tuple(map(int, numbers))
    if version < OLDEST_KUBERNETES:
        oldest = ".".join(map(str, OLDEST_KUBERNETES))
        return Finding("Kubernetes", "failed", answer["gitVersion"], f"upgrade the cluster to {oldest} or later")
    return Finding("Kubernetes", "ok", answer["gitVersion"])


def _provided(cluster: Cluster, name: str, kind: Kind, wanted: bool) -> Finding:
    """Whether the API that a kind belongs to is there."""
    if not wanted:
        return Finding(name, "skipped", "the config does not use it")
    if cluster.serves(kind):
        return Finding(name, "ok", f"serves {kind.plural} of {kind.api_version}")
    missing = f"the cluster has no {kind.plural} of {kind.api_version}"
    return Finding(name, "failed", missing, f"install {name}, in a version that serves {kind.api_version}")


def rights_to(cluster: Cluster, rights: Mapping[tuple[str, str], tuple[str, ...]]) -> Iterator[Finding]:
    """Whether this client may do in its namespace what a set of `RIGHTS` says."""
    for (group, resource), verbs in rights.items():
        denied = [verb for verb in verbs if not _allowed(cluster, group, resource, verb)]
        name, asked = f"right to {resource}", ", ".join(verbs)
        if denied:
            given = f"--verb={','.join(denied)} --resource={resource}{f'.{group}' if group else ''}"
            remedy = (
                f"kubectl create role podium-{resource.replace('/', '-')} -n {cluster.namespace} {given}, and bind it"
            )
            yield Finding(name, "failed", f"not allowed: {', '.join(denied)}", remedy)
        else:
            yield Finding(name, "ok", asked)


def _allowed(cluster: Cluster, group: str, resource: str, verb: str) -> bool:
    """Whether this client may do something in its namespace, by the API server's own word."""
    plural, _, subresource = resource.partition("/")
    attributes = {"namespace": cluster.namespace, "group": group, "resource": plural, "verb": verb}
    if subresource:
        attributes["subresource"] = subresource
    if plural == NAMESPACE.plural:
        attributes["name"] = cluster.namespace
    review = {
        "apiVersion": ACCESS_REVIEW.api_version,
        "kind": ACCESS_REVIEW.name,
        "metadata": {"name": ""},
        "spec": {"resourceAttributes": attributes},
    }
    return bool(cluster.create(ACCESS_REVIEW, review)["status"]["allowed"])


def _namespace(cluster: Cluster) -> Finding:
    """Whether Katib may add its metrics collector to the pods of trials."""
    try:
        found = cluster.get(NAMESPACE, cluster.namespace)
    except ClusterError as error:
        return Finding("namespace", "skipped", f"its labels cannot be seen: {error}")
    if found is None:
        return Finding(
            "namespace",
            "failed",
            f"{cluster.namespace} does not exist",
            f"kubectl create namespace {cluster.namespace}",
        )
    if labels_of(found).get(INJECTION_LABEL) == "enabled":
        return Finding("namespace", "ok", f"{cluster.namespace} is labelled for Katib")
    command = f"kubectl label namespace {cluster.namespace} {INJECTION_LABEL}=enabled"
    return Finding("namespace", "failed", f"{cluster.namespace} lacks the label {INJECTION_LABEL}=enabled", command)


def _trial_pod(config: PodiumConfig, name: str) -> Manifest:
    """A pod as that of a trial, which ends at once."""
    spec = JobSpec(config.cluster, ["true"], name=name, key="doctor", pool=config.cluster.pool)
    template = job_manifest(spec)["spec"]["template"]
    metadata = {"name": name, "labels": template["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


_ADMISSION_REMEDIES = {
    "must specify": "give the namespace a LimitRange with a default of what must be specified (docs/cluster.md)",
    "exceeded quota": "wait for room in the quota, have it raised, or request less in cluster.pools",
}


def pulled(cluster: Cluster, config: PodiumConfig, seconds: float = PULL_SECONDS) -> Finding:
    """Whether the image can be pulled: a pod is started on the pool of trials, for so long as it takes, and deleted."""
    title, image = "image", config.cluster.image
    pod = _trial_pod(config, f"podium-doctor-{uuid.uuid4().hex[:8]}")
    # It takes hardly anything, so that it starts beside what works there.
    pod["spec"]["containers"][0]["resources"] = {name: dict(_SMALL) for name in ("requests", "limits")}
    try:
        cluster.create(POD, pod)
    except ClusterError as error:
        if "cannot create resource" in str(error):
            return Finding(title, "skipped", "only who may create pods can pull it")
        return Finding(title, "failed", str(error), _admission_remedy(str(error)))
    start = time.monotonic()
    try:
        while (passed := time.monotonic() - start) < seconds:
            seen = cluster.get(POD, name_of(pod)) or pod
            states = [one.get("state") or {} for one in (seen.get("status") or {}).get("containerStatuses") or ()]
            if any("running" in state or "terminated" in state for state in states):
                return Finding(title, "ok", f"{image} was pulled and started within {passed:.0f} s")
            obstacle = obstacle_of(seen)
            if obstacle is not None and (obstacle[2] or passed > OBSTACLE_SECONDS):
                remedy = "correct cluster.image, or give its registry's credentials to the service account"
                if obstacle[0] in ("Unschedulable", "SchedulingGated"):
                    return Finding(title, "skipped", f"no pod starts on the pool now: {obstacle[1]}")
                return Finding(title, "failed", f"{image}: {obstacle[0]}: {obstacle[1]}", remedy)
            time.sleep(_POLL_SECONDS)
        return Finding(title, "failed", f"{image} was not pulled within {seconds:g} s", "look at the node's network")
    finally:
        cluster.delete(POD, name_of(pod))


def _admission_remedy(refusal: str) -> str:
    for words, remedy in _ADMISSION_REMEDIES.items():
        if words in refusal:
            return remedy
    return "correct cluster.image, cluster.service_account or the pool"


def _admitted(cluster: Cluster, config: PodiumConfig) -> Finding:
    """Whether the API server would take a trial's pod: Pod Security, quotas, limits and webhooks have their say."""
    name = "pod of a trial"
    try:
        cluster.create(POD, _trial_pod(config, "podium-doctor"), dry_run=True)
    except ClusterError as error:
        if "cannot create resource" in str(error):
            return Finding(name, "skipped", "only who may create pods can try one (dry run)")
        return Finding(name, "failed", str(error), _admission_remedy(str(error)))
    return Finding(
        name, "ok", f"would be taken, with image {config.cluster.image} (whether it can be pulled is not seen)"
    )


def room_for(cluster: Cluster, pools: Mapping[str, NodePoolConfig]) -> Iterator[Finding]:
    """Whether some node of the cluster fits each pool, and how many pods of it would fit now."""
    if not pools:
        return
    try:
        nodes = cluster.find(NODE)
    except ClusterError as error:
        yield Finding("node pools", "skipped", f"nodes cannot be seen: {error}")
        return
    try:
        pods: list[Manifest] | None = cluster.ask("/api/v1/pods")["items"]
    except ClusterError:
        pods = None
    for name, pool in pools.items():
        fitting = [node for node in nodes if fits(pool, allocatable(node)) and open_to(pool, node)]
        if not fitting:
            yield Finding(
                f"pool {name}",
                "failed",
                why_none(pool, nodes),
                f"correct cluster.pools.{name}, in the chart nodePools.{name} (such as --set nodePools.{name}.cpu=1), "
                f"or for podium submit --pool {name}.cpu=1; or add a node",
            )
            continue
        text = f"{len(fitting)} of {len(nodes)} nodes"
        if pods is None:
            yield Finding(f"pool {name}", "ok", f"{text} (what is free on them cannot be seen)")
            continue
        free = sum(1 for node in fitting if fits(pool, free_on(node, pods)))
        yield Finding(f"pool {name}", "ok", f"{text}, {free} of them with room now")


def _queue_kind(cluster: Cluster) -> Kind:
    """LocalQueue in the version that Kueue serves; newer ones no longer serve the older version."""
    newer = replace(LOCAL_QUEUE, api_version="kueue.x-k8s.io/v1beta2")
    return newer if cluster.serves(newer) else LOCAL_QUEUE


def _queues(config: PodiumConfig) -> list[str]:
    return sorted({pool.queue for pool in config.cluster.pools.values() if pool.queue})


def _exists(cluster: Cluster, kind: Kind, name: str, remedy: str) -> Finding:
    title = cluster.title(kind, name)
    try:
        there = cluster.get(kind, name) is not None
    except ClusterError as error:
        return Finding(title, "skipped", f"it cannot be seen: {error}")
    return Finding(title, "ok", "exists") if there else Finding(title, "failed", "does not exist", remedy)


def _store(config: PodiumConfig) -> Finding:
    from podium.store.store import ArtifactStore

    uri = str(config.store)
    if not is_uri(uri):
        return Finding("store", "skipped", f"{uri} is a directory of this machine; pods need a URI, or a shared volume")
    try:
        ArtifactStore(uri)
    except PodiumError as error:
        return Finding("store", "failed", str(error), "correct store=, or the credentials of the environment")
    return Finding("store", "ok", f"{uri} can be read and written from here")


def _tracking(config: PodiumConfig) -> Finding:
    from podium.tracking import tracker_for

    uri = str(config.tracking.uri)
    if config.tracking.mode == "off" or uri.startswith("sqlite:"):
        said = "tracking is off" if config.tracking.mode == "off" else "a database of this machine; pods need a server"
        return Finding("MLflow", "skipped", said)
    try:
        tracker_for(config.tracking).runs({"podium.kind": "doctor"})
    except PodiumError as error:
        return Finding("MLflow", "failed", str(error), "start the server, or correct tracking.uri or the credentials")
    return Finding("MLflow", "ok", f"{redact(uri)} answers from here")

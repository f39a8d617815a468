"""What `podium doctor` says of a profile in a Job of its own: `profile.mode` other than `kfp-task`."""

from __future__ import annotations

from collections.abc import Iterator

from podium.cluster.client import NAMESPACE, Cluster, labels_of
from podium.cluster.doctor import RIGHTS, Finding, rights_to
from podium.config.schema import PodiumConfig
from podium.errors import ClusterError

_ENFORCED = "pod-security.kubernetes.io/enforce"
_ENABLE = (
    "helm upgrade --reset-then-reuse-values --set profiling.enabled=true, and set profile.namespace to its namespace"
)


def examine_profiling(config: PodiumConfig, cluster: Cluster) -> Iterator[Finding]:
    """Check what the Job of a profile needs; nothing where no such Job is asked for.

    Raises:
        ClusterError: the API server does not answer.
    """
    wanted = config.profile
    if wanted.mode == "kfp-task" or not {"nsys", "ncu"} & set(wanted.tools):
        return
    if wanted.namespace is None and wanted.mode == "privileged-job":
        yield Finding("profiling", "failed", "profile.namespace is not set, so the Job would be in a run's", _ENABLE)
        return
    place = cluster.beside(wanted.namespace or cluster.namespace)
    yield _standard(place, wanted.mode == "privileged-job")
    for finding in rights_to(place, RIGHTS["jobs"]):
        yield Finding(f"profiling: {finding.name}", finding.status, finding.text, _ENABLE if finding.remedy else "")
    image = wanted.image or config.cluster.image
    if image is None:
        yield Finding("profiling: image", "failed", "profile.image is not set", "set profile.image=.../podium-profiler")
    else:
        yield Finding("profiling: image", "ok", f"{image} (whether nsys and ncu are in it is not seen)")


def _standard(place: Cluster, privileged: bool) -> Finding:
    """Whether the namespace is there, and lets pods have the capability that hardware counters need."""
    title = "profiling"
    try:
        found = place.get(NAMESPACE, place.namespace)
    except ClusterError as error:
        return Finding(title, "skipped", f"the labels of {place.namespace} cannot be seen: {error}")
    if found is None:
        return Finding(title, "failed", f"namespace {place.namespace} does not exist", _ENABLE)
    standard = labels_of(found).get(_ENFORCED, "privileged")
    if privileged and standard != "privileged":
        text = f"{place.namespace} enforces the Pod Security Standard {standard}, which refuses SYS_ADMIN"
        return Finding(title, "failed", text, f"kubectl label namespace {place.namespace} {_ENFORCED}=privileged")
    return Finding(title, "ok", f"{place.namespace} enforces the Pod Security Standard {standard}")

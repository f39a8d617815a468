"""What waits in a namespace although it should run: for `podium doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from podium.cluster.client import POD, Cluster, Manifest, name_of
from podium.cluster.jobs import obstacle_of
from podium.cluster.manifests import KEY_LABEL
from podium.errors import ClusterError

SELECTORS = ("app.kubernetes.io/name=podium", KEY_LABEL, "pipeline/runid")
"""Pods of the chart, of trials, and of pipelines."""

_REMEDIES = {
    "Unschedulable": "ask for less (chart: --set nodePools.POOL.cpu=1, podium submit: --pool POOL.cpu=1), correct the "
    "pool's selector or tolerations, or add a node",
    "SchedulingGated": "wait for Kueue to admit it, or correct the pool's queue",
    "CreateContainerConfigError": "create the Secret or ConfigMap that it names, or correct the name",
}
_OTHERWISE = "correct the image, or give its registry's credentials to the service account"


def waiting(cluster: Cluster) -> Iterator[tuple[str, str, str]]:
    """Title, reason and remedy of each pod of Podium that does not start; nothing where pods cannot be seen."""
    found: dict[str, Manifest] = {}
    try:
        for selector in SELECTORS:
            found |= {name_of(pod): pod for pod in cluster.find(POD, selector)}
    except ClusterError as error:
        if error.status != 403:
            raise
    for name, pod in sorted(found.items()):
        if (obstacle := obstacle_of(pod)) is not None:
            reason, message, _ = obstacle
            yield cluster.title(POD, name), f"{reason}: {message}", _REMEDIES.get(reason, _OTHERWISE)

"""What the pod of this process was given by chart or pipeline, for the pods that it creates."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from podium.cluster.client import POD, Cluster, Manifest, labels_of
from podium.errors import ClusterError

_OF_THIS_POD = re.compile(
    r"(KFP|ARGO|ML_PIPELINE|METADATA|POD)_.*|NAMESPACE|XDG_CACHE_HOME|GOOGLE_APPLICATION_CREDENTIALS"
    r"|AWS_WEB_IDENTITY_TOKEN_FILE|AWS_ROLE_ARN|AZURE_FEDERATED_TOKEN_FILE|MLFLOW_(RUN|EXPERIMENT)_ID"
)
"""Variables that another pod must not get: ids of this pod and its run, and what names files that only it mounts.

The webhooks of workload identity give each pod of a service account its own.
"""

_BY_KUBERNETES = "node.kubernetes.io/"
"""Tolerations that every pod gets."""

_LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/part-of")
"""Labels that name what a pod belongs to, by which the chart's NetworkPolicy of trials chooses."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inherited:
    """Parts of a pod, in Kubernetes' words; what a config says itself takes precedence.

    Attributes:
        environment: variables, by value or by reference to an entry of a Secret or ConfigMap.
        secrets: sources of variables (`envFrom`) that are Secrets.
        pull_secrets: credentials of registries.
        service_account: whom the pod acts as.
        selector: labels of its nodes.
        tolerations: taints of nodes that it tolerates.
        labels: what installed it, with `trial` as the component.
    """

    environment: tuple[Mapping[str, Any], ...] = ()
    secrets: tuple[Mapping[str, Any], ...] = ()
    pull_secrets: tuple[Mapping[str, Any], ...] = ()
    service_account: str | None = None
    selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pod: Manifest, variable: str) -> Inherited:
        """What a pod hands on.

        Args:
            pod: the pod.
            variable: a variable that its working container alone has.
        """
        spec = pod["spec"]
        containers = spec["containers"]
        working = (one for one in containers if any(item["name"] == variable for item in one.get("env") or ()))
        container = next(working, containers[0])
        taints = (one for one in spec.get("tolerations") or () if not one.get("key", "").startswith(_BY_KUBERNETES))
        labels = {name: value for name, value in labels_of(pod).items() if name in _LABELS}
        return cls(
            environment=tuple(item for item in container.get("env") or () if _is_for_all(item)),
            secrets=tuple(item for item in container.get("envFrom") or () if "secretRef" in item),
            pull_secrets=tuple(spec.get("imagePullSecrets") or ()),
            service_account=spec.get("serviceAccountName"),
            selector=spec.get("nodeSelector") or {},
            tolerations=tuple(taints),
            labels=labels and labels | {"app.kubernetes.io/component": "trial"},
        )


NOTHING = Inherited()


def inherited(cluster: Cluster, pod: str, variable: str) -> Inherited:
    """What the pod of that name hands on; nothing where it may not be read, which is said.

    Args:
        cluster: the client, with the namespace of the pod.
        pod: name of the pod of this process.
        variable: see `Inherited.of`.
    """
    try:
        found = cluster.find(POD, fields=f"metadata.name={pod}")
    except ClusterError as error:
        if error.status != 403:
            raise
        _log.warning(
            "the pods of trials get only what the section cluster names, as this pod cannot be read: %s", error
        )
        return NOTHING
    return Inherited.of(found[0], variable) if found else NOTHING


def _is_for_all(item: Mapping[str, Any]) -> bool:
    """Whether a variable means the same in another pod: `fieldRef` and the like do not."""
    source = item.get("valueFrom") or {"secretKeyRef": None}
    return not _OF_THIS_POD.fullmatch(item["name"]) and bool(source.keys() & {"secretKeyRef", "configMapKeyRef"})

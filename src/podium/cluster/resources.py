"""The kinds of Kubernetes objects that Podium reads and writes, as plain mappings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]
"""An object as the API server returns and accepts it."""


@dataclass(frozen=True)
class Kind:
    """A kind of object, and its place in the API.

    Attributes:
        name: `Job`.
        api_version: `batch/v1`.
        plural: `jobs`, as paths have it.
    """

    name: str
    api_version: str
    plural: str

    def path(self, namespace: str | None, name: str = "") -> str:
        """Path of the objects of a namespace, or of one of them; the namespace is None for kinds that have none."""
        root = "api" if "/" not in self.api_version else "apis"
        where = "" if namespace is None else f"/namespaces/{namespace}"
        return f"/{root}/{self.api_version}{where}/{self.plural}" + (f"/{name}" if name else "")


NAMESPACE = Kind("Namespace", "v1", "namespaces")
POD = Kind("Pod", "v1", "pods")
JOB = Kind("Job", "batch/v1", "jobs")
TRAIN_JOB = Kind("TrainJob", "trainer.kubeflow.org/v1alpha1", "trainjobs")


@dataclass(frozen=True)
class ObjectMetadata:
    """What created objects carry, so that others find them and they disappear with their owner.

    Attributes:
        labels: such as ids of runs.
        annotations: further texts, which need not have the form of labels.
        owner: reference to the object in the same namespace with which they are to be deleted.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner: Mapping[str, Any] | None = None


def name_of(manifest: Mapping[str, Any]) -> str:
    """Name of an object."""
    return str(manifest["metadata"]["name"])


def condition(manifest: Mapping[str, Any], *types: str) -> Mapping[str, Any] | None:
    """The first condition that is true of an object, in the order of `types`."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    true = {item.get("type"): item for item in conditions if item.get("status") == "True"}
    return next((true[name] for name in types if name in true), None)


def labels_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """Labels of an object."""
    return manifest["metadata"].get("labels") or {}


def selector_of(labels: Mapping[str, str]) -> str:
    """The selector of objects with these labels."""
    return ",".join(f"{name}={value}" for name, value in labels.items())


def container_states(pod: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Name and state of the containers of a pod, those that initialise it first.

    A state has the entries `waiting`, `running` or `terminated`, and `last` with the state before a restart.
    """
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return [(item["name"], {**(item.get("state") or {}), "last": item.get("lastState") or {}}) for item in containers]

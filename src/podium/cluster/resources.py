"""The kinds of Kubernetes objects that Podium reads and writes, as plain mappings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]
"""An object as the API server gives and takes it."""


@dataclass(frozen=True)
class Kind:
    """A kind of object and where the API server has it.

    Attributes:
        name: `Job`.
        api_version: `batch/v1`.
        plural: `jobs`, as in the path.
    """

    name: str
    api_version: str
    plural: str

    def path(self, namespace: str | None, name: str = "") -> str:
        """Path of the objects of a namespace (None: of a kind without namespaces), or of one of them."""
        root = "api" if "/" not in self.api_version else "apis"
        where = "" if namespace is None else f"/namespaces/{namespace}"
        return f"/{root}/{self.api_version}{where}/{self.plural}" + (f"/{name}" if name else "")


NAMESPACE = Kind("Namespace", "v1", "namespaces")
POD = Kind("Pod", "v1", "pods")
EVENT = Kind("Event", "v1", "events")
JOB = Kind("Job", "batch/v1", "jobs")
TRAIN_JOB = Kind("TrainJob", "trainer.kubeflow.org/v1alpha1", "trainjobs")
EXPERIMENT = Kind("Experiment", "kubeflow.org/v1beta1", "experiments")
SUGGESTION = Kind("Suggestion", "kubeflow.org/v1beta1", "suggestions")
TRIAL = Kind("Trial", "kubeflow.org/v1beta1", "trials")


def name_of(manifest: Mapping[str, Any]) -> str:
    """Name of an object."""
    return str(manifest["metadata"]["name"])


def condition(manifest: Mapping[str, Any], *types: str) -> Mapping[str, Any] | None:
    """The first condition of one of these types, in the order given, that is true of an object."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    true = {item.get("type"): item for item in conditions if item.get("status") == "True"}
    return next((true[name] for name in types if name in true), None)

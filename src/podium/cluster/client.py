"""A small client of the Kubernetes API, whose objects are plain mappings; its errors name the object."""

from __future__ import annotations

import copy
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from podium.errors import ClusterError

Manifest = dict[str, Any]
"""An object as the API server returns and accepts it."""

RETRIES = urllib3.Retry(
    total=7,
    backoff_factor=0.5,
    backoff_max=30,
    backoff_jitter=1.0,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
    retry_after_max=30,
)
"""Repeats a request that the server could not answer for about a minute, and any other one never."""

POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""The file with the namespace of the pod that this process runs in."""

_SILENT_SECONDS = 30.0
"""How long a connection may be silent, and an object of the same name may take to disappear."""

_LOG_LINES = 15
_TIMESTAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")
_HINTS = {
    400: "correct what it names",
    401: "log in again, or renew the token of the kubeconfig",
    403: "give the service account that Podium runs as a Role with this verb",
    404: "check the name, and that what provides this kind is installed",
    422: "correct what it names",
}

_NOT_ADMITTED = re.compile(r"is forbidden: (?!User )")
"""In the words of a quota, a LimitRange or Pod Security, which are answered with the status of a missing right."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """A kind of object and its place in the API, such as `Job`, `batch/v1` and `jobs`."""

    name: str
    api_version: str
    plural: str
    namespaced: bool = True

    @property
    def root(self) -> str:
        return f"/{'apis' if '/' in self.api_version else 'api'}/{self.api_version}"


NAMESPACE = Kind("Namespace", "v1", "namespaces", namespaced=False)
NODE = Kind("Node", "v1", "nodes", namespaced=False)
ACCESS_REVIEW = Kind("SelfSubjectAccessReview", "authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False)
POD = Kind("Pod", "v1", "pods")
EVENT = Kind("Event", "v1", "events")
JOB = Kind("Job", "batch/v1", "jobs")
TRAIN_JOB = Kind("TrainJob", "trainer.kubeflow.org/v1alpha1", "trainjobs")
VOLUME_CLAIM = Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims")
LOCAL_QUEUE = Kind("LocalQueue", "kueue.x-k8s.io/v1beta1", "localqueues")
EXPERIMENT = Kind("Experiment", "kubeflow.org/v1beta1", "experiments")
SUGGESTION = Kind("Suggestion", "kubeflow.org/v1beta1", "suggestions")
TRIAL = Kind("Trial", "kubeflow.org/v1beta1", "trials")
WORKFLOW = Kind("Workflow", "argoproj.io/v1alpha1", "workflows")
INJECTION_LABEL = "katib.kubeflow.org/metrics-collector-injection"
"""Label of a namespace; `enabled` lets Katib read the metrics of the trials in it."""


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


def labels_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """Labels of an object."""
    return manifest["metadata"].get("labels") or {}


def condition(manifest: Mapping[str, Any], *types: str) -> Mapping[str, Any] | None:
    """The first condition that is true of an object, in the order of `types`."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    true = {item.get("type"): item for item in conditions if item.get("status") == "True"}
    return next((true[name] for name in types if name in true), None)


class Cluster:
    """The API server of one cluster, for the objects of one namespace. Use it from one thread.

    Every method raises ClusterError, which names kind, namespace and name and gives the server's reason.
    """

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    @classmethod
    def connect(cls, namespace: str | None = None, service_account: str = "") -> Cluster:
        """Connect to the cluster that this process runs in, or else to the one of the kubeconfig (`KUBECONFIG`).

        Args:
            namespace: None for that of this pod, else that of the kubeconfig's context, else `default`.
            service_account: act as this one of the namespace; the client's own identity when empty.

        Raises:
            ClusterError: there is no service account and no usable kubeconfig.
        """
        settings = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=settings)
            found = POD_NAMESPACE.read_text().strip()
        except ConfigException:
            try:
                config.load_kube_config(client_configuration=settings)
                found = config.list_kube_config_contexts()[1]["context"].get("namespace", "default")
            except (ConfigException, OSError) as error:
                raise ClusterError(
                    f"a cluster must be within reach, but this is no pod with a service account, and the kubeconfig "
                    f"cannot be used ({error}); set KUBECONFIG to a file with access to the cluster"
                ) from error
        settings.retries = RETRIES
        api, place = client.ApiClient(settings), namespace or found
        if service_account:
            api.set_default_header("Impersonate-User", f"system:serviceaccount:{place}:{service_account}")
        return cls(api, place)

    def beside(self, namespace: str) -> Cluster:
        """The same API server and identity, for the objects of another namespace."""
        return Cluster(self._api, namespace)

    def title(self, kind: Kind, name: str) -> str:
        """`Job namespace/name`, for messages."""
        return f"{kind.name} {f'{self.namespace}/{name}' if kind.namespaced else name}"

    def get(self, kind: Kind, name: str) -> Manifest | None:
        """An object; None where the object, or its kind, does not exist."""
        try:
            found: Manifest = self._request("GET", kind, name)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise
        return found

    def find(self, kind: Kind, selector: str = "", fields: str = "") -> list[Manifest]:
        """The objects of the namespace that a label selector and a field selector match."""
        query = [(name, value) for name, value in (("labelSelector", selector), ("fieldSelector", fields)) if value]
        return list(self._request("GET", kind, query_params=query)["items"])

    def create(self, kind: Kind, manifest: Mapping[str, Any], *, dry_run: bool = False) -> Manifest:
        """Create an object, or with `dry_run` find out whether the API server would take it.

        The error has status 409 if it exists, perhaps from a request whose answer was lost.
        """
        query = [("dryRun", "All")] if dry_run else []
        created: Manifest = self._request("POST", kind, name_of(manifest), body=dict(manifest), query_params=query)
        return created

    def serves(self, kind: Kind) -> bool:
        """Whether the API server knows a kind, in this version."""
        try:
            known = self.ask(kind.root)["resources"]
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return any(one["name"] == kind.plural for one in known)

    def ask(self, path: str) -> Any:
        """The answer to a GET request of any path, such as `/version`."""
        return self._call("GET", path, f"GET {path}")

    def create_or_adopt(self, kind: Kind, manifest: Mapping[str, Any], check: Callable[[Manifest], None]) -> Manifest:
        """Create an object, or adopt the one of that name unless `check` raises for it.

        An object that is being deleted is replaced once it is gone.
        """
        deadline = time.monotonic() + _SILENT_SECONDS
        while True:
            try:
                return self.create(kind, manifest)
            except ClusterError as error:
                if error.status != 409 or time.monotonic() > deadline:
                    raise
            found = self.get(kind, name_of(manifest))
            if found is not None and not found["metadata"].get("deletionTimestamp"):
                check(found)
                return found
            time.sleep(0.1)

    def patch(self, kind: Kind, name: str, changes: Mapping[str, Any]) -> None:
        """Merge changes into an object (RFC 7386)."""
        self._request("PATCH", kind, name, body=dict(changes), content="application/merge-patch+json")

    def delete(self, kind: Kind, name: str, *, wait_seconds: float = 0.0, owned_first: bool = True) -> bool:
        """Delete an object and what it owns; it may be gone already.

        Args:
            wait_seconds: how long to wait until the object is gone.
            owned_first: delete what it owns first. False deletes the object first, for owners whose controller
                creates again what is missing.

        Returns:
            Whether it is gone, after at most `wait_seconds`.
        """
        policy = "Foreground" if owned_first else "Background"
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy}
        try:
            self._request("DELETE", kind, name, body=options)
        except ClusterError as error:
            if error.status != 404:
                raise
            return True
        deadline = time.monotonic() + wait_seconds
        while (gone := self.get(kind, name) is None) is False and time.monotonic() < deadline:
            time.sleep(min(0.5, wait_seconds / 20))
        return gone

    def log_tail(self, pod: str, container: str, lines: int = _LOG_LINES) -> list[str]:
        """The last lines of a container's log; empty where there is none or it may not be read."""
        try:
            answer = client.CoreV1Api(self._api).read_namespaced_pod_log(
                pod, self.namespace, container=container, tail_lines=lines, _preload_content=False
            )
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            _log.info("%s", _explained(error, f"log of {self.title(POD, pod)}"))
            return []
        return bytes(answer.data).decode(errors="replace").splitlines()

    def once(self) -> Cluster:
        """The same cluster for questions whose answer is not needed: they are asked once."""
        return Cluster(self.unrepeated, self.namespace)

    @cached_property
    def unrepeated(self) -> client.ApiClient:
        """A client for answers that come bit by bit: silence is no reason to ask again."""
        settings = copy.copy(self._api.configuration)
        settings.retries = False
        return client.ApiClient(settings)

    def _request(self, method: str, kind: Kind, name: str = "", content: str = "application/json", **given: Any) -> Any:
        place = f"/namespaces/{self.namespace}" if kind.namespaced else ""
        object_path = f"/{name}" if name and method != "POST" else ""
        title = self.title(kind, name) if name else f"{kind.plural} of namespace {self.namespace}"
        return self._call(method, f"{kind.root}{place}/{kind.plural}{object_path}", title, content, **given)

    def _call(self, method: str, path: str, title: str, content: str = "application/json", **given: Any) -> Any:
        try:
            return self._api.call_api(
                path,
                method,
                header_params={"Accept": "application/json", "Content-Type": content},
                response_type="object",
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=(_SILENT_SECONDS, _SILENT_SECONDS),
                **given,
            )
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            raise _explained(error, title) from error


@dataclass
class ContainerLog:
    """The output of a container that has started, read over any number of connections without loss or repetition.

    The server can only be asked for the lines since a whole second. Those of the last second come again and are left
    out. The log is `complete` when all lines were read, or the pod is gone.
    """

    cluster: Cluster
    pod: str
    container: str
    complete: bool = field(default=False, init=False)
    _since: str = field(default="", init=False)
    _read: Counter[bytes] = field(default_factory=Counter, init=False)

    def read_on(self, ended: bool, silent_seconds: float) -> Iterator[str]:
        """The lines that follow, as they are written, until the container ends or is silent, or the connection drops.

        Args:
            ended: whether the container had ended before. Otherwise a line without an end may be cut off, and is left
                to the next call.
            silent_seconds: how long to wait for a line.

        Raises:
            ClusterError: the log may not be read.
        """
        query = [("container", self.container), ("follow", "true"), ("timestamps", "true")]
        repeated = self._read.copy()
        try:
            # The generated `read_namespaced_pod_log` lacks `sinceTime`.
            answer = self.cluster.unrepeated.call_api(
                f"/api/v1/namespaces/{self.cluster.namespace}/pods/{self.pod}/log",
                "GET",
                query_params=[*query, ("sinceTime", self._since)] if self._since else query,
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _preload_content=False,
                _request_timeout=(_SILENT_SECONDS, silent_seconds),
            )
            with answer:
                for line in answer:
                    if (ended or line.endswith(b"\n")) and self._is_new(line, repeated):
                        yield line.partition(b" ")[2].decode(errors="replace").removesuffix("\n")
            self.complete = ended
        except (ApiException, urllib3.exceptions.HTTPError) as cause:
            error = _explained(cause, f"log of {self.cluster.title(POD, self.pod)}")
            if error.status not in (None, 404, *RETRIES.status_forcelist):
                raise error from cause
            self.complete = error.status == 404
            _log.log(logging.INFO if error.status else logging.DEBUG, "%s; it is read on", error)

    def _is_new(self, line: bytes, repeated: Counter[bytes]) -> bool:
        """Note the timestamp of a line, unless it is one of those that are repeated."""
        stamp = line.partition(b" ")[0]
        found = _TIMESTAMP.fullmatch(stamp)
        # Without a timestamp come words of the kubelet, such as that the log is gone.
        if found is None or repeated[stamp]:
            repeated[stamp] -= 1
            return False
        since = (found[1] + found[2]).decode()
        if since > self._since:
            self._since = since
            self._read.clear()
        self._read[stamp] += 1
        return True


def _explained(error: Exception, title: str) -> ClusterError:
    """The error of a request: the words of the server, where it gave any, and what to do."""
    status = error.status or None if isinstance(error, ApiException) else None
    hint = _HINTS.get(status or 0, "check that the API server can be reached, and run the same command again")
    if not isinstance(error, ApiException):
        cause = getattr(error, "reason", None) or error
        return ClusterError(f"{title}: the API server did not answer ({type(cause).__name__}: {cause}); {hint}")
    try:
        answer = json.loads(error.body or "")
        reason = f"{answer.get('reason') or error.reason}: {answer['message']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        reason = str(error.reason)
    if status == 403 and _NOT_ADMITTED.search(reason):
        hint = "the namespace refuses what it asks for, and no Role changes that"
    return ClusterError(f"{title}: {error.status} {reason}; {hint}", status=status)

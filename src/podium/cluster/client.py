"""A small client of the Kubernetes API: it repeats requests, resumes watches and logs, and names objects in errors."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from podium.cluster.resources import NAMESPACE, POD, Kind, Manifest
from podium.errors import ClusterError

RETRIED = (429, 500, 502, 503, 504)
"""Statuses of answers after which the same request may succeed."""

_GONE = 410

POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""The file with the namespace of the pod that this process runs in."""

_HINTS = {
    400: "correct what it names",
    401: "log in again, or renew the token of the kubeconfig",
    403: "give the service account that Podium runs as a Role with this verb",
    404: "check the name, and that what provides this kind is installed",
    422: "correct what it names",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How often a request is repeated that the server could not answer.

    Attributes:
        attempts: number of attempts in all.
        first_seconds: wait before the second attempt; it doubles with each further one. Up to half of every wait is
            left out at random.
        most_seconds: the longest wait, even where the server asks for more.
        timeout_seconds: how long a connection may be silent.
    """

    attempts: int = 7
    first_seconds: float = 0.5
    most_seconds: float = 30.0
    timeout_seconds: float = 30.0

    def wait(self, attempt: int, asked: str | None) -> float:
        """Seconds to wait after the `attempt`-th failure, counted from 0; `asked` is a Retry-After header."""
        if asked is not None and asked.isdigit():
            return min(float(asked), self.most_seconds)
        return min(self.first_seconds * 2.0**attempt, self.most_seconds) * random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class Change:
    """One event of a watch.

    Attributes:
        type: `listed`: `objects` are all objects there are, so that earlier ones that are missing are gone. `changed`
            and `deleted`: `objects` holds the one object. `quiet`: nothing happened for a while.
        objects: the objects, in their state after the change.
    """

    type: Literal["listed", "changed", "deleted", "quiet"]
    objects: tuple[Manifest, ...] = ()


class Cluster:
    """The API server of one cluster, for the objects of one namespace. Use it from one thread.

    Requests that end with 429, 500, 502, 503, 504, a dropped connection or a timeout are repeated as `Patience` says,
    and no others. Every method raises ClusterError, which names kind, namespace and name and gives the server's reason.
    """

    def __init__(self, api: client.ApiClient, namespace: str, patience: Patience | None = None) -> None:
        self._api = api
        self.namespace = namespace
        self.patience = patience or Patience()

    @classmethod
    def connect(cls, namespace: str | None = None, patience: Patience | None = None) -> Cluster:
        """Connect to the cluster that this process runs in, or else to the one of the kubeconfig (`KUBECONFIG`).

        Args:
            namespace: None for that of this pod, else that of the kubeconfig's context, else `default`.
            patience: how often requests are repeated.

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
        # This class repeats requests itself: it knows which may be repeated, and logs what it waits for.
        settings.retries = False
        return cls(client.ApiClient(settings), namespace or found, patience)

    def get(self, kind: Kind, name: str) -> Manifest | None:
        """An object; None where the object, or its kind, does not exist."""
        where = self._where(kind)
        try:
            found: Manifest = self._request("GET", kind.path(where, name), f"{kind.name} {_title(where, name)}")
        except ClusterError as error:
            if error.status == 404:
                return None
            raise
        return found

    def find(self, kind: Kind, selector: str = "") -> tuple[list[Manifest], str]:
        """The objects of the namespace that a label selector matches, and the resource version of the answer."""
        where, query = self._where(kind), [("labelSelector", selector)] if selector else []
        answer = self._request("GET", kind.path(where), f"{kind.plural} of namespace {where}", query=query)
        return list(answer["items"]), str(answer["metadata"]["resourceVersion"])

    def create(self, kind: Kind, manifest: Mapping[str, Any]) -> Manifest:
        """Create an object. The error has status 409 if it exists, perhaps from a request whose answer was lost."""
        where = self._where(kind)
        title = f"{kind.name} {_title(where, manifest['metadata']['name'])}"
        created: Manifest = self._request("POST", kind.path(where), title, body=dict(manifest))
        return created

    def create_or_adopt(
        self, kind: Kind, manifest: Mapping[str, Any], check: Callable[[Manifest], None]
    ) -> tuple[Manifest, bool]:
        """Create an object, or adopt the one of that name if `check` accepts it.

        An object that is being deleted is replaced once it is gone.

        Args:
            kind: the kind of the object.
            manifest: the object.
            check: raises for an object that is not to be adopted.

        Returns:
            The object, and whether it was created.
        """
        name = str(manifest["metadata"]["name"])
        for attempt in range(self.patience.attempts):
            try:
                return self.create(kind, manifest), True
            except ClusterError as error:
                if error.status != 409:
                    raise
                refusal = error
            found = self.get(kind, name)
            if found is not None and not found["metadata"].get("deletionTimestamp"):
                check(found)
                return found, False
            time.sleep(self.patience.wait(attempt, None))
        raise refusal

    def patch(self, kind: Kind, name: str, changes: Mapping[str, Any]) -> Manifest:
        """Merge changes into an object (RFC 7386)."""
        patched: Manifest = self._request(
            "PATCH",
            kind.path(self._where(kind), name),
            f"{kind.name} {_title(self._where(kind), name)}",
            body=dict(changes),
            content="application/merge-patch+json",
        )
        return patched

    def delete(self, kind: Kind, name: str, *, wait_seconds: float = 0.0, owned_first: bool = True) -> bool:
        """Delete an object and what it owns; it may be gone already.

        Args:
            kind: kind of the object.
            name: name of the object.
            wait_seconds: how long to wait until the object is gone.
            owned_first: delete what it owns first. False deletes the object first, for owners whose controller
                creates again what is missing.

        Returns:
            Whether it is gone, after at most `wait_seconds`.
        """
        policy = "Foreground" if owned_first else "Background"
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy}
        where = self._where(kind)
        path, title = kind.path(where, name), f"{kind.name} {_title(where, name)}"
        try:
            self._request("DELETE", path, title, body=options)
        except ClusterError as error:
            if error.status != 404:
                raise
            return True
        deadline = time.monotonic() + wait_seconds
        while (gone := self.get(kind, name) is None) is False and time.monotonic() < deadline:
            time.sleep(min(0.5, wait_seconds / 20))
        return gone

    def log_tail(self, pod: str, container: str, lines: int = 15) -> list[str]:
        """The last lines of a container's log; empty where there is none or it may not be read."""
        path = f"{POD.path(self.namespace, pod)}/log"
        query = [("container", container), ("tailLines", str(lines))]
        try:
            answer = self._request("GET", path, f"log of Pod {_title(self.namespace, pod)}", query=query, raw=True)
        except ClusterError as error:
            _log.info("%s", error)
            return []
        return bytes(answer.data).decode(errors="replace").splitlines()[-lines:]

    def follow(self, kind: Kind, selector: str, quiet_seconds: int = 10) -> Iterator[Change]:
        """Everything that happens to objects of a kind, endlessly, beginning with a list of them.

        A stream that ends is opened again where it ended. After 410 Gone, and where it cannot be resumed, another list
        follows. `quiet` comes about every `quiet_seconds`, also between changes.
        """
        while True:
            objects, version = self.find(kind, selector)
            yield Change("listed", tuple(objects))
            yield from self._resumed(kind, selector, version, quiet_seconds)

    def _resumed(self, kind: Kind, selector: str, version: str, quiet_seconds: int) -> Iterator[Change]:
        """Changes since a resource version, until the server no longer knows it or fails."""
        failures = 0
        while True:
            try:
                for event in self._events(kind, selector, version, quiet_seconds):
                    failures = 0
                    # A bookmark's object holds nothing but its resource version.
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] in ("ADDED", "MODIFIED"):
                        yield Change("changed", (event["object"],))
                    elif event["type"] == "DELETED":
                        yield Change("deleted", (event["object"],))
            except ClusterError as error:
                if error.status not in (None, _GONE, *RETRIED):
                    raise
                _log.info("%s; the watch is begun again", error)
                if error.status == _GONE:
                    return
                time.sleep(self.patience.wait(failures, None))
                if failures:
                    return
                failures += 1
            yield Change("quiet")

    def _events(self, kind: Kind, selector: str, version: str, seconds: int) -> Iterator[Any]:
        query = [("labelSelector", selector)] if selector else []
        query += [("watch", "true"), ("allowWatchBookmarks", "true")]
        query += [("resourceVersion", version), ("timeoutSeconds", str(seconds))]
        title = f"watch of {kind.plural} of namespace {self.namespace}"
        silence = seconds + self.patience.timeout_seconds
        for line in self.stream(kind.path(self._where(kind)), title, query, silence):
            try:
                event = json.loads(line)
            except json.JSONDecodeError as error:
                raise ClusterError(f"{title}: what the server sends is no event: {error}") from error
            if event["type"] == "ERROR":
                status = event["object"]
                raise ClusterError(f"{title}: {status['code']} {status['message']}", status=status["code"])
            yield event

    def stream(self, path: str, title: str, query: list[tuple[str, str]], silence: float) -> Iterator[str]:
        """Lines of an answer that are not empty, each as soon as it is complete; nothing is repeated.

        Args:
            path: what to ask for.
            title: what it is, for errors.
            query: of the request.
            silence: seconds without a byte after which the server counts as gone.
        """
        rest = b""
        try:
            answer = self._call("GET", path, query=query, raw=True, timeout=(self.patience.timeout_seconds, silence))
            try:
                for chunk in answer.stream(amt=None, decode_content=False):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from (line.decode(errors="replace") for line in lines if line)
            finally:
                answer.close()
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            raise _explained(error, title) from error
        if rest:
            yield rest.decode(errors="replace")

    def _request(self, method: str, path: str, title: str, **options: Any) -> Any:
        for attempt in range(self.patience.attempts):
            try:
                return self._call(method, path, **options)
            except (ApiException, urllib3.exceptions.HTTPError) as error:
                if _status(error) not in (None, *RETRIED) or attempt + 1 == self.patience.attempts:
                    raise _explained(error, title) from error
                seconds = self.patience.wait(attempt, _retry_after(error))
                _log.warning("%s: %s; trying again in %.1f s", title, _reason(error), seconds)
                time.sleep(seconds)
        raise AssertionError("unreachable")

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
        raw: bool = False,
        timeout: tuple[float, float] | None = None,
    ) -> Any:
        wait = self.patience.timeout_seconds
        return self._api.call_api(
            path,
            method,
            query_params=query or [],
            header_params={"Accept": "application/json", "Content-Type": content},
            body=body,
            response_type="object",
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _preload_content=not raw,
            _request_timeout=timeout or (wait, wait),
        )

    def _where(self, kind: Kind) -> str | None:
        return None if kind == NAMESPACE else self.namespace


def _title(namespace: str | None, name: str) -> str:
    return name if namespace is None else f"{namespace}/{name}"


def _status(error: Exception) -> int | None:
    """HTTP status of the answer; None where there was none."""
    return getattr(error, "status", None) or None


def _retry_after(error: Exception) -> str | None:
    value = (getattr(error, "headers", None) or {}).get("Retry-After")
    return None if value is None else str(value)


def _explained(error: Exception, title: str) -> ClusterError:
    status = _status(error)
    hint = _HINTS.get(status or 0, "check that the API server can be reached, and run the same command again")
    return ClusterError(f"{title}: {_reason(error)}; {hint}", status=status)


def _reason(error: Exception) -> str:
    """What went wrong, in the words of the server where it gave any."""
    if not isinstance(error, ApiException):
        return f"the API server did not answer ({type(error).__name__}: {error})"
    try:
        status = json.loads(error.body or "")
        message = str(status["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.status} {error.reason}"
    return f"{error.status} {status.get('reason') or error.reason}: {message}"

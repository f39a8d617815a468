"""A small client of the Kubernetes API: retries, watches that go on, errors that name the object."""

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
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from podium.cluster.resources import NAMESPACE, POD, Kind, Manifest
from podium.errors import ClusterError

_RETRIED = (429, 500, 502, 503, 504)
_GONE = 410

POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Holds the namespace of the pod that a process runs in."""

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
        attempts: in all.
        first_seconds: wait before the second attempt; it doubles from then on. A random part, up to half, is left out.
        most_seconds: longest wait, also where the server asks for more.
        timeout_seconds: longest silence of a connection.
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
    """What a watch tells.

    Attributes:
        type: `listed`: `objects` are all there are, and those seen before that are missing are gone; `changed` and
            `deleted`: `objects` is the one it happened to; `quiet`: nothing happened for a while.
        objects: in their state after the change.
    """

    type: Literal["listed", "changed", "deleted", "quiet"]
    objects: tuple[Manifest, ...] = ()


class Cluster:
    """The API server of one cluster; to be used from one thread.

    Requests that meet 429, 500, 502, 503, 504, a dropped connection or a timeout are repeated as `Patience` says, and
    no others. Every method raises ClusterError, which names kind, namespace and name and gives the server's reason.
    """

    def __init__(self, api: client.ApiClient, namespace: str, patience: Patience | None = None) -> None:
        """Make a client.

        Args:
            api: with its connection settings.
            namespace: where objects are that are not said to be elsewhere.
            patience: with the server.
        """
        self._api = api
        self.namespace = namespace
        self._patience = patience or Patience()

    @classmethod
    def connect(cls, namespace: str | None = None, patience: Patience | None = None) -> Cluster:
        """The cluster this process runs in, or else the one that the kubeconfig (`KUBECONFIG`) names.

        Args:
            namespace: None: that of this pod, or of the kubeconfig's context, or `default`.
            patience: with the server.

        Raises:
            ClusterError: there is neither.
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
        # Repeating is up to this class, which knows what may be repeated and says what it waits for.
        settings.retries = False
        return cls(client.ApiClient(settings), namespace or found, patience)

    def get(self, kind: Kind, name: str) -> Manifest | None:
        """An object, or None where there is none (nor such a kind)."""
        where = self._where(kind)
        try:
            found: Manifest = self._request("GET", kind.path(where, name), f"{kind.name} {_title(where, name)}")
        except ClusterError as error:
            if error.status == 404:
                return None
            raise
        return found

    def find(self, kind: Kind, selector: str = "") -> tuple[list[Manifest], str]:
        """All objects of the namespace that a label selector finds, and the resource version of the answer."""
        where, query = self._where(kind), [("labelSelector", selector)] if selector else []
        answer = self._request("GET", kind.path(where), f"{kind.plural} of namespace {where}", query=query)
        return list(answer["items"]), str(answer["metadata"]["resourceVersion"])

    def create(self, kind: Kind, manifest: Mapping[str, Any]) -> Manifest:
        """Create an object; the error has status 409 where one of that name exists, perhaps from a lost answer."""
        where = self._where(kind)
        title = f"{kind.name} {_title(where, manifest['metadata']['name'])}"
        created: Manifest = self._request("POST", kind.path(where), title, body=dict(manifest))
        return created

    def create_or_adopt(
        self, kind: Kind, manifest: Mapping[str, Any], check: Callable[[Manifest], None]
    ) -> tuple[Manifest, bool]:
        """Create an object, or take the one of that name if `check` raises nothing for it; True: it was created.

        One that is being deleted is waited for, and replaced.
        """
        name = str(manifest["metadata"]["name"])
        for attempt in range(self._patience.attempts):
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
            time.sleep(self._patience.wait(attempt, None))
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
        """Delete an object and what it owns; one that is gone is fine.

        Args:
            kind: of the object.
            name: of the object.
            wait_seconds: how long to wait for the object to be gone.
            owned_first: it goes after what it owns; else before that, which a controller that makes anew what it misses
                requires.

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
        """The last lines of a container's log; none where it has none, or may not be read."""
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

        A stream that ends is opened again where it was; after 410 Gone, or where it cannot be resumed, comes another
        list. `quiet` comes about every `quiet_seconds`, also between changes.
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
                for event in self._stream(kind, selector, version, quiet_seconds):
                    failures = 0
                    # The raw object of a bookmark has nothing but its resource version.
                    version = event["raw_object"]["metadata"]["resourceVersion"]
                    if event["type"] in ("ADDED", "MODIFIED"):
                        yield Change("changed", (event["raw_object"],))
                    elif event["type"] == "DELETED":
                        yield Change("deleted", (event["raw_object"],))
            except (ApiException, urllib3.exceptions.HTTPError, json.JSONDecodeError) as error:
                status = getattr(error, "status", None)
                if status not in (None, 0, _GONE, *_RETRIED):
                    raise _explained(error, f"watch of {kind.plural} of namespace {self.namespace}") from error
                _log.info("the watch of %s ended and is begun again: %s", kind.plural, _reason(error))
                if status == _GONE:
                    return
                time.sleep(self._patience.wait(failures, _retry_after(error)))
                if failures:
                    return
                failures += 1
            yield Change("quiet")

    def _stream(self, kind: Kind, selector: str, version: str, seconds: int) -> Iterator[Any]:
        def opened(**query: Any) -> Any:
            pairs = [("labelSelector", selector)] if selector else []
            pairs += [("watch", "true"), ("allowWatchBookmarks", "true")]
            pairs += [("resourceVersion", query["resource_version"]), ("timeoutSeconds", str(query["timeout_seconds"]))]
            path = kind.path(self._where(kind))
            silence = (self._patience.timeout_seconds, seconds + self._patience.timeout_seconds)
            return self._call("GET", path, query=pairs, raw=True, timeout=silence)

        stream: Iterator[Any] = watch.Watch().stream(opened, resource_version=version, timeout_seconds=seconds)
        return stream

    def _request(self, method: str, path: str, title: str, **options: Any) -> Any:
        for attempt in range(self._patience.attempts):
            try:
                return self._call(method, path, **options)
            except (ApiException, urllib3.exceptions.HTTPError) as error:
                status = getattr(error, "status", None)
                if status not in (None, 0, *_RETRIED) or attempt + 1 == self._patience.attempts:
                    raise _explained(error, title) from error
                seconds = self._patience.wait(attempt, _retry_after(error))
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
        wait = self._patience.timeout_seconds
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


def _retry_after(error: Exception) -> str | None:
    value = (getattr(error, "headers", None) or {}).get("Retry-After")
    return None if value is None else str(value)


def _explained(error: Exception, title: str) -> ClusterError:
    status = getattr(error, "status", None) or None
    hint = _HINTS.get(status or 0, "check that the API server can be reached, and run the same command again")
    return ClusterError(f"{title}: {_reason(error)}; {hint}", status=status)


def _reason(error: Exception) -> str:
    """What went wrong, in the words of the server where it has any."""
    if not isinstance(error, ApiException):
        return f"the API server did not answer ({type(error).__name__}: {error})"
    try:
        status = json.loads(error.body or "")
        message = str(status["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.status} {error.reason}"
    return f"{error.status} {status.get('reason') or error.reason}: {message}"

"""A small Kubernetes API over real HTTP: enough of its behaviour to test a client against, faults included.

Objects live in memory. What is imitated is what a client can see: 404, 409, Status bodies, selectors, merge
patches, logs that are followed, finalisation of owned objects.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Manifest = dict[str, Any]
Id = tuple[str, str, str]
"""Plural, namespace and name of an object."""

_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/(?P<ns>[^/]+))?(?:/(?P<plural>[a-z]+))?"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>log|status))?"
)
KINDS = {
    "namespaces": "Namespace",
    "pods": "Pod",
    "events": "Event",
    "jobs": "Job",
    "trainjobs": "TrainJob",
    "experiments": "Experiment",
    "suggestions": "Suggestion",
    "trials": "Trial",
    "nodes": "Node",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "localqueues": "LocalQueue",
    "selfsubjectaccessreviews": "SelfSubjectAccessReview",
}


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": dict(details or {}),
            "code": code,
        }
        self.code = code


@dataclass
class Fault:
    """What happens to the next requests that it fits.

    Attributes:
        method: of the request.
        path: part of it.
        code: of the answer; 0: the connection is closed without one; -1: after the request was carried out.
        times: how many requests.
        headers: of the answer.
        lines: after how many lines of a log that is followed, and a half, the connection is closed.
    """

    method: str
    path: str
    code: int
    times: int = 1
    lines: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiServer:
    """The server; use as a context manager. All methods may be called from any thread.

    Attributes:
        requests: method, path and query of everything that was asked.
        checks: called with the new and the old object (None: it is being created) before it is kept; they may raise.
        logs: text by pod and container.
        restoring: plurals of kinds whose controller makes anew what is deleted below an object, even one that is being
            deleted itself: none that must go after what it owns ever goes. So do Katib's with Experiments and Trials.
        uninstalled: plurals of kinds that it does not know.
        denied: group, resource and verb of what a SelfSubjectAccessReview answers with no.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.objects: dict[Id, Manifest] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.faults: list[Fault] = []
        self.checks: dict[str, Callable[[Manifest, Manifest | None], None]] = {}
        self.logs: dict[tuple[str, str], str] = {}
        self.uninstalled: set[str] = set()
        self.denied: set[tuple[str, str, str]] = set()
        self.restoring: set[str] = set()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.api = self
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> ApiServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def get(self, plural: str, namespace: str, name: str) -> Manifest:
        with self.changed:
            try:
                return self.objects[plural, namespace, name]
            except KeyError:
                raise Refused(404, "NotFound", f'{plural} "{name}" not found', {"name": name, "kind": plural}) from None

    def list(self, plural: str, namespace: str, selector: str = "", fields: str = "") -> list[Manifest]:
        with self.changed:
            return [
                item
                for (kind, where, _), item in sorted(self.objects.items())
                if kind == plural and where == namespace and _fits(item, selector) and _has(item, fields)
            ]

    def create(self, plural: str, namespace: str, manifest: Mapping[str, Any]) -> Manifest:
        with self.changed:
            made = json.loads(json.dumps(manifest))
            name = made["metadata"]["name"]
            if (plural, namespace, name) in self.objects:
                raise Refused(409, "AlreadyExists", f'{plural} "{name}" already exists', {"name": name, "kind": plural})
            if plural in self.checks:
                self.checks[plural](made, None)
            made["metadata"] |= {
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "creationTimestamp": _now(),
                "generation": 1,
            }
            self._keep((plural, namespace, name), made)
            return made

    def update(self, plural: str, namespace: str, name: str, change: Callable[[Manifest], None]) -> Manifest:
        """Change an object as a controller does."""
        with self.changed:
            new = json.loads(json.dumps(self.get(plural, namespace, name)))
            change(new)
            self._keep((plural, namespace, name), new)
            return new

    def patch(self, plural: str, namespace: str, name: str, changes: Mapping[str, Any]) -> Manifest:
        with self.changed:
            old = self.get(plural, namespace, name)
            new = _merged(json.loads(json.dumps(old)), changes)
            if plural in self.checks:
                self.checks[plural](new, old)
            self._keep((plural, namespace, name), new)
            return new

    def delete(self, plural: str, namespace: str, name: str, *, owned_first: bool = False) -> None:
        """Delete an object and what it owns; see `restoring` for what is to go after that."""
        with self.changed:
            found = self.get(plural, namespace, name)
            if owned_first and plural in self.restoring:
                self.update(plural, namespace, name, lambda item: item["metadata"].update(deletionTimestamp=_now()))
                return
            uid = found["metadata"]["uid"]
            for (kind, where, other), item in list(self.objects.items()):
                owners = {owner["uid"] for owner in item["metadata"].get("ownerReferences") or ()}
                if uid in owners and (kind, where, other) in self.objects:
                    self.delete(kind, where, other)
            del self.objects[plural, namespace, name]
            self.changed.notify_all()

    def _keep(self, key: Id, manifest: Manifest) -> None:
        self.objects[key] = manifest
        self.changed.notify_all()

    def fault(self, method: str, path: str) -> Fault | None:
        with self.changed:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and fault.path in path:
                    fault.times -= 1
                    return fault
        return None


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    api: ApiServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that closed its connection is none of the server's business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http
    # Headers and body go out as one packet; else each answer waits for a delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        api, url = self.server.api, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        api.requests.append((self.command, url.path, url.query))
        fault = api.fault(self.command, url.path)
        try:
            if fault is not None and fault.code > 0:
                raise Refused(fault.code, "Injected", f"injected answer {fault.code}")
            if fault is not None and fault.code == 0:
                return self._cut()
            match = _PATH.fullmatch(url.path)
            if (known := self._known(url.path, match)) is not None:
                return self._send(200, known)
            if match is None or (plural := match["plural"] or "namespaces") in api.uninstalled or plural not in KINDS:
                return self._send(404, "404 page not found\n", content="text/plain")
            namespace = "" if plural == "namespaces" else match["ns"] or ""
            name = match["ns"] if plural == "namespaces" else match["name"]
            if match["sub"] == "log":
                api.get(plural, namespace, name)
                if query.get("follow") == "true":
                    return self._follow_log(namespace, name, query, fault)
            answer = self._answer(plural, namespace, name, match["sub"], query, body)
            if fault is not None:
                return self._cut()
            self._send(201 if self.command == "POST" else 200, answer)
        except Refused as refused:
            self._send(refused.code, refused.status, headers=fault.headers if fault else {})
        return None

    def _known(self, path: str, match: re.Match[str] | None) -> Manifest | None:
        """What is answered about the server itself: its version, and the kinds of an API."""
        if path == "/version":
            return {"major": "1", "minor": "36+", "gitVersion": "v1.36.3"}
        if match is None or match["ns"] or match["plural"]:
            return None
        return {"resources": [{"name": plural} for plural in KINDS if plural not in self.server.api.uninstalled]}

    do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _answer(
        self, plural: str, namespace: str, name: str | None, sub: str | None, query: Mapping[str, str], body: Manifest
    ) -> Manifest | str:
        api = self.server.api
        if self.command == "POST":
            return self._create(plural, namespace, query, body)
        if name is None:
            selectors = query.get("labelSelector", ""), query.get("fieldSelector", "")
            return {"kind": "List", "items": api.list(plural, namespace, *selectors)}
        if sub == "log":
            lines = api.logs.get((name, query.get("container", "")), "").splitlines()
            return "\n".join(lines[-int(query.get("tailLines", "1000")) :])
        if self.command == "PATCH":
            assert self.headers["Content-Type"] == "application/merge-patch+json"
            return api.patch(plural, namespace, name, body)
        if self.command == "DELETE":
            found = api.get(plural, namespace, name)
            api.delete(plural, namespace, name, owned_first=body["propagationPolicy"] == "Foreground")
            return found
        return api.get(plural, namespace, name)

    def _create(self, plural: str, namespace: str, query: Mapping[str, str], body: Manifest) -> Manifest:
        api = self.server.api
        if plural == "selfsubjectaccessreviews":
            asked = body["spec"]["resourceAttributes"]
            resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
            return {**body, "status": {"allowed": (asked["group"], resource, asked["verb"]) not in api.denied}}
        if query.get("dryRun") == "All":
            if plural in api.checks:
                api.checks[plural](body, None)
            return body
        return api.create(plural, namespace, body)

    def _follow_log(self, namespace: str, name: str, query: Mapping[str, str], fault: Fault | None) -> None:
        """Lines as they are written, with timestamps: three lines in every second, of which two share one."""
        api, container = self.server.api, query["container"]
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        sent = seen = 0
        with suppress(OSError):
            while True:
                with api.changed:
                    pod = api.objects.get(("pods", namespace, name), {})
                    lines = api.logs.get((name, container), "").splitlines(keepends=True)
                    if not (ended := container_ended(pod, container)) and len(lines) <= seen:
                        api.changed.wait(0.2)
                        continue
                for line in lines[seen:]:
                    second, part = divmod(seen, 3)
                    stamp = f"2026-11-29T12:{second // 60:02}:{second % 60:02}.{part // 2:09}Z"
                    seen += 1
                    if stamp[:19] < query.get("sinceTime", "")[:19]:
                        continue
                    if fault is not None and sent == fault.lines:
                        self._chunk(f"{stamp} {line}"[:-3].encode())
                        return self._cut()
                    self._chunk(f"{stamp} {line}".encode())
                    sent += 1
                if ended:
                    self.wfile.write(b"0\r\n\r\n")
                    return None

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _send(
        self, code: int, answer: Manifest | str, content: str = "application/json", headers: Mapping[str, str] = {}
    ) -> None:
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(code)
        for name, value in {"Content-Type": content, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        return


def container_ended(pod: Manifest, container: str) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return not pod or any(item["name"] == container and "terminated" in item["state"] for item in statuses)


def owner(api_version: str, kind: str, manifest: Manifest) -> dict[str, Any]:
    """An owner reference, as a controller writes it."""
    metadata = manifest["metadata"]
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _fits(manifest: Manifest, selector: str) -> bool:
    labels = manifest["metadata"].get("labels") or {}
    parts = (part.partition("=") for part in selector.split(",") if part)
    return all(labels.get(name) == value if equals else name in labels for name, equals, value in parts)


def _has(manifest: Manifest, fields: str) -> bool:
    for part in filter(None, fields.split(",")):
        path, _, value = part.partition("=")
        if reduce(lambda found, name: found.get(name, {}), path.split("."), manifest) != value:
            return False
    return True


def _merged(target: Any, changes: Any) -> Any:
    if not isinstance(changes, dict) or not isinstance(target, dict):
        return changes
    for name, value in changes.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = _merged(target.get(name), value) if isinstance(value, dict) else value
    return target

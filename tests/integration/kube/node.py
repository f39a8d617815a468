"""What a node does with the pods of a Job, against the imitation of an API server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.support import PATIENCE_SECONDS, eventually

from .server import ApiServer


class Node:
    """Does what the Job controller and a kubelet do with a Job, in a thread of its own."""

    def __init__(self, api: ApiServer, act: Callable[[Node], None]) -> None:
        self.api = api
        self._thread = threading.Thread(target=self._run, args=(act,), daemon=True)
        self._thread.start()

    def _run(self, act: Callable[[Node], None]) -> None:
        with self.api.changed:
            assert self.api.changed.wait_for(lambda: ("jobs", "space", "work") in self.api.objects, 60)
        try:
            act(self)
        except BaseException as error:
            self.job("Failed", f"the test failed: {error!r}")
            raise

    def pod(self, name: str = "work-a", **status: Any) -> None:
        """Create the pod, or change its state."""
        if ("pods", "space", name) in self.api.objects:
            self.api.update("pods", "space", name, lambda item: item["status"].update(status))
            return
        job = self.api.get("jobs", "space", "work")
        labels = {**job["spec"]["template"]["metadata"]["labels"], "batch.kubernetes.io/job-name": "work"}
        owner = [{"uid": job["metadata"]["uid"]}]
        metadata = {"name": name, "labels": labels, "ownerReferences": owner}
        self.api.create("pods", "space", {"metadata": metadata, "status": status})

    def write(self, text: str, name: str = "work-a") -> None:
        with self.api.changed:
            self.api.logs[name, "main"] = self.api.logs.get((name, "main"), "") + text
            self.api.changed.notify_all()

    def job(self, condition: str, reason: str = "") -> None:
        found = {"type": condition, "status": "True", "reason": reason, "message": "so it is"}
        self.api.update("jobs", "space", "work", lambda item: item.update(status={"conditions": [found]}))

    def wait_for_readers(self, count: int) -> None:
        """Wait until the log was asked for so often."""
        eventually(lambda: sum(path.endswith("/log") for _, path, _ in list(self.api.requests)) >= count)

    def join(self) -> None:
        self._thread.join(PATIENCE_SECONDS)


def running() -> dict[str, Any]:
    return {"phase": "Running", "containerStatuses": [{"name": "main", "state": {"running": {}}}]}


def ended(code: int = 0, reason: str = "Completed") -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "reason": reason}}
    return {"phase": "Failed" if code else "Succeeded", "containerStatuses": [{"name": "main", "state": state}]}


def complete(node: Node) -> None:
    node.pod(**running())
    for number in range(12):
        node.write(f"line {number}\n")
    node.pod(**ended())
    node.job("Complete")

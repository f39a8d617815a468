"""The output of a container while it runs, whatever happens to the connection."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from podium.cluster.client import RETRIED, Cluster
from podium.cluster.resources import POD, container_states
from podium.errors import ClusterError

_log = logging.getLogger(__name__)


def follow_log(cluster: Cluster, pod: str, container: str, quiet_seconds: float = 10) -> Iterator[str]:
    """Lines of a container that has started, as it writes them, until it has ended or its pod is gone.

    A connection that is dropped, or silent for `quiet_seconds`, is opened again after the last line that was read.

    Raises:
        ClusterError: the server does not answer, or refuses.
    """
    title, path = f"log of Pod {cluster.namespace}/{pod}", f"{POD.path(cluster.namespace, pod)}/log"
    place, failures = _Place(), 0
    while True:
        # Asked before reading, so that the last lines of a container that ends meanwhile are read, too.
        ended = _has_ended(cluster, pod, container)
        query = [("container", container), ("follow", "true"), ("timestamps", "true"), *place.since()]
        try:
            for line in cluster.stream(path, title, query, quiet_seconds):
                failures = 0
                stamp, _, text = line.partition(" ")
                if place.passes(stamp):
                    yield text
        except ClusterError as error:
            if error.status == 404:
                return
            # Without a status the connection was silent or dropped; `_has_ended` finds out whether the server is there.
            failures += error.status is not None
            if error.status not in (None, *RETRIED) or failures == cluster.patience.attempts:
                raise
            _log.info("%s; it is read on", error)
        else:
            if ended:
                return
        time.sleep(cluster.patience.wait(failures, None))


def _has_ended(cluster: Cluster, pod: str, container: str) -> bool:
    found = cluster.get(POD, pod)
    states = [] if found is None else container_states(found)
    return found is None or any(name == container and "terminated" in state for name, state in states)


@dataclass
class _Place:
    """How far a log was read. The server can only be asked for the lines since a whole second.

    Attributes:
        time: timestamp of the last line.
        lines: how many lines with that timestamp were read.
    """

    time: str = ""
    lines: int = 0
    _repeated: int = 0

    def since(self) -> list[tuple[str, str]]:
        """The query for what follows. The lines of the last second come again; `passes` finds them."""
        self._repeated = self.lines
        return [("sinceTime", f"{self.time[:19]}Z")] if self.time else []

    def passes(self, stamp: str) -> bool:
        """Move to the next line, of which `stamp` is the timestamp; False for one that was read before."""
        if self._repeated and stamp <= self.time:
            self._repeated -= stamp == self.time
            return False
        self._repeated = 0
        self.lines = 1 + (self.lines if stamp == self.time else 0)
        self.time = stamp
        return True

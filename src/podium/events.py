"""Progress events, by which a step in its own process reports what it is doing.

A step appends JSON lines to the file that `PODIUM_EVENTS` names; the local runner follows that file and draws it.
Without the variable, as in a pod, events are logged, so that the pod's log shows them.
"""

from __future__ import annotations

import json
import logging
import os
import time
from typing import Any

ENV_FILE = "PODIUM_EVENTS"
ENV_STEP = "PODIUM_STEP"

_log = logging.getLogger("podium.progress")


def emit(event: str, **fields: Any) -> None:
    """Report `event` with JSON-like fields, in one short write, so that lines of several processes never mix."""
    path = os.environ.get(ENV_FILE)
    if path is None:
        # As JSON: Katib's collector would take `name=value` of a pod's log for metrics.
        _log.info("%s %s", event, json.dumps(fields, ensure_ascii=False, default=str))
        return
    line = {"time": time.time(), "step": os.environ.get(ENV_STEP, ""), "event": event, **fields}
    data = (json.dumps(line, ensure_ascii=False) + "\n").encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)

"""DCGM holds the hardware counters of a GPU. It is paused while they are measured, and always resumes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from podium.execution.ending import signals_ignored, sigterm_unwinds
from podium.profiling.tools import answer, find_tool

_log = logging.getLogger(__name__)


@contextmanager
def dcgm_paused(
    find: Callable[[str], str | None] = find_tool, ask: Callable[[Sequence[str]], str] = answer
) -> Iterator[bool]:
    """Pause DCGM while the body runs, where `dcgmi` is there; yields whether it was paused.

    It resumes whatever ends the body: its end, an error, Ctrl-C or SIGTERM. It resumes, too, where the pause itself
    failed half way. Only SIGKILL leaves it paused, which `dcgmi profile --resume` mends.
    """
    dcgmi = find("dcgmi")
    if dcgmi is None:
        yield False
        return
    with sigterm_unwinds():
        try:
            yield bool(ask([dcgmi, "profile", "--pause"]))
        finally:
            with signals_ignored():
                if not ask([dcgmi, "profile", "--resume"]):
                    _log.warning("DCGM may still be paused; run: %s profile --resume", dcgmi)

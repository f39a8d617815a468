"""Calls in forks of this process, which start with all that it has loaded and cannot harm each other."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from functools import partial
from multiprocessing.connection import Connection
from typing import TypeVar

from podium.execution.calls import WorkerCall, answer_with, wait_any
from podium.execution.failures import PROCESS, Purpose
from podium.execution.parent import end_with_parent

T = TypeVar("T")
R = TypeVar("R")


def fork_each(
    function: Callable[[T], R],
    items: Iterable[T],
    at_once: int,
    on_result: Callable[[T, R], None],
    purpose: Purpose = PROCESS,
) -> None:
    """Call `function(item)` for every item in a fork of its own, at most `at_once` at a time.

    Results travel pickled; what the forks print goes where this process prints. The forks are gone when this returns
    or raises, and end with this process, even when it is killed. This process must not have used several threads to
    compute yet: a fork inherits none of them.

    Args:
        on_result: called in this process with an item and its result as each call ends.
        purpose: what errors call one fork.

    Raises:
        PodiumError: what a call raised; an exception that is not Podium's comes as ComputationFailed.
        OutOfMemory, ProcessKilled: a signal ended a fork.
    """
    waiting = list(items)
    running: dict[WorkerCall, T] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                item = waiting.pop(0)
                running[_fork(function, item, purpose)] = item
            for call in wait_any(list(running)):
                result = call.wait()
                call.kill()
                on_result(running.pop(call), result)
    finally:
        for call in running:
            call.kill()


def _fork(function: Callable[[T], R], item: T, purpose: Purpose) -> WorkerCall:
    context = multiprocessing.get_context("fork")
    answer, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(function, item, sender))
    process.start()
    sender.close()
    return WorkerCall(process, answer, purpose)


def _run(function: Callable[[T], R], item: T, answer: Connection) -> None:
    # A fork keeps the pipe ends of its older siblings open, so they end after the younger ones.
    end_with_parent()
    answer_with(partial(function, item), answer)

"""Calls in forks of this process, which start with all that it has loaded and cannot harm each other."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterable
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import Any, TypeVar

from podium.execution.failures import PROCESS, Purpose, death, describe, out_of_memory_kills, rebuild
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
    running: dict[Connection, tuple[T, ForkProcess]] = {}
    kills = out_of_memory_kills()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                item = waiting.pop(0)
                answer, process = _fork(function, item)
                running[answer] = item, process
            ended = connection.wait(list(running))
            for answer in [answer for answer in running if answer in ended]:
                item, process = running[answer]
                outcome = _received(answer)
                process.join()
                del running[answer]
                answer.close()
                if outcome is None:
                    raise death(process.exitcode or 0, None, kills, purpose)
                if "error" in outcome:
                    raise rebuild(outcome["error"], None, purpose)
                on_result(item, outcome["result"])
    finally:
        for answer, (_, process) in running.items():
            process.kill()
            process.join()
            answer.close()


def _fork(function: Callable[[T], R], item: T) -> tuple[Connection, ForkProcess]:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(sender, function, item))
    process.start()
    sender.close()
    return receiver, process


def _received(answer: Connection) -> dict[str, Any] | None:
    try:
        outcome: dict[str, Any] = answer.recv()
    except (EOFError, OSError):
        return None
    return outcome


def _call(answer: Connection, function: Callable[[T], R], item: T) -> None:
    # A fork keeps the pipe ends of its older siblings open, so they end after the younger ones.
    end_with_parent()
    outcome: dict[str, Any]
    try:
        outcome = {"result": function(item)}
    except BaseException as error:
        traceback.print_exc()
        outcome = {"error": describe(error)}
    answer.send(outcome)
    answer.close()

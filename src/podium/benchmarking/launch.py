"""Starts, follows and stops the worker processes of a measurement, of which one at a time measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import chain
from multiprocessing import Pipe
from pathlib import Path

from podium.benchmarking.calls import Repetition, WorkerCall
from podium.errors import BenchmarkError, ComputationFailed
from podium.execution.environment import inference_environment
from podium.execution.failures import Purpose, excerpt
from podium.execution.launch import Process, command, result_of
from podium.jsonfile import write_text

_START_SECONDS = 300.0
_LOAD_SECONDS = 600.0
_AHEAD = 4
_POLL_SECONDS = 1.0


class RepetitionProcess(Process):
    """A worker process that has been started and waits for its turn; a context manager that ends it.

    Attributes:
        phase: what it waits to do; None before it is ready and once it has ended.
    """

    def __init__(self, call: WorkerCall, folder: Path, *, turns: bool = True):
        """Start a worker; its log and its call are in `folder`, both named after the output of the call.

        It waits for its `turns`, or measures at once, its own start included.
        """
        self._call = call
        self.phase: str | None = None
        name = call.output.name.partition(".")[0]
        file, log = folder / f"{name}.json", folder / f"{name}.log"
        write_text(file, call.model_dump_json())
        call.output.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        self._turns, theirs = Pipe()
        how = ["--turns", str(theirs.fileno())] if turns else ["--started", str(time.monotonic_ns())]
        with theirs:
            super().__init__(
                [*command("podium.benchmarking.worker", file, call.output), *how],
                log,
                purpose=Purpose(f"{name} of the benchmark of {call.model.model_dir}"),
                environment=inference_environment(call.model.threads),
                pass_fds=(theirs.fileno(),),
            )

    def await_ready(self, seconds: float) -> None:
        """Return once the worker has imported its libraries; BenchmarkError if it is not ready after `seconds`."""
        self._await_phase(seconds, "was not ready after {} s")
        if self.phase is None:
            self.result()

    def turn(self, seconds: float) -> None:
        """Let the worker measure until it gives up its turn, for the next `phase`, or has ended.

        Raises BenchmarkError if it failed, was killed, or did neither within `seconds`.
        """
        with suppress(OSError):
            self._turns.send(self.phase)
        self._await_phase(seconds, "did not end its turn within {} s and was stopped")
        if self.phase is None and self.wait() != 0:
            self.result()

    def result(self) -> Repetition:
        """What the worker, which has ended, measured; BenchmarkError if it failed or was killed."""
        self.wait()
        try:
            return Repetition.model_validate(result_of(self, self._call.output))
        except ComputationFailed as error:
            raise BenchmarkError(str(error)) from error

    def stop(self, grace: float = 0) -> None:
        super().stop(grace)
        self._turns.close()

    def _await_phase(self, seconds: float, late: str) -> None:
        """Wait for the next phase, or for the end of the worker."""
        deadline = time.monotonic() + seconds
        while not self._turns.poll(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic()))):
            if self.wait(0) is not None:  # what it had started may still hold the pipe
                self.phase = None
                return
            if time.monotonic() >= deadline:
                self.stop()
                what = late.format(f"{seconds:g}")
                raise BenchmarkError(f"{self.purpose.name} {what}\n{excerpt(self.log)}")
        try:
            self.phase = self._turns.recv()
        except (EOFError, OSError):
            self.phase = None


def take_turns(
    rounds: Sequence[Sequence[WorkerCall]],
    folders: Sequence[Path],
    seconds: float,
    report: Callable[[int, Sequence[Repetition]], None] | None = None,
    *,
    from_start: bool = False,
) -> list[list[Repetition]]:
    """Run the calls of a round in processes of their own that measure in turns; one round after the other.

    Nothing measures while another does, and only the models of one round are in memory. The processes of a few rounds
    are started side by side, because starting costs most. If one fails, is killed or takes too long, the others are
    stopped, and BenchmarkError is raised.

    Args:
        rounds: the calls of each, one for each of the `folders`.
        seconds: about how long a process measures, without loading; a turn of three times that is stopped.
        report: called with the number of a round and its results.
        from_start: whether a process starts only when its turn has come, and measures its own start too.

    Returns:
        The results of each round, in the order of its calls.
    """
    found: list[list[Repetition]] = []
    ahead = 1 if from_start else max(1, _AHEAD // len(folders))
    for first in range(0, len(rounds), ahead):
        with ExitStack() as stack:
            started = [
                [
                    stack.enter_context(RepetitionProcess(call, folder, turns=not from_start))
                    for call, folder in zip(calls, folders, strict=True)
                ]
                for calls in rounds[first : first + ahead]
            ]
            for process in chain.from_iterable(started):
                if from_start:
                    process.turn(_START_SECONDS + _LOAD_SECONDS + 3 * seconds)
                else:
                    process.await_ready(_START_SECONDS)
            for together in started:
                # To be first in every repetition could be an advantage.
                ordered = together if len(found) % 2 == 0 else together[::-1]
                for phase in ("load", *rounds[0][0].scenarios):  # all end a phase before any begins the next
                    waiting = [process for process in ordered if process.phase == phase]
                    while waiting:
                        for process in waiting:
                            process.turn(_LOAD_SECONDS + 3 * seconds)
                        waiting = [process for process in reversed(waiting) if process.phase == phase]
                found.append([process.result() for process in together])
                if report is not None:
                    report(len(found) - 1, found[-1])
    return found

"""Starting, following and stopping the processes of repetitions, of which one at a time measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import chain
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from podium.benchmarking.spec import PHASES, AnySpec
from podium.errors import BenchmarkError, ComputationFailed
from podium.execution.environment import inference_environment
from podium.execution.failures import Purpose, excerpt
from podium.execution.launch import Process, command, result_of
from podium.jsonfile import write_text
from podium.records.base import Frozen

M = TypeVar("M", bound=Frozen)

_START_SECONDS = 300.0
_LOAD_SECONDS = 600.0
_AHEAD = 4
_POLL_SECONDS = 1.0


class RepetitionProcess:
    """A worker process that has been started and waits for its turn; a context manager that ends it.

    Attributes:
        phase: what it waits to do; None before it is ready and once it has ended.
    """

    def __init__(self, spec: AnySpec, folder: Path, name: str, *, turns: bool = True):
        """Write the spec to `folder`/`name`.json and start a worker on it that logs to `folder`/`name`.log.

        Args:
            turns: whether it waits for its turns; otherwise it measures at once, its own start included.
        """
        self._spec = spec
        self._purpose = Purpose(f"{name} of the benchmark of {spec.model_dir}")
        self.phase: str | None = None
        file, log = folder / f"{name}.json", folder / f"{name}.log"
        write_text(file, spec.model_dump_json())
        spec.output.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        self._turns, theirs = Pipe()
        how = ["--turns", str(theirs.fileno())] if turns else ["--started", str(time.monotonic_ns())]
        with theirs:
            self._process = Process(
                [*command("podium.benchmarking.worker", file, spec.output), *how],
                log,
                purpose=self._purpose,
                environment=inference_environment(spec.threads),
                pass_fds=(theirs.fileno(),),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def await_ready(self, seconds: float) -> None:
        """Return once the worker has imported its libraries.

        Raises:
            BenchmarkError: it ended, or was not ready after `seconds`.
        """
        self._await_phase(seconds, "was not ready after {} s")
        if self.phase is None:
            self._outcome()

    def turn(self, seconds: float) -> None:
        """Let the worker measure until it gives up its turn, for the next `phase`, or has ended.

        Raises:
            BenchmarkError: it failed, was killed, or did neither within `seconds`.
        """
        with suppress(OSError):
            self._turns.send(self.phase)
        self._await_phase(seconds, "did not end its turn within {} s and was stopped")
        if self.phase is None and self._process.wait() != 0:
            self._outcome()

    def result(self, kind: type[M]) -> M:
        """What the worker, which has ended, measured; `kind` is that of the result."""
        return kind.model_validate(self._outcome())

    def stop(self) -> None:
        """End the worker and all that it started; harmless when it has ended."""
        self._process.stop()
        self._turns.close()

    def _await_phase(self, seconds: float, late: str) -> None:
        """Wait for the next phase, or for the end of the worker."""
        deadline = time.monotonic() + seconds
        while not self._turns.poll(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic()))):
            if self._process.wait(0) is not None:  # what it had started may still hold the pipe
                self.phase = None
                return
            if time.monotonic() >= deadline:
                self.stop()
                what = late.format(f"{seconds:g}")
                raise BenchmarkError(f"{self._purpose.name} {what}\n{excerpt(self._process.log)}")
        try:
            self.phase = self._turns.recv()
        except (EOFError, OSError):
            self.phase = None

    def _outcome(self) -> Any:
        """What the worker wrote as its result.

        Raises:
            BenchmarkError: it has none.
        """
        self._process.wait()
        try:
            return result_of(self._process, self._spec.output)
        except ComputationFailed as error:
            raise BenchmarkError(str(error)) from error


def repeat(
    specs: Sequence[AnySpec],
    kind: type[M],
    folder: Path,
    name: str,
    seconds: float,
    told: Callable[[int, M], None] = lambda number, result: None,
) -> list[M]:
    """Run every job in a process of its own, one at a time; see `take_turns`.

    Args:
        told: called with each result.

    Raises:
        BenchmarkError: one failed, was killed or took too long; the others are stopped.
    """
    rounds = [[spec] for spec in specs]
    found = take_turns(rounds, kind, [folder], name, seconds, lambda number, results: told(number, results[0]))
    return [result for (result,) in found]


def take_turns(
    rounds: Sequence[Sequence[AnySpec]],
    kind: type[M],
    folders: Sequence[Path],
    name: str,
    seconds: float,
    told: Callable[[int, list[M]], None],
) -> list[list[M]]:
    """Run the jobs of a round in processes of their own that measure in turns; one round after the other.

    Nothing measures while another does, and only the models of one round are in memory. The processes of a few rounds
    are started side by side, since starting costs most.

    Args:
        rounds: the jobs of each, one for each of the `folders`.
        kind: of the results.
        name: of the files in the folders, with the number of the round.
        seconds: about how long a job takes, without loading; a turn of three times that is stopped.
        told: called with the results of each round.

    Returns:
        The results of each round, in the order of its jobs.

    Raises:
        BenchmarkError: one failed, was killed or took too long; the others are stopped.
    """
    found: list[list[M]] = []
    ahead = max(1, _AHEAD // len(folders))
    for first in range(0, len(rounds), ahead):
        with ExitStack() as stack:
            started = [
                [
                    stack.enter_context(RepetitionProcess(spec, folder, f"{name}-{number}"))
                    for spec, folder in zip(jobs, folders, strict=True)
                ]
                for number, jobs in enumerate(rounds[first : first + ahead], first)
            ]
            for process in chain.from_iterable(started):
                process.await_ready(_START_SECONDS)
            for together in started:
                # To be first in every repetition could be an advantage.
                _alternate(together if len(found) % 2 == 0 else together[::-1], _LOAD_SECONDS + 3 * seconds)
                found.append([process.result(kind) for process in together])
                told(len(found) - 1, found[-1])
    return found


def _alternate(processes: Sequence[RepetitionProcess], seconds: float) -> None:
    """Give turns until all have ended, in an order that is reversed each time."""
    for phase in PHASES:
        waiting = [process for process in processes if process.phase == phase]
        while waiting:
            for process in waiting:
                process.turn(seconds)
            waiting = [process for process in reversed(waiting) if process.phase == phase]


def start_anew(specs: Sequence[AnySpec], kind: type[M], folder: Path, name: str) -> list[M]:
    """Run every job in a process of its own that is started only when the one before has ended.

    Raises:
        BenchmarkError: one failed, was killed or took too long.
    """
    results = []
    for number, spec in enumerate(specs):
        with RepetitionProcess(spec, folder, f"{name}-{number}", turns=False) as process:
            process.turn(_START_SECONDS + _LOAD_SECONDS)
            results.append(process.result(kind))
    return results

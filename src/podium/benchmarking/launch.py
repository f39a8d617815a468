"""Starting, following and stopping the processes of repetitions, of which one at a time measures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import chain
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from podium.benchmarking.spec import PHASES, AnySpec, RepetitionFailure
from podium.errors import BenchmarkError
from podium.execution.environment import training_environment
from podium.records.base import Frozen

M = TypeVar("M", bound=Frozen)

_START_SECONDS = 300.0
_LOAD_SECONDS = 600.0
_AHEAD = 4
_POLL_SECONDS = 1.0
_LONGEST_REPLY = 64
_TAIL_LINES = 15


class RepetitionProcess:
    """A worker process that has been started and waits for its turn; a context manager that ends it.

    It leads a process group of its own, which is killed as a whole, and it ends by itself when this process dies.

    Attributes:
        phase: what it waits to do; None before it is ready and once it has ended.
    """

    def __init__(self, spec: AnySpec, folder: Path, name: str, *, turns: bool = True):
        """Write the spec to `folder`/`name`.json and start a worker on it that logs to `folder`/`name`.log.

        Args:
            turns: whether it waits for its turns; otherwise it measures at once, its own start included.
        """
        self._spec, self._name = spec, name
        self._file, self.log = folder / f"{name}.json", folder / f"{name}.log"
        self._file.write_text(spec.model_dump_json())
        spec.output.unlink(missing_ok=True)
        self.phase: str | None = None
        self._replies, theirs = os.pipe()
        with self.log.open("wb") as log:
            how = ["--turns", str(theirs)] if turns else ["--started", str(time.monotonic_ns())]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "podium.benchmarking.worker", "--spec", str(self._file), *how],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=worker_environment(spec.threads),
                start_new_session=True,
                pass_fds=(theirs,),
            )
        os.close(theirs)

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
        self._hear(seconds, "was not ready after {} s")
        if self.phase is None:
            raise self._failure()

    def turn(self, seconds: float) -> None:
        """Let the worker measure until it gives up its turn, for the next `phase`, or has ended.

        Raises:
            BenchmarkError: it failed, was killed, or did neither within `seconds`.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        self._hear(seconds, "did not end its turn within {} s and was stopped")
        if self.phase is None and self._process.wait() != 0:
            raise self._failure()

    def result(self, kind: type[M]) -> M:
        """What the worker, which has ended, measured; `kind` is that of the result."""
        return kind.model_validate_json(self._spec.output.read_bytes())

    def _hear(self, seconds: float, late: str) -> None:
        """Wait for the next phase, or for the end of the worker."""
        deadline = time.monotonic() + seconds
        while not wait_for([self._replies], min(_POLL_SECONDS, max(0.0, deadline - time.monotonic()))):
            if self._process.poll() is not None:  # what it had started may still hold the pipe
                self.phase = None
                return
            if time.monotonic() >= deadline:
                self.stop()
                raise BenchmarkError(self._message(late.format(f"{seconds:g}")))
        self.phase = os.read(self._replies, _LONGEST_REPLY).decode().strip() or None

    def stop(self) -> None:
        """End the worker's process group if it still runs; harmless when it does not."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
            os.close(self._replies)

    def _failure(self) -> BenchmarkError:
        code = self._process.wait()
        if self._spec.output.exists():
            return BenchmarkError(
                self._message(f"failed: {RepetitionFailure.model_validate_json(self._spec.output.read_bytes()).error}")
            )
        if code < 0:
            hint = "; the machine may have run out of memory" if code == -signal.SIGKILL else ""
            return BenchmarkError(self._message(f"was killed by {signal.Signals(-code).name}{hint}"))
        return BenchmarkError(self._message(f"ended with exit code {code}"))

    def _message(self, what: str) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        tail = "\n".join(f"  {line}" for line in lines) or "  (empty)"
        return f"{self._name} of the benchmark of {self._spec.model_dir} {what}\nend of {self.log}:\n{tail}"


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


def worker_environment(threads: int) -> dict[str, str]:
    """The environment of a training with `threads` threads, without what only a training wants.

    A deployed tokenizer uses its threads, and does not trade cuBLAS workspace for determinism.
    """
    variables = training_environment(threads)
    del variables["CUBLAS_WORKSPACE_CONFIG"]
    parallel = "true" if threads > 1 else "false"
    return {**variables, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": parallel}

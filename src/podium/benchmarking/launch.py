"""Starting, following and stopping the process of one repetition."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from podium.benchmarking.spec import AnySpec, Message, RepetitionFailure
from podium.benchmarking.worker import ready_file
from podium.errors import BenchmarkError
from podium.training.execution.environment import training_environment

M = TypeVar("M", bound=Message)

_START_SECONDS = 300.0
_LOAD_SECONDS = 600.0
_AHEAD = 4
_POLL_SECONDS = 0.02
_TAIL_LINES = 15


class RepetitionProcess:
    """A worker process that has been started and waits for its turn; a context manager that ends it.

    It leads a process group of its own, which is killed as a whole, and it ends by itself when this process dies.
    """

    def __init__(self, spec: AnySpec, folder: Path, name: str, *, wait: bool = True):
        """Write the spec to `folder`/`name`.json and start a worker on it that logs to `folder`/`name`.log.

        Args:
            wait: until `measure` gives it its turn; otherwise it measures at once, its own start included.
        """
        self._spec, self._name = spec, name
        self._file, self.log = folder / f"{name}.json", folder / f"{name}.log"
        self._file.write_text(spec.model_dump_json())
        ready_file(self._file).unlink(missing_ok=True)
        spec.output.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            how = ["--wait"] if wait else ["--started", str(time.monotonic_ns())]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "podium.benchmarking.worker", "--spec", str(self._file), *how],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=worker_environment(spec.threads),
                start_new_session=True,
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
        deadline = time.monotonic() + seconds
        while not ready_file(self._file).exists():
            if self._process.poll() is not None:
                raise self._failure()
            if time.monotonic() > deadline:
                raise BenchmarkError(self._message(f"was not ready after {seconds:g} s"))
            time.sleep(_POLL_SECONDS)

    def measure(self, kind: type[M], seconds: float) -> M:
        """Give the worker its turn and return what it measured.

        Args:
            kind: of the result.

        Raises:
            BenchmarkError: it failed, was killed, or did not end within `seconds`.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise BenchmarkError(self._message(f"did not end within {seconds:g} s and was stopped")) from None
        if self._process.returncode != 0:
            raise self._failure()
        return kind.model_validate_json(self._spec.output.read_bytes())

    def stop(self) -> None:
        """End the worker's process group if it still runs; harmless when it does not."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()

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
    """Run every job in a process of its own, one at a time; a few are started side by side, since starting costs most.

    Args:
        kind: of the results.
        name: of the files in `folder`, with a number.
        seconds: about how long one takes, without loading; after three times that it is stopped.
        told: called with each result.

    Raises:
        BenchmarkError: one failed, was killed or took too long; the others are stopped.
    """
    results: list[M] = []
    for first in range(0, len(specs), _AHEAD):
        with ExitStack() as stack:
            started = [
                stack.enter_context(RepetitionProcess(spec, folder, f"{name}-{first + index}"))
                for index, spec in enumerate(specs[first : first + _AHEAD])
            ]
            for process in started:
                process.await_ready(_START_SECONDS)
            for process in started:
                results.append(process.measure(kind, _LOAD_SECONDS + 3 * seconds))
                told(len(results) - 1, results[-1])
    return results


def start_anew(specs: Sequence[AnySpec], kind: type[M], folder: Path, name: str) -> list[M]:
    """Run every job in a process of its own that is started only when the one before has ended.

    Raises:
        BenchmarkError: one failed, was killed or took too long.
    """
    results = []
    for number, spec in enumerate(specs):
        with RepetitionProcess(spec, folder, f"{name}-{number}", wait=False) as process:
            results.append(process.measure(kind, _START_SECONDS + _LOAD_SECONDS))
    return results


def worker_environment(threads: int) -> dict[str, str]:
    """The environment of a training with `threads` threads, without what only a training wants.

    A deployed tokenizer uses its threads, and does not trade cuBLAS workspace for determinism.
    """
    variables = training_environment(threads)
    del variables["CUBLAS_WORKSPACE_CONFIG"]
    parallel = "true" if threads > 1 else "false"
    return {**variables, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": parallel}

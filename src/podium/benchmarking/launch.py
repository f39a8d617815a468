"""Starting, following and stopping the process of one repetition."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from podium.benchmarking.spec import RepetitionFailure, RepetitionResult, RepetitionSpec
from podium.benchmarking.worker import ready_file
from podium.errors import BenchmarkError
from podium.training.execution.environment import training_environment

_POLL_SECONDS = 0.02
_TAIL_LINES = 15


class RepetitionProcess:
    """A worker process that has been started and waits for its turn; a context manager that ends it.

    It leads a process group of its own, which is killed as a whole, and it ends by itself when this process dies.
    """

    def __init__(self, spec: RepetitionSpec, folder: Path, name: str):
        """Write the spec to `folder`/`name`.json and start a worker on it that logs to `folder`/`name`.log."""
        self._spec, self._name = spec, name
        self._file, self.log = folder / f"{name}.json", folder / f"{name}.log"
        self._file.write_text(spec.model_dump_json())
        ready_file(self._file).unlink(missing_ok=True)
        spec.output.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "podium.benchmarking.worker", "--spec", str(self._file), "--wait"],
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

    def measure(self, seconds: float) -> RepetitionResult:
        """Give the worker its turn and return what it measured.

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
        return RepetitionResult.model_validate_json(self._spec.output.read_bytes())

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


def worker_environment(threads: int) -> dict[str, str]:
    """The environment of a training with `threads` threads, without what only a training wants.

    A deployed tokenizer uses its threads, and does not trade cuBLAS workspace for determinism.
    """
    variables = training_environment(threads)
    del variables["CUBLAS_WORKSPACE_CONFIG"]
    parallel = "true" if threads > 1 else "false"
    return {**variables, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": parallel}

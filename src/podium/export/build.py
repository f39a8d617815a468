"""Starts the process that makes and checks variants, and reads what came of it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from podium.benchmarking.launch import worker_environment
from podium.config.benchmark import VariantName
from podium.errors import BenchmarkError
from podium.execution.failures import excerpt
from podium.execution.launch import own_session
from podium.execution.signals import sigterm_unwinds
from podium.execution.slots import core_slots
from podium.export.spec import BuildSpec, Built


def build(spec: BuildSpec, log: Path) -> dict[VariantName, Built]:
    """Make and check the variants of one model in a process of its own, once as many cores are free as it has threads.

    The process is gone when this returns or raises.

    Args:
        log: its standard output and error are appended to it.

    Returns:
        How it ended for each variant. What is not `ok` has its reason, and is no error.

    Raises:
        BenchmarkError: the model itself could not be loaded, or the process was killed.
    """
    spec.output.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    file = spec.output / "spec.json"
    file.write_text(spec.model_dump_json())
    with core_slots(spec.eager.threads), sigterm_unwinds():
        code = _run([sys.executable, "-m", "podium.export.worker", "--spec", str(file)], log, spec.eager.threads)
    if code != 0:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = "; the machine may have run out of memory" if code == -signal.SIGKILL else ""
        raise BenchmarkError(
            f"variants ({', '.join(spec.variants)}) of {spec.eager.model_dir} must be built or give a reason, but the "
            f"process {how}{hint}; see {log}, or leave variants out: benchmark.variants=[eager]\n{excerpt(log)}"
        )
    return {
        name: Built.model_validate_json((spec.output / name / "result.json").read_bytes()) for name in spec.variants
    }


def _run(command: list[str], log: Path, threads: int) -> int:
    """Run a worker that ends when its standard input does; its exit code, negative for a signal."""
    with own_session(command, log, worker_environment(threads)) as process:
        return process.wait()

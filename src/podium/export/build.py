"""Starts the process that makes and checks variants, and reads what came of it."""

from __future__ import annotations

from pathlib import Path

from podium.config.benchmark import VariantName
from podium.errors import BenchmarkError, ComputationFailed
from podium.execution.environment import inference_environment
from podium.execution.failures import Purpose
from podium.execution.launch import run_program
from podium.export.spec import BuildSpec, Built


def build(spec: BuildSpec, log: Path) -> dict[VariantName, Built]:
    """Make and check the variants of one model in a process of its own, once as many cores are free as it has threads.

    The process is gone when this returns or raises.

    Args:
        log: its standard output and error are appended to it.

    Returns:
        How it ended for each variant. What is not `ok` has its reason, and is no error.

    Raises:
        ModelError: the model itself cannot be loaded.
        BenchmarkError: the process failed or was killed.
    """
    names = ", ".join(spec.variants)
    purpose = Purpose(
        f"building variants ({names}) of {spec.eager.model_dir}", "leave variants out: benchmark.variants=[eager]"
    )
    try:
        built = run_program(
            "podium.export.worker",
            spec,
            spec.output,
            log,
            purpose=purpose,
            environment=inference_environment(spec.eager.threads),
            cores=spec.eager.threads,
        )
    except ComputationFailed as error:
        raise BenchmarkError(str(error)) from error
    return {name: Built.model_validate(built[name]) for name in spec.variants}

"""Runs a training in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from podium.execution.environment import training_environment
from podium.execution.failures import Purpose
from podium.execution.launch import run_program
from podium.training.spec import TrainingResult, TrainingSpec

PROGRAM = "podium.training.train"
PRELOAD = "podium.training.preload"
"""The module that a worker pool loads for trainings (see `podium.execution.workers`)."""

TRAINING = Purpose(
    "the training",
    memory_advice="lower training.batch_size, training.max_length or hpo.parallel_trials",
    time_advice="raise training.timeout_seconds, or train less",
)
GRACE_SECONDS = 30.0
"""How much longer than its own time limit a training may take to notice it (imports, one long step)."""


def run_training(spec: TrainingSpec, log: Path, environment: Mapping[str, str] | None = None) -> TrainingResult:
    """Run `spec` as a process in its own session, once as many cores are free as it has threads.

    Its checkpoints stay in `spec.output`, so that the same call resumes it.

    Args:
        log: standard output and error of the training are appended to it.
        environment: variables added to those of `training_environment`.

    Raises:
        InputError: ConfigError, DataError or ModelError, as the training raised it.
        OutOfMemory: device or host memory ran out.
        NonFiniteLoss: the loss or a metric became NaN or infinite.
        ProcessKilled: a signal ended the process.
        TimeLimitExceeded: `spec.config.timeout_seconds` passed.
        ComputationFailed: it ended in any other way without a result.
    """
    result = run_program(
        PROGRAM,
        spec,
        spec.output,
        log,
        purpose=TRAINING,
        environment={**training_environment(spec.threads, spec.seed), **(environment or {})},
        cores=spec.threads,
        limit=spec.config.timeout_seconds,
        grace=GRACE_SECONDS,
    )
    return TrainingResult.model_validate(result)

"""Runs a training in a process of its own and tells exactly how it ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from podium.errors import TimeLimitExceeded
from podium.execution.environment import WATCH_PARENT, training_environment
from podium.execution.failures import death, excerpt, out_of_memory_kills, rebuild
from podium.execution.launch import own_session
from podium.execution.signals import sigterm_unwinds
from podium.execution.slots import core_slots
from podium.training.spec import RESULT_FILE, TrainingResult, TrainingSpec, write_json

GRACE_SECONDS = 30.0
"""How long past its own time limit a training may take to notice it (imports, one long step)."""


def command(spec_file: Path) -> list[str]:
    """The command line of the training described by a spec file."""
    return [sys.executable, "-m", "podium.training.train", "--spec", str(spec_file)]


def run_training(spec: TrainingSpec, log: Path, environment: Mapping[str, str] | None = None) -> TrainingResult:
    """Run `spec` as a process in its own session, once as many cores are free as it has threads.

    The process and its children are gone when this returns or raises, also on SIGTERM and when this process is killed.
    What it has checkpointed stays in `spec.output`, so that the same call resumes it.

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
    spec.output.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    spec_file, result_file = spec.output / "spec.json", spec.output / RESULT_FILE
    write_json(spec_file, spec.model_dump(mode="json"))
    result_file.unlink(missing_ok=True)
    variables = {**training_environment(spec.threads, spec.seed), WATCH_PARENT: "1", **(environment or {})}
    with core_slots(spec.threads), sigterm_unwinds():
        exit_code, kills = _run(command(spec_file), log, variables, spec.config.timeout_seconds)
    if not result_file.is_file():
        raise death(exit_code, log, kills)
    answer = json.loads(result_file.read_text())
    if "error" in answer:
        raise rebuild(answer["error"], log)
    return TrainingResult.model_validate(answer["result"])


def _run(arguments: list[str], log: Path, variables: dict[str, str], limit: float | None) -> tuple[int, int]:
    kills = out_of_memory_kills()
    with own_session(arguments, log, variables) as process:
        try:
            return process.wait(None if limit is None else limit + GRACE_SECONDS), kills
        except subprocess.TimeoutExpired:
            raise TimeLimitExceeded(
                f"the training must end within {limit} s, but was still running {GRACE_SECONDS:g} s later and was "
                f"killed; raise training.timeout_seconds, or train less\n{excerpt(log)}"
            ) from None

"""Starts the process that makes and checks the variants of a model, and reads its results."""

from __future__ import annotations

from pathlib import Path

from podium.config.benchmark import VariantName
from podium.errors import BenchmarkError, ComputationFailed
from podium.execution.environment import inference_environment
from podium.execution.failures import Purpose
from podium.execution.launch import run_program
from podium.inference.predictor import PredictorSpec
from podium.records import VariantCheck
from podium.records.base import Frozen


class BuildCall(Frozen):
    """Which variants of one model to make and check.

    Attributes:
        eager: the model as it was refitted.
        data: directory of the data artifact whose test rows are predicted.
        reference: directory of the eager model's predictions on those rows.
        metric: the quality that is compared.
        margin: the loss of quality from which on a variant fails.
        seed: seeds the bootstrap and the choice of the rows whose logits are compared.
        output: directory that gets a folder per variant, with `model` and `predictions`.
    """

    eager: PredictorSpec
    variants: tuple[VariantName, ...]
    data: Path
    reference: Path
    metric: str
    margin: float
    seed: int
    output: Path


class Built(Frozen):
    """The outcome for one variant; `code` and `reason` are empty where it is as good as the eager model."""

    code: str = ""
    reason: str = ""
    check: VariantCheck | None = None
    seconds: float = 0.0


def build(call: BuildCall, log: Path) -> dict[VariantName, Built]:
    """Make and check the variants of one model in a process of its own, once as many cores are free as it has threads.

    The process is gone when this returns or raises.

    Args:
        log: its standard output and error are appended to it.

    Returns:
        The outcome for each variant. A variant that cannot be made or fails its check is no error.

    Raises:
        ModelError: the model itself cannot be loaded.
        BenchmarkError: the process failed or was killed.
    """
    names = ", ".join(call.variants)
    purpose = Purpose(
        f"building variants ({names}) of {call.eager.model_dir}", "leave variants out: benchmark.variants=[eager]"
    )
    try:
        built = run_program(
            "podium.export.worker",
            call,
            call.output,
            log,
            purpose=purpose,
            environment=inference_environment(call.eager.threads),
            cores=call.eager.threads,
        )
    except ComputationFailed as error:
        raise BenchmarkError(str(error)) from error
    return {name: Built.model_validate(built[name]) for name in call.variants}

"""The environment variables of processes that compute."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

SLEEPING = {"OMP_WAIT_POLICY": "passive"}
"""Has threads that wait for each other sleep; torch reads it when it is imported. Threads that spin take the time of
those that they wait for, so that two threads beside other work are up to ten times as slow."""


def training_environment(threads: int, seed: int = 0) -> dict[str, str]:
    """This process's environment, changed for a training that gives the same result each time.

    Every numeric library gets `threads`, and `seed` is that of Python's hashing. Entrants are local directories by the
    time a training starts, so the hub is switched off.
    """
    return {
        **os.environ,
        **_variables(threads),
        **SLEEPING,
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": str(seed % (1 << 32)),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


def inference_environment(threads: int) -> dict[str, str]:
    """This process's environment, changed for a model that predicts as it would when deployed.

    Its tokenizer uses all threads, and cuBLAS does not trade workspace for determinism.
    """
    return {**os.environ, **inference_variables(threads)}


def inference_variables(threads: int) -> dict[str, str]:
    """What `inference_environment` sets, without the variables of this process."""
    return {
        **_variables(threads),
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
        "RAYON_NUM_THREADS": str(threads),
        "PYTHONHASHSEED": "0",
    }


def _variables(threads: int) -> dict[str, str]:
    return {
        **dict.fromkeys(_THREADS, str(threads)),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }


@contextmanager
def variables_set(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this process while the body runs."""
    before = {name: os.environ[name] for name in variables if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)

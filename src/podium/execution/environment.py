"""The environment of every process that trains."""

from __future__ import annotations

import os

WATCH_PARENT = "PODIUM_WATCH_PARENT"
"""Set for a training whose standard input its launcher holds open: when that closes, the training ends itself."""

MAIN_NAME = "PODIUM_MAIN_NAME"
MAIN_FILE = "PODIUM_MAIN_FILE"
"""Tell the fork server which main module its clients run (see `main_module`)."""

SERVER_PARENT = "PODIUM_SERVER_PARENT"
"""Tells the fork server which process it ends with (see `orphan`)."""

_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def training_environment(threads: int, seed: int = 0) -> dict[str, str]:
    """This process's environment, changed for a training.

    Backbones are local directories by the time a training starts, so the hub stays out of it.

    Args:
        threads: threads of every numeric library.
        seed: seeds Python's hashing.
    """
    return {
        **os.environ,
        **dict.fromkeys(_THREADS, str(threads)),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": str(seed % (1 << 32)),
        "PYTHONUNBUFFERED": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }

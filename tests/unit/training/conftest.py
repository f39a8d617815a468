from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """One torch thread; and the Trainer's garbage collections leave out what the imports made."""
    import gc

    import torch

    import podium.training.train  # noqa: F401

    torch.set_num_threads(1)
    gc.freeze()

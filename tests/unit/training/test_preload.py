from __future__ import annotations

import subprocess
import sys

from podium.training.launch import PRELOAD


def test_everything_that_a_training_needs_is_loaded() -> None:
    wanted = {"torch", "transformers.trainer", "podium.training.train", "sklearn.metrics", "seqeval.metrics"}
    code = f"import sys, {PRELOAD}; print({wanted} - set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "set()\n"

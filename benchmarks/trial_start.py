"""How soon a trial starts: the warm worker pool against a fresh Python process that imports what a trial needs.

    python benchmarks/trial_start.py

Both are timed from the request until the first line of the trial runs, with torch having computed something.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from podium.execution.environment import training_environment
from podium.execution.workers import WorkerPool
from podium.training.launch import PRELOAD

FRESH = (
    "import torch, transformers; from transformers import Trainer; torch.ones(8).sum(); import time; print(time.time())"
)
FORKED = "__import__('torch').ones(8).sum() and __import__('time').time()"


def fresh_process() -> float:
    asked = time.time()
    answer = subprocess.run(
        [sys.executable, "-c", FRESH], capture_output=True, text=True, check=True, env=training_environment(1)
    )
    return float(answer.stdout) - asked


def forked_worker(pool: WorkerPool, log: Path) -> float:
    asked = time.time()
    return float(pool.submit(eval, FORKED, log=log).wait(60)) - asked


def main(fresh: int = 5, forked: int = 20) -> None:
    with tempfile.TemporaryDirectory() as directory, WorkerPool(1, preload=PRELOAD) as pool:
        log = Path(directory) / "log.txt"
        warm_up = time.time()
        pool.submit(time.time, log=log).wait(120)
        warm_up = time.time() - warm_up
        slow = statistics.median(fresh_process() for _ in range(fresh))
        fast = statistics.median(forked_worker(pool, log) for _ in range(forked))
    print(f"fresh process: median {slow * 1000:.0f} ms of {fresh}")
    print(f"worker pool:   median {fast * 1000:.0f} ms of {forked} (once, to start the server: {warm_up:.1f} s)")
    print(f"ratio: {slow / fast:.1f}")


if __name__ == "__main__":
    main()

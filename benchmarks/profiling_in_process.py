"""What the profilers of the first stage cost: processor time of iterations with them over iterations without, in turns.

`python benchmarks/profiling_in_process.py MODEL...` takes model directories or packages, and a small random module
without one.
Processor time of one thread moves little with other work on the machine, which wall time does not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from podium.models.backbone import inspect_model
from podium.profiling import operators, workload
from podium.profiling.workload import SYNTHETIC, Workload, batches, load, timed

WORDS = ("the quick brown fox jumps over the lazy dog and then it runs back home again " * 12).split()
ROWS = [" ".join(WORDS[: 8 * number]) for number in (1, 3, 5, 9, 14)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="directories of models or packages")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--iterations", type=int, default=20, help="of each turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = Path(scratch) / "rows.jsonl"
        rows.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
        for model in options.models or [""]:
            measure(workload_of(model, rows), Path(scratch) / "trace.json", options.turns, options.iterations)


def workload_of(model: str, rows: Path) -> Workload:
    if not model:
        return Workload(kind=SYNTHETIC, rows=str(rows))
    facts = inspect_model(Path(model))
    path = str(Path(model).absolute())
    return Workload(model=path, name=Path(model).name, task=facts.kind, variant=facts.variants[0], rows=str(rows))


def measure(made: Workload, trace: Path, turns: int, count: int) -> None:
    subject, rows = load(made), batches(made)
    timed(subject, rows, count)

    def plain() -> float:
        return sum(timed(subject, rows, count).iterations)

    def by_python() -> float:
        started = time.process_time()
        operators.functions(subject, rows, count)
        return time.process_time() - started

    profilers: dict[str, Callable[[], float]] = {"cProfile": by_python}
    if made.variant.startswith("onnx"):
        profilers = {"onnxruntime": lambda: sum(operators.profiled_graph(made, rows, count, trace).iterations)}
    elif hasattr(getattr(subject, "predictor", subject), "model"):
        profilers = {"torch": lambda: sum(operators.profiled(subject, rows, count, trace, cuda=False).iterations)}
    for name, profiled in profilers.items():
        profiled()
        pairs = [(profiled(), plain()) for _ in range(turns)]
        ratios = sorted(one / other for one, other in pairs)
        each = statistics.median(other for _, other in pairs) / count * 1e3
        print(
            f"{made.name} ({made.variant}): {name} takes {statistics.median(ratios):.2f} times the processor time "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f} in {turns} turns); an iteration without it takes {each:.2f} ms"
        )


if __name__ == "__main__":
    # Ranges are timed by the processor time of this process.
    workload.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[assignment]
    main()

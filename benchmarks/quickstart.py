"""Wall time of the quick start, its share outside training, an unchanged re-run, one with new last steps, and `--help`.

    python benchmarks/quickstart.py [--preset quickstart]

Outside training is the time in which no fold and no refit was training, from the run's own events and records.
Processor time is that of the command and all its processes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

Interval = tuple[float, float]


@dataclass(frozen=True)
class Cost:
    """Seconds of a command, by the wall clock and of the processors."""

    wall: float
    processor: float


def podium(folder: Path, *arguments: str) -> Cost:
    started, before = time.monotonic(), os.times()
    subprocess.run([sys.executable, "-m", "podium", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(time.monotonic() - started, used)


def computed(directory: Path) -> list[str]:
    """The steps that a run computed, rather than reused."""
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    return [one["step"] for one in events if one["event"] == "step_finished" and one["how"] == "computed"]


def shown(costs: list[Cost]) -> str:
    wall, processor = [cost.wall for cost in costs], [cost.processor for cost in costs]
    return f"{min(wall):.2f} to {max(wall):.2f} s, {min(processor):.2f} to {max(processor):.2f} s of processor time"


def trainings(directory: Path) -> list[Interval]:
    """When a fold or a refit was training, in seconds of the wall clock."""
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    found = [(event["time"] - event["seconds"], event["time"]) for event in events if event["event"] == "fold_finished"]
    for event in events:
        if event["event"] == "step_finished" and event["step"].startswith("refit-"):
            record = json.loads((directory / "steps" / event["step"] / "record.json").read_text())
            found.append((event["time"] - record["details"]["training"]["seconds"], event["time"]))
    return found


def covered(intervals: list[Interval]) -> float:
    """Length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="quickstart")
    preset = parser.parse_args().preset
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        latest = folder / "podium-out" / "runs" / "latest"
        first = podium(folder, "run", "--preset", preset).wall
        training = covered(trainings(latest.resolve()))
        again = [podium(folder, "run", "--preset", preset) for _ in range(3)]
        changed = [podium(folder, "run", "--preset", preset, "selection.confidence=0.9")]
        late = computed(latest)
        helped = [podium(folder, "--help") for _ in range(5)]
    print(f"{preset}: {first:.1f} s, of which {first - training:.1f} s ({1 - training / first:.0%}) outside training")
    print(f"unchanged re-run: {shown(again)}; 1/{first / max(one.wall for one in again):.0f} of the first")
    print(f"with selection.confidence=0.9: {shown(changed)}; computed {', '.join(late)}")
    print(f"podium --help: {shown(helped)}")


if __name__ == "__main__":
    main()

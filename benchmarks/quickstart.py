"""Wall time of the quick start, its share outside training, and an unchanged re-run.

    python benchmarks/quickstart.py [--preset quickstart]

Outside training is the time in which no fold and no refit was training, from the run's own events and records.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

Interval = tuple[float, float]


def run(folder: Path, preset: str) -> float:
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "podium", "run", "--preset", preset], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    return time.monotonic() - started


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
        first = run(folder, preset)
        training = covered(trainings((folder / "podium-out" / "runs" / "latest").resolve()))
        again = [run(folder, preset) for _ in range(3)]
    print(f"{preset}: {first:.1f} s, of which {first - training:.1f} s ({1 - training / first:.0%}) outside training")
    print(f"unchanged re-run: {min(again):.1f} to {max(again):.1f} s, 1/{first / max(again):.0f} of the first")


if __name__ == "__main__":
    main()

"""A data set larger than memory must work: what `prepare` holds does not grow with the texts."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

FILE_MB = 30
BOUND_MB = 26
SCRIPT = """
import resource, sys
from pathlib import Path
from podium.config.schema import DatasetConfig
from podium.data.prepare import prepare

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

small, large, output = map(Path, sys.argv[1:])
prepare(DatasetConfig(name="small", path=str(small), task="text-classification"), 1, output / "small")
before = peak()
found = prepare(DatasetConfig(name="large", path=str(large), task="text-classification"), 1, output / "large")
print(found.read_rows, peak() - before)
"""


def write(path: Path, megabytes: float) -> int:
    draw = random.Random(1)
    words = [f"{draw.getrandbits(32):x}" for _ in range(2000)]
    rows = 0
    with path.open("w") as stream:
        while stream.tell() < megabytes * 1e6:
            text = " ".join(draw.choices(words, k=200))
            stream.write(json.dumps({"text": text, "label": "abcd"[rows % 4]}) + "\n")
            rows += 1
    return rows


def test_peak_memory_does_not_follow_the_size_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "small.jsonl", 6)
    rows = write(tmp_path / "large.jsonl", FILE_MB)
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        str(tmp_path / "small.jsonl"),
        str(tmp_path / "large.jsonl"),
        str(tmp_path),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    read, growth = finished.stdout.split()
    assert int(read) == rows
    assert float(growth) < BOUND_MB, f"peak memory grew by {growth} MB for a file of {FILE_MB} MB"

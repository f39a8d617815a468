"""Run every benchmark of Podium itself, one after another: `make bench`."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

for command in (
    ["quickstart.py"],
    ["trial_start.py"],
    ["hpo_engine.py", "--trials", "100", "1000"],
    ["training_throughput.py", "bbc"],
    ["training_throughput.py", "reviews", "--rows", "1000", "--max-length", "128"],
):
    print(f"== {' '.join(command)}", flush=True)
    subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], check=True)

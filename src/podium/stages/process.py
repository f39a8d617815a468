"""The process of one step on this machine: `python -m podium.stages.process RUN_DIRECTORY STEP [ENTRANT]`.

It reads the run and the results that the step needs from the run directory, and leaves the step's own result there.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from podium.execution.ending import end_with_parent
from podium.records import RunRecord
from podium.stages.step import execute
from podium.stages.steps import input_titles, inputs_of, nodes, step_named

RUN_FILE = "record.json"
"""The run's own record, in the run directory."""


def record_file(directory: Path, title: str) -> Path:
    """Where a step of a run leaves its result."""
    return directory / "steps" / title / "record.json"


def run_step(directory: Path, name: str, entrant: str = "") -> None:
    """Do a step of the run that `directory` belongs to."""
    run = RunRecord.read(directory / RUN_FILE)
    steps = {other.title(one): other for other, one in nodes(run.config.entrants)}
    needed = input_titles(step_named(name), entrant, run.config.entrants)
    records = {title: steps[title].read(record_file(directory, title)) for title in needed}
    execute(step_named(name), inputs_of(step_named(name), entrant, run, records))


if __name__ == "__main__":
    end_with_parent()
    try:
        run_step(Path(sys.argv[1]), *sys.argv[2:])
    except Exception:
        # The status file has the error for the runner; the log has the traceback for people.
        traceback.print_exc()
        sys.exit(1)

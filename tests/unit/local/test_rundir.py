import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from podium.errors import StoreError
from podium.local.rundir import RunDirectory


def test_a_run_directory_says_what_was_asked_and_how_it_ended(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "out", "podium run --preset smoke")
    step = directory.path / "steps" / "prepare"
    step.mkdir()
    (step / "status.json").write_text(json.dumps({"status": "done", "started_at": 1.0, "seconds": 2.5}))
    directory.finish("done")
    run = json.loads((directory.path / "run.json").read_text())
    assert run["command"] == "podium run --preset smoke" and run["status"] == "done"
    assert run["step_seconds"] == {"prepare": 2.5}
    assert (tmp_path / "out" / "runs" / "latest").resolve() == directory.path


def test_runs_that_begin_at_once_do_not_trip_over_each_other(tmp_path: Path) -> None:
    def begin(number: int) -> RunDirectory:
        return RunDirectory.create(tmp_path, str(number))

    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(begin, range(200)))
    assert (tmp_path / "runs" / "latest").resolve() in {directory.path for directory in made}


def test_latest_moves_to_the_newest_run(tmp_path: Path) -> None:
    first = RunDirectory.create(tmp_path, "a")
    second = RunDirectory.create(tmp_path, "b")
    assert first.path != second.path
    assert (tmp_path / "runs" / "latest").resolve() == second.path


def test_steps_come_in_the_order_they_started(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path, "a")
    for name, started in (("select", 3.0), ("prepare", 1.0), ("hpo-x", 2.0)):
        (directory.path / "steps" / name).mkdir()
        status = {"status": "done", "started_at": started, "seconds": 1.0}
        (directory.path / "steps" / name / "status.json").write_text(json.dumps(status))
    assert [step.step for step in directory.steps()] == ["prepare", "hpo-x", "select"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file.*set output=DIR"):
        RunDirectory.create(tmp_path / "file", "a")

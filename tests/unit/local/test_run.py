"""How the graph is walked, and what a run leaves in its directory: what is stored starts no process, and a failure
starts nothing more.
"""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from podium.errors import InputError, ProcessKilled, StepFailed, StoreError
from podium.events import ENV_STEP
from podium.keys import Key
from podium.local import run as module
from podium.local.run import LocalRun, RunDirectory, how_to_open
from podium.records import CurveRecord, FailedEntrant, Record
from podium.stages.process import record_file
from podium.stages.step import Step, StepInputs
from podium.stages.steps import nodes, step_named
from tests.unit.report.samples import failed_entrant, sample

INPUTS = sample()
ENTRANTS = list(INPUTS.run.config.entrants)
TITLES = [step.title(entrant) for step, entrant in nodes(ENTRANTS)]
REPORT = "report"


class Walk(LocalRun):
    """A run whose steps have the records of the sample; those named `missing` would be computed."""

    def __init__(self, place: Path, missing: tuple[str, ...] = (), fails: str = "", lost: tuple[str, ...] = ()) -> None:
        config = INPUTS.run.config.model_copy(update={"store": str(place / "store"), "output": str(place)})
        super().__init__(INPUTS.run.model_copy(update={"config": config}), RunDirectory(place, "podium run"))
        self.missing, self.fails, self.lost = missing, fails, lost
        self.started: list[str] = []

    def _stored(self, step: Step, inputs: StepInputs) -> Record | None:
        title = step.title(inputs.entrant)
        return None if title in self.missing else INPUTS.steps.get(title, INPUTS.steps["decide"])

    def _computed(self, step: Step, inputs: StepInputs) -> Record:
        title = step.title(inputs.entrant)
        self.started.append(title)
        if title == self.fails:
            raise StepFailed(f"step {title}: no")
        if title in self.lost:
            return failed_entrant(inputs.entrant, step=step.name)
        return INPUTS.steps.get(title, INPUTS.steps["decide"])


@pytest.fixture
def run(tmp_path: Path) -> LocalRun:
    config = INPUTS.run.config.model_copy(update={"store": str(tmp_path / "store"), "output": str(tmp_path)})
    return LocalRun(INPUTS.run.model_copy(update={"config": config}), RunDirectory(tmp_path, "podium run"))


def test_a_run_whose_results_are_stored_starts_nothing(tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    walk.go()
    assert walk.started == [] and set(walk.records) == set(TITLES)


def test_only_what_is_missing_is_started(tmp_path: Path) -> None:
    walk = Walk(tmp_path, missing=("decide", REPORT))
    walk.go()
    assert walk.started == ["decide", REPORT]


def test_after_a_failure_nothing_more_is_started(tmp_path: Path) -> None:
    failed = f"hpo-{ENTRANTS[0]}"
    walk = Walk(tmp_path, missing=(failed, "select", REPORT), fails=failed)
    with pytest.raises(StepFailed, match=failed):
        walk.go()
    assert walk.started == [failed] and "select" not in walk.records


def test_a_run_goes_on_without_an_entrant_that_failed(tmp_path: Path) -> None:
    first, second = ENTRANTS
    failed, skipped = f"hpo-{first}", f"refit-{first}"
    walk = Walk(tmp_path, missing=(failed, skipped, f"refit-{second}", REPORT), lost=(failed,))
    walk.go()
    assert set(walk.started) == {failed, f"refit-{second}", REPORT} and set(walk.records) == set(TITLES)
    assert (
        walk.records[skipped] == walk.records[failed] == FailedEntrant.read(record_file(walk._directory.path, skipped))
    )
    status = walk._directory.steps()[skipped]
    assert (status["status"], status["reason"]) == ("skipped", f"step {failed} failed")
    assert f"skipped: step {failed} failed" in walk._directory.log_of(skipped).read_text()


def test_a_run_whose_entrants_all_failed_says_why_each_did(tmp_path: Path) -> None:
    first, second = f"hpo-{ENTRANTS[0]}", f"refit-{ENTRANTS[1]}"
    walk = Walk(tmp_path, missing=(first, second, "select"), lost=(first, second))
    with pytest.raises(StepFailed, match=rf"(?s)step {first}: a training.*step {second}: a training"):
        walk.go()
    assert "select" not in walk.started


@pytest.mark.parametrize(("ended", "title", "goes_on"), [
    (-signal.SIGKILL, f"hpo-{ENTRANTS[0]}", True),
    (-signal.SIGSEGV, f"hpo-{ENTRANTS[0]}", True),
    (-signal.SIGTERM, f"hpo-{ENTRANTS[0]}", False),
    (-signal.SIGKILL, "select", False),
])  # fmt: skip
def test_a_killed_process_takes_its_entrant_out(
    run: LocalRun, monkeypatch: pytest.MonkeyPatch, ended: int, title: str, goes_on: bool
) -> None:
    directory, step = run._directory, step_named(title.partition("-")[0])
    inputs = StepInputs(run.run, (), ENTRANTS[0] if step.per_entrant else "")
    directory.note(title, INPUTS.data, "started", status="running")
    monkeypatch.setattr(module, "Process", lambda *_, **__: nullcontext(SimpleNamespace(wait=lambda: ended)))
    run._opened = True
    if not goes_on:
        with pytest.raises(ProcessKilled, match=rf"step {title}: its process was killed"):
            run._computed(step, inputs)
        return
    found = run._computed(step, inputs)
    assert found == step.read(record_file(directory.path, title))
    assert isinstance(found, FailedEntrant) and found.brief.startswith("its process was killed")
    assert found.log == str(directory.log_of(title))
    assert directory.steps()[title]["status"] == "failed"


def inputs_step(key: Key) -> Step:
    return Step("select", (), type(INPUTS.selection), lambda _: key, "nowhere:compute")


def test_a_reused_result_is_in_the_run_directory_with_its_status_and_events(
    run: LocalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = run._directory
    for name, value in directory.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(ENV_STEP, raising=False)
    key = Key.of("selection", made="so")
    stored = INPUTS.selection.model_copy(update={"key": key.digest, "artifacts": {}})
    run._store.put(key, stored)
    assert run._stored(inputs_step(key), StepInputs(run.run)) == stored
    assert type(stored).read(record_file(directory.path, "select")) == stored
    assert {step: fields["status"] for step, fields in directory.steps().items()} == {"select": "done"}
    assert f"reused selection/{key.digest}" in directory.log_of("select").read_text()
    events = [json.loads(line) for line in directory.events.read_text().splitlines()]
    assert [(one["event"], one["step"]) for one in events] == [("step_started", "select"), ("step_finished", "select")]
    assert events[-1]["how"] == "reused"


def test_a_step_with_nothing_to_do_is_skipped_without_a_process(run: LocalRun, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = run._directory
    for name, value in directory.environment().items():
        monkeypatch.setenv(name, value)
    found = run._stored(step_named("curve"), StepInputs(run.run, (INPUTS.data, *INPUTS.studies, INPUTS.decision)))
    assert isinstance(found, CurveRecord) and found.status == "skipped"
    assert CurveRecord.read(record_file(directory.path, "curve")) == found
    event = json.loads(directory.events.read_text().splitlines()[-1])
    assert (event["how"], event["reason"]) == ("skipped", "learning_curve.fractions is empty")


def test_an_input_that_is_unusable_is_left_to_the_step_s_process(run: LocalRun) -> None:
    def refuse(_: StepInputs) -> Key:
        raise InputError("no such column")

    step = Step("select", (), type(INPUTS.selection), refuse, "nowhere:compute")
    assert run._stored(step, StepInputs(run.run)) is None


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        ({"status": "failed", "error": {"exit_code": 2, "message": "bad row"}}, InputError, "step select: bad row"),
        ({"status": "failed", "error": {"exit_code": 1, "message": "broke"}}, StepFailed, "step select: broke"),
        ({"status": "running"}, ProcessKilled, "its process was killed"),
        (None, StepFailed, "could not start\n  Traceback"),
    ],
)
def test_a_failure_is_the_step_s_own(run: LocalRun, status: dict | None, kind: type, message: str) -> None:
    log = run._directory.log_of("select")
    log.parent.mkdir(parents=True)
    log.write_text("Traceback\n")
    if status:
        log.with_name("status.json").write_text(json.dumps({"started_at": 1.0, **status}))
    found = run._failure("select")
    assert type(found) is kind and message in str(found) and str(log) in str(found)


def test_a_run_directory_says_what_was_asked_and_how_it_ended(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "out", "podium run --preset smoke")
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
        return RunDirectory(tmp_path, str(number))

    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(begin, range(200)))
    assert (tmp_path / "runs" / "latest").resolve() in {directory.path for directory in made}


def test_latest_moves_to_the_newest_run(tmp_path: Path) -> None:
    first = RunDirectory(tmp_path, "a")
    second = RunDirectory(tmp_path, "b")
    assert first.path != second.path
    assert (tmp_path / "runs" / "latest").resolve() == second.path


def test_steps_come_in_the_order_they_started(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, "a")
    for name, started in (("select", 3.0), ("prepare", 1.0), ("hpo-x", 2.0)):
        (directory.path / "steps" / name).mkdir()
        status = {"status": "done", "started_at": started, "seconds": 1.0}
        (directory.path / "steps" / name / "status.json").write_text(json.dumps(status))
    assert list(directory.steps()) == ["prepare", "hpo-x", "select"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file.*set output=DIR"):
        RunDirectory(tmp_path / "file", "a")


def test_a_server_is_opened_in_a_browser_and_a_database_by_mlflow() -> None:
    assert how_to_open("http://mlflow:5000") == "http://mlflow:5000  (open it in a browser)"
    assert "mlflow ui --backend-store-uri sqlite:///a.db" in how_to_open("sqlite:///a.db")

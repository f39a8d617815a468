"""An entrant that fails is left out: its steps hand on why, nothing of it is stored, and the others go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podium import errors
from podium.errors import InputError, PodiumError, StepFailed
from podium.keys import Key
from podium.records import FailedEntrant, Record, StudyRecord
from podium.stages import step as module
from podium.stages.hpo import is_complete
from podium.stages.keys import report_key, selection_key
from podium.stages.step import ENV_RUN_DIR, Step, StepInputs, all_failed, execute, open_store
from podium.stages.steps import inputs_of, perform, result_tags, step_named
from podium.tracking import Tracker
from tests.unit.report.samples import failed_entrant, sample

INPUTS = sample()
KEY = Key.of("study", made="so")
HPO = Step("hpo", ("prepare",), StudyRecord, lambda _: KEY, "hpo:compute", True, is_complete)


class Recorder(Tracker):
    """Remembers how the runs of steps ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def close(self, run_id: str, status: Any) -> None:
        self.ended.append(status)


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(module, "tracker_for", lambda _: recorder)
    return recorder


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StepInputs:
    monkeypatch.setenv("PODIUM_STEP", "")
    config = INPUTS.run.config.model_copy(update={"store": str(tmp_path / "store")})
    return StepInputs(INPUTS.run.model_copy(update={"config": config}), (INPUTS.data,), "minilm")


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(_: Any) -> Record:
        raise error

    monkeypatch.setattr("podium.stages.hpo.compute", fail)


@pytest.mark.parametrize(
    "kind", ["OutOfMemory", "NonFiniteLoss", "ProcessKilled", "TimeLimitExceeded", "StudyFailed", "ModelError"]
)
def test_an_error_of_its_own_is_handed_on_and_not_stored(
    given: StepInputs, tracker: Recorder, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    failing(monkeypatch, getattr(errors, kind)("no room; lower it\nlog: there"))
    monkeypatch.setenv("KFP_POD_NAME", "hpo-x1")
    found = execute(HPO, given)
    assert isinstance(found, FailedEntrant)
    assert (found.entrant, found.step, found.reason, found.title) == ("minilm", "hpo", kind, "hpo-minilm")
    assert (found.brief, found.log) == ("no room; lower it", "pod hpo-x1") and "log: there" in found.error
    assert tracker.ended == ["FAILED"]
    assert open_store(given.config).find("study/") == []


@pytest.mark.parametrize("kind", ["StoreError", "TrackingError", "ClusterError", "ConfigError", "DataError"])
def test_any_other_error_ends_the_run(
    given: StepInputs, tracker: Recorder, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    failing(monkeypatch, getattr(errors, kind)("no"))
    with pytest.raises(getattr(errors, kind)):
        execute(HPO, given)


@pytest.mark.parametrize("error", [SystemExit(130), KeyboardInterrupt(), OSError("no space left on device")])
def test_so_does_being_stopped_or_a_defect(
    given: StepInputs, tracker: Recorder, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    failing(monkeypatch, error)
    with pytest.raises(type(error)):
        execute(HPO, given)


def test_a_step_that_runs_once_has_no_entrant_to_leave_out(
    given: StepInputs, tracker: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, errors.StudyFailed("no"))
    with pytest.raises(errors.StudyFailed):
        execute(Step("select", (), StudyRecord, lambda _: KEY, "hpo:compute"), StepInputs(given.run))


def test_a_run_directory_says_that_the_step_failed_and_has_what_it_hands_on(
    given: StepInputs, tracker: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing(monkeypatch, errors.OutOfMemory("no room"))
    monkeypatch.setenv(ENV_RUN_DIR, str(tmp_path))
    monkeypatch.setattr(module, "redirect_output", lambda log: log.write_text(""))
    found = execute(HPO, given)
    folder = tmp_path / "steps" / "hpo-minilm"
    assert json.loads((folder / "status.json").read_text())["status"] == "failed"
    assert HPO.read(folder / "record.json") == found
    assert isinstance(found, FailedEntrant) and found.log == str(folder / "log.txt")


def test_a_later_step_of_the_entrant_hands_on_the_same(given: StepInputs) -> None:
    failed = failed_entrant("minilm")
    assert execute(step_named("refit"), StepInputs(given.run, (INPUTS.data, failed), "minilm")) is failed


def test_a_pod_reads_what_was_handed_on(tmp_path: Path) -> None:
    failed, run, data, study = failed_entrant("minilm"), tmp_path / "run", tmp_path / "data", tmp_path / "study"
    for path, record in ((run, INPUTS.run), (data, INPUTS.data), (study, failed)):
        record.save(path)
    assert perform("refit", str(run), str(data), str(study), entrant="minilm") == failed


def without(entrant: str) -> dict[str, Record]:
    """The results of a run in which this entrant failed."""
    failed = failed_entrant(entrant)
    return {**INPUTS.steps, f"hpo-{entrant}": failed, f"refit-{entrant}": failed}


def test_a_selection_depends_on_the_candidates_alone() -> None:
    select = step_named("select")

    def key(results: dict[str, Record]) -> str:
        return selection_key(inputs_of(select, "", INPUTS.run, results)).digest

    others = {**without("bert-tiny"), "refit-bert-tiny": failed_entrant("bert-tiny", step="refit", error="else")}
    assert key(without("bert-tiny")) == key(others) != key(dict(INPUTS.steps))


def test_a_report_depends_on_what_failed() -> None:
    report = step_named("report")

    def key(results: dict[str, Record]) -> str:
        return report_key(inputs_of(report, "", INPUTS.run, results)).digest

    others = {**without("bert-tiny"), "hpo-bert-tiny": failed_entrant("bert-tiny", error="else")}
    others["refit-bert-tiny"] = others["hpo-bert-tiny"]
    assert len({key(without("bert-tiny")), key(others), key(dict(INPUTS.steps))}) == 3


def test_the_parent_run_is_tagged_with_why_it_failed() -> None:
    tags = result_tags(without("bert-tiny").values())
    assert tags["podium.failed.bert-tiny"] == failed_entrant("bert-tiny").error
    assert "podium.result.hpo-bert-tiny" not in tags and "podium.result.hpo-minilm" in tags


@pytest.mark.parametrize(
    ("reasons", "kind"),
    [
        (("ModelError",), InputError),
        (("ModelError", "ModelError"), InputError),
        (("OutOfMemory",), StepFailed),
        (("ModelError", "OutOfMemory"), StepFailed),
    ],
)
def test_where_all_fail_each_says_why(reasons: tuple[str, ...], kind: type[PodiumError]) -> None:
    found = all_failed([failed_entrant(f"m{number}", reason=reason) for number, reason in enumerate(reasons)])
    assert type(found) is kind
    for number in range(len(reasons)):
        assert f"step hpo-m{number}: a training must fit into memory" in str(found)
    assert str(found).count("log: /runs/1/steps/hpo-x/log.txt") == len(reasons)

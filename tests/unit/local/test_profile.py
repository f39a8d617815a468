"""`podium profile`: what is profiled, reused and found again."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from podium.config.profile import ProfileConfig
from podium.data.staging import Texts
from podium.errors import InputError
from podium.local import profile as module
from podium.local.models import LocatedModel
from podium.local.profile import ProfileCommand, dry_run, find_profile, lines, plan_profile, run_profile
from podium.models.backbone import ModelFacts
from podium.profiling.commands import private_directory
from podium.profiling.session import Subject
from podium.records import ProfileRecord
from tests.unit.profiling.samples import profile_record

ROWS = ("one row", "another row that is longer", "a third")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Subject]:
    """Models are a directory with a linear model's variants, and profiles are made at once; those that were made."""
    found: list[Subject] = []

    def located(text: str, directory: Path, store: str, uri: str, downloads: Path) -> LocatedModel:
        facts = ModelFacts("text-classification", ("onnx", "onnx-int8"))
        return LocatedModel("mine", text, directory / text, "d", "onnx", facts)

    def profiled(
        subject: Subject, config: ProfileConfig, hardware: Mapping[str, str], directory: Path, stamp: dict[str, str]
    ) -> ProfileRecord:
        found.append(subject)
        record = profile_record(**stamp)
        record.save(private_directory(directory) / "record.json")
        (private_directory(directory / "operators") / "cmd.txt").write_text("true\n")
        return record

    monkeypatch.setattr(module, "locate", located)
    monkeypatch.setattr(module, "profile", profiled)
    monkeypatch.setattr(module, "texts_of", lambda *_: Texts(list(ROWS), set()))
    return found


def command(tmp_path: Path, **fields: Any) -> ProfileCommand:
    given = {"model": "a/b", "store": str(tmp_path / "out" / "store"), "settings": ("device=cpu", "threads=1")}
    return ProfileCommand(**{**given, **fields})


def test_an_unchanged_profile_is_returned_with_all_its_files(tmp_path: Path, made: list[Subject]) -> None:
    first, reused = run_profile(plan_profile(command(tmp_path), tmp_path))
    assert not reused and len(made) == 1
    planned = plan_profile(command(tmp_path), tmp_path)
    shutil.rmtree(planned.directory)
    again, reused = run_profile(planned)
    assert reused and again == first and len(made) == 1
    assert (planned.directory / "operators" / "cmd.txt").read_text() == "true\n"
    assert (planned.directory / "profile.html").is_file()
    assert stat.S_IMODE((planned.directory / "operators").stat().st_mode) == 0o700
    assert "reused" in lines(planned, again, reused)[0]
    run_profile(plan_profile(command(tmp_path, force=True), tmp_path))
    assert len(made) == 2


@pytest.mark.parametrize(
    "changed",
    [{"variant": "onnx-int8"}, {"settings": ("device=cpu", "threads=1", "batch_size=2")}, {"model": "synthetic"}],
)
def test_another_variant_workload_or_model_is_another_profile(
    changed: dict[str, Any], tmp_path: Path, made: list[Subject]
) -> None:
    keys = {plan_profile(command(tmp_path, **one), tmp_path).key.digest for one in ({}, changed)}
    assert len(keys) == 2


def test_code_that_a_model_may_run_makes_another_profile(
    tmp_path: Path, made: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    located = module.locate

    def key() -> str:
        return plan_profile(command(tmp_path), tmp_path).key.digest

    before = key()
    monkeypatch.setattr(module, "locate", lambda *given: replace(located(*given), trust_remote_code=True))
    assert key() != before


def test_the_model_is_profiled_in_its_deployed_variant_on_rows_of_the_data(tmp_path: Path, made: list[Subject]) -> None:
    run_profile(plan_profile(command(tmp_path), tmp_path))
    (subject,) = made
    assert (subject.path, subject.variant, subject.task) == (str(tmp_path / "a/b"), "onnx", "text-classification")
    assert sorted(subject.rows) == sorted(ROWS)


def test_a_dry_run_shows_absolute_paths_and_runs_nothing(tmp_path: Path, made: list[Subject]) -> None:
    settings = ("device=cpu", "threads=1", "tools=[operators,nsys]")
    found = dry_run(plan_profile(command(tmp_path, settings=settings), tmp_path))
    assert not made and found["workload"]["model"] == str(tmp_path / "a/b")
    assert list(found["commands"]) == ["workload", "operators", "nsys"]
    assert json.dumps(found)


def test_a_variant_that_the_model_does_not_have_is_refused(tmp_path: Path, made: list[Subject]) -> None:
    with pytest.raises(InputError, match="as onnx or onnx-int8, but not as bf16"):
        plan_profile(command(tmp_path, variant="bf16"), tmp_path)


def test_a_run_of_infer_gives_its_model_and_its_rows(
    tmp_path: Path, made: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out" / "inference" / "mine"
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").touch()
    answered = SimpleNamespace(run=SimpleNamespace(model="the/model", content="text"), columns={"text": ["asked"]})
    monkeypatch.setattr(module, "load_run", lambda *_: answered)
    run_profile(plan_profile(command(tmp_path, model="mine"), tmp_path))
    assert (made[0].path, list(made[0].rows)) == (str(tmp_path / "the/model"), ["asked"])


def test_a_profile_is_found_by_directory_name_and_key(tmp_path: Path, made: list[Subject]) -> None:
    planned = plan_profile(command(tmp_path), tmp_path)
    record, _ = run_profile(planned)
    store = str(tmp_path / "out" / "store")
    for text in (str(planned.directory), planned.directory.name, record.key[:12], f"profile/{record.key[:8]}"):
        assert find_profile(text, store, tmp_path).key == record.key
    with pytest.raises(InputError, match="a profile is its directory"):
        find_profile("nothing", store, tmp_path)


def test_what_could_not_be_had_is_among_the_last_lines(tmp_path: Path, made: list[Subject]) -> None:
    planned = plan_profile(command(tmp_path), tmp_path)
    said = lines(planned, *run_profile(planned))
    assert "nsys skipped: nsys is not installed; mend it: apt-get install nsys" in said[-2]
    assert said[-1].endswith("profile.html")

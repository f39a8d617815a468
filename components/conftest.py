"""What component tests share: run a component's body on the records of the real smoke run."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from podium.records import RunRecord


@pytest.fixture
def in_smoke_folder(smoke_run: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The smoke run, with its folder as the current one and this process's signal handler kept."""
    monkeypatch.chdir(smoke_run.folder)
    for name in ("PODIUM_RUN_DIR", "PODIUM_EVENTS", "PODIUM_STEP"):
        monkeypatch.delenv(name, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield smoke_run
    signal.signal(signal.SIGTERM, before)
    os.environ.pop("PODIUM_STEP", None)


@pytest.fixture
def run_artifact(in_smoke_folder: Any, tmp_path: Path) -> dsl.Artifact:
    """The record of the smoke run."""
    found = in_smoke_folder.directory / "record.json"
    assert RunRecord.read(found).run_id == in_smoke_folder.directory.name
    return dsl.Artifact(name="run", uri=str(found))


@pytest.fixture
def handed_over(in_smoke_folder: Any) -> Callable[[str], dsl.Artifact]:
    """The record that a step of the smoke run left, as the artifact that a component reads."""
    return lambda step: dsl.Artifact(name=step, uri=str(in_smoke_folder.record(step)))


@pytest.fixture
def output(tmp_path: Path) -> Callable[[str], dsl.Artifact]:
    """A new output artifact."""
    return lambda name: dsl.Artifact(name=name, uri=str(tmp_path / name))

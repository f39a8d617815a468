"""A store that fills up or is damaged under a study: it stops with what to do, and goes on afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import PATIENCE_SECONDS, small_disk

from .harness import STUDY, Disturbed, Marked
from .study import Settings
from .test_kills import outcome

pytestmark = pytest.mark.integration


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A study's store on a disk of its own that holds a few trials."""
    with small_disk(tmp_path / "disturbed" / "store", "48k") as store:
        yield store


def begin(directory: Path) -> Marked:
    return Marked([sys.executable, "-c", STUDY, str(directory)], directory)


def test_a_full_disk_stops_the_study_and_loses_nothing(disk: Path, tmp_path: Path) -> None:
    settings = Settings("random", trials=12, parallel=2)
    study = Disturbed(tmp_path / "disturbed", settings, random.Random(1))
    engine = begin(study.directory)
    assert engine.process.wait(PATIENCE_SECONDS) == 1
    engine.assert_gone()
    said = (study.directory / "output.txt").read_text()
    assert "StoreError: " in said and "full" in said and "run the same command again" in said
    study.look()
    kept = study.ledger.finished()
    assert 0 < len(kept) < 12 and {trial.status for trial in kept} == {"succeeded"}
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    trials = study.run([])
    undisturbed = Disturbed(tmp_path / "undisturbed", settings, random.Random(1)).run([])
    assert [outcome(trial) for trial in trials] == [outcome(trial) for trial in undisturbed]


def test_truncated_documents_are_computed_again_and_no_others(tmp_path: Path) -> None:
    chance, settings = random.Random(3), Settings("random", trials=12, parallel=2)
    study = Disturbed(tmp_path / "disturbed", settings, chance)
    first = begin(study.directory)
    while len(study.journal.count("told")) < 8:
        assert first.process.poll() is None
    os.killpg(first.process.pid, signal.SIGKILL)
    first.process.wait()
    first.assert_gone()
    documents = sorted((study.directory / "store" / "documents").rglob("trial-*.json"))
    damaged = chance.sample(documents, 4)
    for document in damaged:
        os.truncate(document, chance.randrange(document.stat().st_size))
    study.look()
    begun = study.journal.count("begin")
    again = study.run([])
    undisturbed = Disturbed(tmp_path / "undisturbed", settings, chance).run([])
    assert [outcome(trial) for trial in again] == [outcome(trial) for trial in undisturbed]
    repeated = {key[0] for key, count in study.journal.count("begin").items() if count > begun[key]}
    assert {int(document.name.split("-")[1].split(".")[0]) for document in damaged} <= repeated
    assert "is damaged" in (study.directory / "output.txt").read_text()

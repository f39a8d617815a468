"""Kills parts of a running study at seeded moments, and looks after each kill at what is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

import psutil

from podium.hpo.engines import MAX_KILLS
from podium.records import TrialRecord
from tests.support import PATIENCE_SECONDS

from .study import Journal, Settings, ledger_of

ROOT = Path(__file__).parents[2]
MARK = "CHAOS_MARK"
STUDY = "import sys; from pathlib import Path; from tests.chaos.study import main; main(Path(sys.argv[1]))"
TARGETS = ("engine", "group", "worker", "server")
"""What is killed: the engine alone, its whole process group, one worker, or the fork server."""


class Marked:
    """A command whose processes, however they descend from it, are found again by a mark in their environment."""

    def __init__(self, arguments: list[str], directory: Path, cwd: Path = ROOT) -> None:
        self._mark = uuid4().hex
        with (directory / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(
                arguments,
                cwd=cwd,
                env={**os.environ, MARK: self._mark},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def living(self) -> list[psutil.Process]:
        """Its processes that live, itself included."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def assert_gone(self) -> None:
        """Wait until nothing of it is left."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while left := self.living():
            assert time.monotonic() < deadline, f"orphans: {[(one.pid, one.cmdline()) for one in left]}"
            time.sleep(0.02)


@dataclass
class Disturbed:
    """One study that is killed again and again.

    Attributes:
        kills: how often what was killed.
        inside_writes: how many of them hit a process while a document lay half written.
    """

    directory: Path
    settings: Settings
    chance: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    inside_writes: int = 0

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "settings.json").write_text(json.dumps(asdict(self.settings)))
        self.journal = Journal(self.directory / "journal.txt")
        self.ledger = ledger_of(self.directory)
        self._ended: dict[int, TrialRecord] = {}
        self._begun: dict[tuple[int, ...], int] = {}
        self._folds: dict[tuple[int, ...], int] = {}

    def run(self, targets: list[str]) -> tuple[TrialRecord, ...]:
        """Kill the targets one after another, then let the study come to its end; targets may be left over."""
        while True:
            engine = Marked([sys.executable, "-c", STUDY, str(self.directory)], self.directory)
            try:
                while targets and self._reach_moment(engine):
                    target = targets.pop(0)
                    self._kill(engine, target)
                    if target in ("engine", "group"):
                        break
                ended = engine.process.wait(PATIENCE_SECONDS)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(engine.process.pid, signal.SIGKILL)
                engine.process.wait()
            engine.assert_gone()
            self.look()
            if ended != -signal.SIGKILL:
                assert ended == 0, (self.directory / "output.txt").read_text()[-4000:]
                return self.ledger.finished()

    def _reach_moment(self, engine: Marked) -> bool:
        """Let the study go on for a while; whether it is still running."""
        lines = len(self.journal.lines()) + self.chance.randint(0, 6)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.journal.lines()) < lines and engine.process.poll() is None:
            assert time.monotonic() < deadline, (self.directory / "output.txt").read_text()[-4000:]
            time.sleep(0.001)
        if self.chance.random() < 0.5:
            self._await_write()
        else:
            time.sleep(self.chance.uniform(0.0, 0.03))
        return engine.process.poll() is None

    def _await_write(self) -> None:
        """Wait for the moment at which a document is written but does not have its name yet."""
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline:
            with suppress(FileNotFoundError):
                if any(os.scandir(self.directory / "store" / "tmp")):
                    self.inside_writes += 1
                    return

    def _kill(self, engine: Marked, target: str) -> None:
        leader = engine.process.pid
        with suppress(ProcessLookupError):
            if target == "group":
                os.killpg(leader, signal.SIGKILL)
            elif target == "engine":
                os.kill(leader, signal.SIGKILL)
            else:
                victims = self._victims(leader, target)
                trials = self.ledger.trials()
                if not victims or any(trial.status == "running" and trial.kills >= MAX_KILLS for trial in trials):
                    return
                os.kill(self.chance.choice(victims), signal.SIGKILL)
        self.kills[target] += 1

    @staticmethod
    def _victims(engine: int, target: str) -> list[int]:
        """Processes that are workers, leaders of a session of their own, or the server that forked them."""
        with suppress(psutil.Error):
            children = psutil.Process(engine).children(recursive=True)
            workers = [child for child in children if os.getsid(child.pid) == child.pid]
            return [worker.pid if target == "worker" else worker.ppid() for worker in workers]
        return []

    def look(self) -> None:
        """What had ended stays as it was and is not executed again; a finished fold is computed once."""
        trials = self.ledger.trials()
        begun, folds = self.journal.count("begin"), self.journal.count("fold")
        now = {trial.number: trial for trial in trials if trial.status != "running"}
        assert {number: now.get(number) for number in self._ended} == self._ended
        assert {key: begun[key] for key in self._begun} == self._begun
        assert {key: folds[key] for key in self._folds} == self._folds
        assert not [key for key, count in self.journal.count("told").items() if count > 1]
        self._ended = now
        self._begun = {(number,): begun[number,] for number in now}
        kept = [(trial.number, int(fold)) for trial in trials for fold in trial.fold_scores]
        self._folds = {key: folds[key] for key in kept}

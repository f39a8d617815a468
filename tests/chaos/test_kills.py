"""SIGKILL at random moments: no finished trial is repeated, none is lost, none is counted twice."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from podium.hpo.study import best_trial
from podium.records import TrialRecord

from .harness import TARGETS, Disturbed
from .study import Settings

MOST = 16
"""Kills of one study: more studies see more of what differs between them."""

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

STUDIES = [
    Settings("random"),
    Settings("random", parallel=3),
    Settings("tpe"),
    Settings("random", stopping="medianstop"),
    Settings("random", parallel=2),
    Settings("tpe", stopping="median"),
]


def outcome(trial: TrialRecord) -> tuple[object, ...]:
    """All that a kill must not change of a trial."""
    return trial.number, trial.params, trial.status, trial.score, trial.fold_scores, trial.reports, trial.rule


def disturb(directory: Path, settings: Settings, targets: list[str], seed: int) -> Disturbed:
    """Kill a study until it or the list of targets is used up, and hold it to a run that nobody disturbed."""
    disturbed = Disturbed(directory / "disturbed", settings, random.Random(seed))
    trials = disturbed.run(targets)
    undisturbed = Disturbed(directory / "undisturbed", settings, random.Random(seed)).run([])
    assert [trial.number for trial in trials] == list(range(settings.trials))
    assert [outcome(trial) for trial in trials] == [outcome(trial) for trial in undisturbed]
    assert best_trial(trials, "maximize").number == best_trial(undisturbed, "maximize").number
    if settings.stopping:
        assert {trial.status for trial in trials} == {"succeeded", "pruned"}
    before = disturbed.journal.lines()
    assert disturbed.run([]) == trials
    after = disturbed.journal.lines()[len(before) :]
    assert len(after) == settings.trials and all(line.startswith("told") for line in after)
    return disturbed


def kill(directory: Path, kills: int, seed: int) -> None:
    """Kill one study after another until so many kills have happened."""
    chance, done, inside, studies = random.Random(seed), Counter[str](), 0, 0
    while (left := kills - done.total()) > 0:
        settings = STUDIES[studies % len(STUDIES)]
        targets = [TARGETS[number % len(TARGETS)] for number in range(min(left, MOST))]
        chance.shuffle(targets)
        disturbed = disturb(directory / f"{studies}", settings, targets, chance.randrange(1 << 32))
        done += disturbed.kills
        inside += disturbed.inside_writes
        studies += 1
    print(f"{done.total()} kills in {studies} studies: {dict(done)}; {inside} while a document lay half written")


@pytest.mark.slow
def test_a_hundred_kills(tmp_path: Path) -> None:
    kill(tmp_path, 100, 17)

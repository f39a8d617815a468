"""The records that a report is made from."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from podium import records
from podium.devices.hardware import installed_versions
from podium.display.numbers import duration
from podium.selection.comparison import shown_better
from podium.selection.decision import FEW_TEST_ROWS, TEST_ROWS_DIFFER

NAMES = ["podium", "torch", "transformers", "datasets", "scikit-learn", "seqeval", "optuna", "mlflow", "kfp", "numpy"]
"""Packages whose versions shape results and their speed."""


def versions() -> dict[str, str]:
    """Versions of Python, the platform and the packages, by name."""
    absent = dict.fromkeys(NAMES, "not installed")
    about = {"python": platform.python_version(), "platform": platform.platform()}
    return about | absent | installed_versions(NAMES)


R = TypeVar("R", bound=records.Record)


def _each(kind: type[R]) -> cached_property[tuple[R, ...]]:
    return cached_property(lambda given: tuple(one for one in given.steps.values() if isinstance(one, kind)))


def _one(kind: type[R]) -> cached_property[R]:
    return cached_property(lambda given: next(one for one in given.steps.values() if isinstance(one, kind)))


@dataclass(frozen=True)
class ReportInputs:
    """The records of one run, and what surrounds it.

    Attributes:
        steps: every result of the run, by title of its step, in the order of the graph.
        environment: versions and settings worth knowing, by name.
        command: the shell command that repeats the run; empty when it is not known.
        failed: the entrants that failed, and so have no champion.
        texts: what rows with a suspicious label hold, by id, where the run asks for examples.
        elapsed: seconds since the run began; null where that says nothing.
    """

    run: records.RunRecord
    steps: Mapping[str, records.Record]
    environment: Mapping[str, str] = field(default_factory=versions)
    command: str = ""
    failed: tuple[records.FailedEntrant, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    elapsed: float | None = None

    data = _one(records.DataRecord)
    studies = _each(records.StudyRecord)
    models = _each(records.ModelRecord)
    selection = _one(records.SelectionRecord)
    benchmark = _one(records.BenchmarkRecord)
    decision = _one(records.DecisionRecord)
    curve = _one(records.CurveRecord)
    profile = _one(records.ProfileRecord)
    _plan = _one(records.PlanRecord)

    @cached_property
    def plan(self) -> dict[str, str]:
        """What the plan says, and the time that was used; empty where nothing was planned."""
        lines = dict(self._plan.lines)
        if lines and self.elapsed is not None:
            lines["Time used"] = duration(self.elapsed)
        return lines

    @property
    def cautions(self) -> tuple[str, ...]:
        """Why the scores say less than they seem to, by the data and by the plan."""
        return (*self.data.cautions, *([self.plan["Caution"]] if "Caution" in self.plan else []))

    @property
    def doubts(self) -> list[records.Reason]:
        """Reasons of the decision that are said with the score, since it may not hold for new rows."""
        return [one for one in self.decision.reasons if one.code in (TEST_ROWS_DIFFER, FEW_TEST_ROWS)]

    @property
    def careful(self) -> bool:
        """Whether the winner is promoted though something speaks against taking its score at its word."""
        return self.decision.verdict == "PROMOTE" and bool(self.data.cautions or self.doubts)

    @property
    def competed(self) -> str:
        """How many of the entrants competed, where some failed or were left out by the plan; else empty."""
        why = {
            ", ".join(one.entrant for one in self.failed): "failed",
            ", ".join(self.left_out): "left out by the plan",
        }
        said = [f"{names} {what}" for names, what in why.items() if names]
        planned = len(self.run.config.entrants)
        count, here = planned + len(self.left_out), planned - len(self.failed)
        return "; ".join([f"{here} of {count} entrants competed", *said]) if said else ""

    @property
    def left_out(self) -> dict[str, str]:
        """Entrants that the plan left out, each with the reason."""
        return self._plan.left_out

    @property
    def winner(self) -> records.LeaderboardEntry | None:
        name = self.decision.winner
        return next((entry for entry in self.selection.leaderboard if entry.entrant == name), None)

    @property
    def better(self) -> records.LeaderboardEntry | None:
        """The champion with the best score, where another one is shipped; None where the winner has it."""
        best = self.selection.leaderboard[0]
        return best if self.winner and best.entrant != self.winner.entrant else None

    @property
    def corrected_score(self) -> records.Interval | None:
        """The winner's score without the gain of having been chosen; None where that changes no digit shown."""
        corrected, test = self.decision.evidence.winner_score, self.winner_test
        if corrected is None or test is None or round(corrected.value, 3) >= round(test.value, 3):
            return None
        return corrected

    def model_of(self, entry: records.LeaderboardEntry) -> records.ModelRecord | None:
        return next((model for model in self.models if model.entrant == entry.entrant), None)

    def measurements_of(self, entry: records.LeaderboardEntry) -> list[records.Measurement]:
        identity = (entry.entrant, entry.model_digest)
        return [item for item in self.benchmark.measurements if (item.entrant, item.model_digest) == identity]

    def is_winner(self, one: records.Measurement | records.Variant | records.VariantScore) -> bool:
        return (one.entrant, one.variant) == (self.decision.winner, self.decision.winner_variant)

    @property
    def winner_measurement(self) -> records.Measurement | None:
        """The measurement of the winning variant, or None when it was not measured."""
        found = self.measurements_of(self.winner) if self.winner else []
        return next((item for item in found if self.is_winner(item)), next(iter(found), None))

    @property
    def winner_test(self) -> records.Interval | None:
        """The held-out score of the winning variant's own predictions, or None when there is no winner."""
        own = next((score.test for score in self.decision.evidence.variant_scores if self.is_winner(score)), None)
        return own or (self.winner.test if self.winner else None)

    @property
    def unbeaten(self) -> list[records.Comparison]:
        """The winner against the baselines that it is not shown to beat, by the interval, as the decision judges."""
        comparisons = self.decision.evidence.baseline_comparisons if self.winner else ()
        return [one for one in comparisons if not shown_better(one)]

    @property
    def winner_check(self) -> records.VariantCheck | None:
        """The winning variant against the eager model; None where the eager model wins, or nothing does."""
        return next((one.check for one in self.benchmark.variants if self.is_winner(one)), None)

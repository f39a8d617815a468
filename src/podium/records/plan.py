"""What was decided by the data and the machine before anything was trained."""

from __future__ import annotations

from typing import ClassVar

from podium.records.base import Frozen, Record, Scalar


class Pace(Frozen):
    """How fast an entrant trains on this machine while as many trainings run at once as there are cores.

    Attributes:
        start_seconds: what a training takes before its first row.
        train_seconds: of one row with `tokens` tokens, in one epoch, or in the whole training unless `in_epochs`.
        predict_seconds: of one such row.
        in_epochs: whether a training takes longer with more epochs and more tokens.
        tokens: mean tokens of the rows that were measured.
        lengths: percentiles 0 to 100 of the tokens of a row.
        longest: tokens that the model reads at most; null for no limit.
        precision: the fastest precision of a training.
        unknown: share of the tokens that stand for text which its tokenizer does not know.
    """

    start_seconds: float
    train_seconds: float
    predict_seconds: float
    in_epochs: bool = False
    tokens: float = 0.0
    lengths: tuple[int, ...] = ()
    longest: int | None = None
    precision: str = "fp32"
    unknown: float = 0.0

    def at(self, length: int) -> float:
        """Time of a row that is cut to `length` tokens, as a multiple of that of the rows that were measured."""
        if not self.in_epochs:
            return 1.0
        return sum(min(tokens, length) for tokens in self.lengths) / len(self.lengths) / self.tokens

    def whole(self, length: int) -> float:
        """Share of the rows that are not cut at `length` tokens."""
        return sum(tokens <= length for tokens in self.lengths) / len(self.lengths)


class PlanRecord(Record):
    """The plan of a run.

    Attributes:
        settings: the config fields that it sets, by dotted name.
        entrants: those that compete, in the order in which they are searched: the cheapest first.
        left_out: entrants that do not compete, each with the reason.
        paces: what was measured, by entrant; empty where nothing had to be planned.
        expected: seconds of every part of the run, by its name; empty where nothing was measured.
        time_limit: in seconds.
        lines: the plan for people: a heading, and what it says.
    """

    kind: ClassVar[str] = "plan"
    settings: dict[str, Scalar] = {}
    entrants: tuple[str, ...]
    left_out: dict[str, str] = {}
    paces: dict[str, Pace] = {}
    expected: dict[str, float] = {}
    time_limit: float | None = None
    lines: dict[str, str] = {}

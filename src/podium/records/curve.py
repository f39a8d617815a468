"""What more rows would be worth: the learning curve of the winner."""

from __future__ import annotations

from typing import ClassVar, Literal

from podium.records.base import Frozen, Interval, Record


class CurvePoint(Frozen):
    """The winner's cross-validation on a share of the rows.

    Attributes:
        fraction: of the training rows of each fold; the rows of a smaller one are among those of a larger one.
        rows: that a fold trained on, in the mean over the folds.
        scores: of the folds, in their order; empty where a training failed, and `error` says why.
        seconds: of computing.
        of_study: whether the study had trained it already, so that nothing was trained for it.
    """

    fraction: float
    rows: float
    scores: tuple[float, ...] = ()
    seconds: float = 0.0
    of_study: bool = False
    error: str = ""


class CurveValue(Frozen):
    """The expected score of a training on so many rows."""

    rows: float
    score: Interval


class CurveRecord(Record):
    """The learning curve of the winner, with its best trial's hyperparameters, and what twice the rows would bring.

    Attributes:
        status: `ok`; `degraded` where the scores allow no extrapolation; `skipped` where nothing was trained.
        code: why not `ok`: a stable word for machines, empty when `ok`; `reason`, the same for people.
        rows: that the winner was refitted on.
        points: by number of rows.
        now: expected score of the refit, and `doubled` with twice as many rows; `gain`, by how much that is higher.
        line: the fitted curve up to twice the rows.
    """

    kind: ClassVar[str] = "curve"
    status: Literal["ok", "degraded", "skipped"]
    code: str = ""
    reason: str = ""
    winner: str | None = None
    metric: str = ""
    rows: int = 0
    points: tuple[CurvePoint, ...] = ()
    now: Interval | None = None
    doubled: Interval | None = None
    gain: Interval | None = None
    line: tuple[CurveValue, ...] = ()

    @property
    def figures(self) -> dict[str, float]:
        """What tools read: rows, and value and bounds of what is expected with twice as many."""
        found = {"now": self.now, "doubled": self.doubled, "gain": self.gain}
        figures = {"rows": float(self.rows)} if self.points else {}
        for name, interval in found.items():
            if interval is not None:
                figures |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return figures

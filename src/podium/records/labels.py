"""Labels of the data that look wrong to the models."""

from __future__ import annotations

from typing import Literal

from podium.records.base import Frozen


class LabelIssue(Frozen):
    """A label that looks wrong.

    Attributes:
        row: id of the row in the prepared data.
        given_probability: mean of the champions' calibrated probabilities of the given label; likewise
            `suggested_probability`.
        agreeing: the champions that find no label likelier than the suggested one.
    """

    row: str
    given: str
    suggested: str
    given_probability: float
    suggested_probability: float
    agreeing: tuple[str, ...]


class LabelPair(Frozen):
    """How many rows with the given label look as if they had the suggested one."""

    given: str
    suggested: str
    rows: int


class LabelCheck(Frozen):
    """Labels that were changed on purpose, on the same predictions: how many, and what was then suspected.

    Attributes:
        changed: labels that were changed, over all repetitions.
        found: how many of these were suspected.
        suspected: how many labels were suspected, those that were not changed included.
    """

    changed: int
    found: int
    suspected: int

    @property
    def recall(self) -> float | None:
        """Share of the changed labels that were found."""
        return self.found / self.changed if self.changed else None

    @property
    def precision(self) -> float | None:
        """Share of the suspected labels that were changed; a bound, since others may be wrong in truth."""
        return self.found / self.suspected if self.suspected else None


class LabelReview(Frozen):
    """What the search for wrong labels found.

    Attributes:
        status: `degraded` where the models know the data too little to tell wrong labels from hard rows; `skipped`
            where there is nothing to search in.
        reason: why not `ok`; empty when `ok`.
        entrants: the champions whose predictions were used.
        rows: development rows that were searched.
        suspected: how many of them have a label that looks wrong.
        pairs: the most frequent ones first.
        clearest: the labels with the largest difference between the two probabilities; the artifact has all.
    """

    status: Literal["ok", "degraded", "skipped"]
    reason: str = ""
    entrants: tuple[str, ...] = ()
    rows: int = 0
    suspected: int = 0
    pairs: tuple[LabelPair, ...] = ()
    clearest: tuple[LabelIssue, ...] = ()
    check: LabelCheck | None = None

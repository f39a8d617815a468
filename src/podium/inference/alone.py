"""Whether the answer to a row depends on the rows that are computed with it."""

from __future__ import annotations

from itertools import islice
from typing import Any

from podium.inference.journal import Journal
from podium.inference.rows import RowSource, Survey
from podium.inference.run import System

ROWS = 8
"""How many rows are asked again, each alone."""
LEAST = 64
"""Rows of a call from which on it is worth asking."""


def asked_alone(system: System, source: RowSource, survey: Survey, journal: Journal) -> dict[str, Any]:
    """Answer some rows again, one at a time, and compare with their entries.

    Returns:
        `rows`, how many; `equal`, how many of them have the same answer; and `largest_difference` of a probability,
        where there are any.
    """
    step = max(1, survey.count // ROWS)
    answered = (row for row in source.chosen(survey) if row.problem is None and journal.outcome(row.id) == "ok")
    rows = list(islice(answered, 0, step * ROWS, step))
    pairs = [(journal.get(row.id), again) for row in rows for again in system.answer([row])]
    gaps = [
        max(abs(one - other) for one, other in zip(before.probabilities, again.probabilities, strict=True))
        for before, again in pairs
        if before.probabilities and again.probabilities
    ]
    equal = sum(before.answer == again.answer for before, again in pairs)
    return {"rows": len(pairs), "equal": equal, **({"largest_difference": max(gaps)} if gaps else {})}

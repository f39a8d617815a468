"""Evidence that holds what a test is about."""

from __future__ import annotations

from typing import Any

from podium.config.benchmark import SelectionConfig
from podium.records import Evidence
from podium.selection import winner


def evidence_of(
    entries: Any, comparisons: Any = (), measurements: Any = (), policy: Any = None, scores: Any = (), rows: int = 0
) -> Evidence:
    return Evidence(
        metric="macro_f1",
        rows=rows,
        policy=policy or SelectionConfig(),
        leaderboard=tuple(entries),
        comparisons=tuple(comparisons),
        baseline_comparisons=(),
        measurements=tuple(measurements),
        variant_scores=tuple(scores),
        incumbent=None,
    )


def choose(*given: Any, **more: Any) -> winner.Choice:
    return winner.choose(evidence_of(*given, **more))

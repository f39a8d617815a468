"""What the templates show of variants and benchmarks that the records do not hold as such."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from podium.config.benchmark import VariantName
from podium.records import BatchRate, Interval, LeaderboardEntry, Measurement, Variant
from podium.report.inputs import ReportInputs


@dataclass(frozen=True)
class VariantView:
    """A variant that was asked for; `score` is on the held-out rows, null where it was not checked."""

    made: Variant
    score: Interval | None
    measurement: Measurement | None
    is_winner: bool


@dataclass(frozen=True)
class GridRow:
    """Throughput of one variant at one length: a cell per batch size of the grid, null where it was not measured."""

    name: str
    length: int | None
    tokens: float
    cells: Sequence[BatchRate | None]


@dataclass(frozen=True)
class Measured:
    """Variants and measurements of a run.

    Attributes:
        not_asked: forms of a model that the run did not ask for.
        quantiles: those of latency that any measurement supports.
        notes, energy_notes, mfu_notes: each with the measurements it is about.
        environment: what may explain a difference, by name: its values, each with the measurements that had it.
        agreement: whether there were repetitions to agree with each other.
        has_mfu: whether it is known of any measurement.
    """

    variants: Sequence[VariantView]
    not_asked: Sequence[str]
    quantiles: Sequence[float]
    batch_sizes: Sequence[int]
    grid: Sequence[GridRow]
    servers: Sequence[Measurement]
    cold_starts: Sequence[Measurement]
    notes: Mapping[str, Sequence[str]]
    energy_notes: Mapping[str, Sequence[str]]
    mfu_notes: Mapping[str, Sequence[str]]
    environment: Mapping[str, Mapping[str, Sequence[str]]]
    agreement: bool
    has_mfu: bool


def measured(given: ReportInputs) -> Measured:
    """Arrange variants and measurements of a run for the templates."""
    items = given.benchmark.measurements
    asked = {one.variant for one in given.benchmark.variants} | {one.variant for one in items}
    sizes = sorted({rate.batch_size for one in items for rate in one.grid})
    names = dict.fromkeys(name for one in items for name in one.environment)
    return Measured(
        variants=[_variant(one, given) for one in given.benchmark.variants],
        not_asked=[name for name in get_args(VariantName) if name not in asked],
        quantiles=sorted({quantile.q for one in items for quantile in one.latency}),
        batch_sizes=sizes,
        grid=[row for one in items for row in _grid(one, sizes)],
        servers=[one for one in items if one.server],
        cold_starts=[one for one in items if one.cold_start],
        notes=_said(items, lambda one: one.notes),
        energy_notes=_said(items, lambda one: (one.energy_note,)),
        mfu_notes=_said(items, lambda one: (one.mfu_note,)),
        environment={name: _values(items, name) for name in names},
        agreement=given.run.config.benchmark.repetitions > 1,
        has_mfu=any(one.mfu is not None for one in items),
    )


def title(measurement: Measurement) -> str:
    """Backbone and variant, for people."""
    return f"{measurement.backbone} ({measurement.variant})"


def _variant(made: Variant, given: ReportInputs) -> VariantView:
    identity = (made.backbone, made.variant, made.model_digest)
    found = [one for one in given.benchmark.measurements if (one.backbone, one.variant, one.model_digest) == identity]
    champion = next((one for one in given.selection.leaderboard if one.model_digest == made.model_digest), None)
    return VariantView(
        made=made,
        score=_score(made, champion, given),
        measurement=next(iter(found), None),
        is_winner=(made.backbone, made.variant) == (given.decision.winner, given.decision.winner_variant),
    )


def _score(made: Variant, champion: LeaderboardEntry | None, given: ReportInputs) -> Interval | None:
    """As the decision saw it; of a variant that was no candidate, as its check did."""
    scores = given.decision.evidence.variant_scores if given.decision.evidence else ()
    own = (score.test for score in scores if (score.backbone, score.variant) == (made.backbone, made.variant))
    if (seen := next(own, None)) or made.check is None:
        return seen or (champion.test if champion and made.variant == "eager" else None)
    return made.check.score


def _grid(measurement: Measurement, sizes: Sequence[int]) -> list[GridRow]:
    rows = []
    for length in dict.fromkeys(rate.length for rate in measurement.grid):
        found = {rate.batch_size: rate for rate in measurement.grid if rate.length == length}
        tokens = sum(rate.tokens for rate in found.values()) / len(found)
        rows.append(GridRow(title(measurement), length, tokens, [found.get(size) for size in sizes]))
    return rows


def _values(items: Iterable[Measurement], name: str) -> dict[str, list[str]]:
    """The values that a part of the environment had."""
    return _said(items, lambda one: (one.environment.get(name, ""),))


def _said(items: Iterable[Measurement], texts: Callable[[Measurement], Iterable[str]]) -> dict[str, list[str]]:
    """Texts, each with the measurements it is about; empty ones are left out."""
    found: dict[str, list[str]] = {}
    for one in items:
        for said in texts(one):
            if said:
                found.setdefault(said, []).append(title(one))
    return found

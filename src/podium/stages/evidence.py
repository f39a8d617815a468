"""Gathering the evidence of a decision: every candidate, and the incumbent on the same rows and hardware."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.predictions import Predictions
from podium.records import (
    BaselineRecord,
    BenchmarkRecord,
    Comparison,
    DataRecord,
    Evidence,
    Incumbent,
    ModelRecord,
    SelectionRecord,
    VariantScore,
)
from podium.selection.comparison import compare
from podium.selection.decision import choice_of
from podium.selection.winner import contenders
from podium.stages.incumbent import (
    IncumbentPredictions,
    incumbent_measurement,
    incumbent_model,
    incumbent_predictions,
)
from podium.stages.select import comparison_budget
from podium.stages.step import StepRun


def gather(
    step: StepRun,
    data: DataRecord,
    baselines: BaselineRecord,
    selection: SelectionRecord,
    benchmark: BenchmarkRecord,
    models: Sequence[ModelRecord],
    incumbent: Incumbent | None,
) -> tuple[Evidence, IncumbentPredictions | None]:
    """What the decision follows from, and the incumbent's predictions where they were needed."""
    budget = comparison_budget(step)
    held = _HeldOut(step, benchmark, models)
    evidence = Evidence(
        metric=selection.metric,
        rows=selection.rows,
        policy=step.config.selection,
        leaderboard=selection.leaderboard,
        comparisons=(),
        baseline_comparisons=(),
        measurements=benchmark.measurements,
        variant_scores=tuple(
            VariantScore(
                backbone=item.backbone,
                variant=item.variant,
                test=bootstrap_interval(held.of(item.backbone, item.variant), **budget),
            )
            for item in benchmark.measurements
            if item.variant != "eager"
        ),
        incumbent=incumbent,
        withdrawn=step.run.withdrawn,
    )
    evidence = evidence.model_copy(update={"comparisons": _against_best(step, evidence, held)})
    winner = choice_of(evidence).winner
    if winner is None:
        return evidence, None
    own = (winner.name, held.of(winner.entry.backbone, winner.variant))
    beside = {name: Predictions.load(step.store.fetch(file)) for name, file in sorted(baselines.artifacts.items())}
    against = tuple(compare(own, (name, predictions), **budget) for name, predictions in beside.items())
    evidence = evidence.model_copy(update={"baseline_comparisons": against})
    if incumbent is None or incumbent.identity == winner.identity:
        return evidence, None
    return _against_incumbent(step, data, benchmark, evidence, own, incumbent)


class _HeldOut:
    """Held-out predictions of every variant, each read once."""

    def __init__(self, step: StepRun, benchmark: BenchmarkRecord, models: Sequence[ModelRecord]):
        self._step, self._benchmark = step, benchmark
        self._eager = {model.backbone: model.artifacts["predictions"] for model in models}
        self.of = cache(self._load)

    def _load(self, backbone: str, variant: str) -> Predictions:
        if variant == "eager":
            return Predictions.load(self._step.store.fetch(self._eager[backbone]))
        return Predictions.load(self._step.store.fetch(self._benchmark.artifacts[f"predictions.{backbone}.{variant}"]))


def _against_best(step: StepRun, evidence: Evidence, held: _HeldOut) -> tuple[Comparison, ...]:
    """Every candidate within the constraints against the best of them."""
    found = contenders(evidence.leaderboard, evidence.measurements, evidence.policy, evidence.variant_scores)
    named = [(one.name, held.of(one.entry.backbone, one.variant)) for one in found if not one.failures]
    return tuple(compare(one, named[0], **comparison_budget(step)) for one in named[1:])


def _against_incumbent(
    step: StepRun,
    data: DataRecord,
    benchmark: BenchmarkRecord,
    evidence: Evidence,
    winner: tuple[str, Predictions],
    incumbent: Incumbent,
) -> tuple[Evidence, IncumbentPredictions]:
    """The evidence with the winner compared with the incumbent, or with the reason why that is not possible."""
    with step.store.scratch() as scratch:
        model = cache(lambda: incumbent_model(step, incumbent, scratch / "model"))
        seen = incumbent_predictions(step, data, incumbent, model)
        if seen.predictions is None:
            return evidence.model_copy(update={"not_comparable": seen.problem}), seen
        measured, problem = incumbent_measurement(step, data, benchmark, incumbent, model)
    name = f"incumbent {incumbent.name} v{incumbent.version}"
    found = {
        "against_incumbent": compare(winner, (name, seen.predictions), **comparison_budget(step)),
        "incumbent_measurement": measured,
        "incumbent_unmeasured": problem,
    }
    return evidence.model_copy(update=found), seen

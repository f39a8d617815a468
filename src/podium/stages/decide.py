"""Step `decide`: the winner, the verdict, and the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from podium.errors import StepFailed
from podium.evaluation.predictions import Predictions
from podium.records import (
    BenchmarkRecord,
    Comparison,
    DecisionRecord,
    Incumbent,
    LeaderboardEntry,
    ModelRecord,
    RunRecord,
    SelectionRecord,
)
from podium.selection.comparison import compare
from podium.selection.decision import decide as judge
from podium.selection.winner import choose
from podium.stages.context import step_context
from podium.stages.keys import decision_key
from podium.stages.step import StepRun, open_store, run_step
from podium.tracking import tracker_for
from podium.tracking.base import CHALLENGER, CHAMPION, TAG_DECISION


def decide(
    run: RunRecord, selection: SelectionRecord, benchmark: BenchmarkRecord, models: Sequence[ModelRecord]
) -> DecisionRecord:
    """Choose the winner, judge it against the incumbent, and register it.

    A decision that put the present incumbent in place stands as long as the evidence behind it is the same.
    """

    def compute(step: StepRun) -> DecisionRecord:
        return _compute(step, selection, benchmark, models, incumbent)

    with step_context("decide") as directory:
        incumbent = judged_against(run, selection, benchmark)
        key = decision_key(run.config, selection, benchmark, incumbent)
        parents = {"selection": selection.key, "benchmark": benchmark.key}
        return run_step(
            run, key, DecisionRecord, compute, parents=parents, directory=directory, complete=still_holds(run)
        )


def still_holds(run: RunRecord) -> Callable[[DecisionRecord], bool]:
    """Whether a stored decision is still in force: a promotion that the registry has lost is carried out again.

    The champion is looked up anew where the run began with another one: a run beside this one may have promoted it.
    """

    def complete(decision: DecisionRecord) -> bool:
        if decision.verdict != "PROMOTE" or not decision.registered or _put_in_place(decision, run.incumbent):
            return True
        return _put_in_place(decision, tracker_for(run.config.tracking).incumbent(run.config.model_name))

    return complete


def _put_in_place(decision: DecisionRecord, incumbent: Incumbent | None) -> bool:
    return incumbent is not None and incumbent.decision_key == decision.key


def judged_against(run: RunRecord, selection: SelectionRecord, benchmark: BenchmarkRecord) -> Incumbent | None:
    """The incumbent of this decision: the champion the run began with, or the one that champion was itself judged
    against when it won on this very evidence."""
    incumbent = run.incumbent
    if incumbent is None or not incumbent.decision_key:
        return incumbent
    earlier = open_store(run.config).get(DecisionRecord, incumbent.decision_key)
    if earlier and decision_key(run.config, selection, benchmark, earlier.incumbent).digest == earlier.key:
        return earlier.incumbent
    return incumbent


def _compute(
    step: StepRun,
    selection: SelectionRecord,
    benchmark: BenchmarkRecord,
    models: Sequence[ModelRecord],
    incumbent: Incumbent | None,
) -> DecisionRecord:
    config = step.config.selection
    choice = choose(selection.leaderboard, selection.comparisons, benchmark.measurements, config)
    winner = choice.winner.entry if choice.winner else None
    comparison = _against_incumbent(step, winner, incumbent, models)
    verdict, reasons = judge(winner, incumbent, config.promotion, comparison, selection.metric)
    model = next((item for item in models if winner and item.key == winner.model_key), None)
    registered = _register(step, model, verdict) if model else {}
    return DecisionRecord(
        **step.stamp,
        verdict=verdict,
        winner=winner.backbone if winner else None,
        winner_variant=choice.winner.measurement.variant if choice.winner and choice.winner.measurement else None,
        winner_model_key=winner.model_key if winner else None,
        reasons=(*choice.reasons, *reasons),
        incumbent=incumbent,
        registered=registered,
    )


def _against_incumbent(
    step: StepRun, winner: LeaderboardEntry | None, incumbent: Incumbent | None, models: Sequence[ModelRecord]
) -> Comparison | None:
    """Winner minus incumbent on the same held-out rows; None where the incumbent has no predictions for them."""
    if winner is None or incumbent is None or incumbent.model_digest == winner.model_digest:
        return None
    old = step.store.get(ModelRecord, incumbent.model_key)
    new = next(model for model in models if model.key == winner.model_key)
    if old is None or old.parents.get("data") != new.parents.get("data"):
        return None
    config = step.config
    return compare(
        (winner.backbone, Predictions.load(step.store.fetch(new.artifacts["predictions"]))),
        (
            f"incumbent {incumbent.name} v{incumbent.version}",
            Predictions.load(step.store.fetch(old.artifacts["predictions"])),
        ),
        metric=config.hpo.metric,
        confidence=config.selection.confidence,
        resamples=config.selection.resamples,
        seed=config.seed,
    )


def _register(step: StepRun, model: ModelRecord, verdict: str) -> dict[str, str]:
    """Put the winner into the registry: `champion` on PROMOTE, else `challenger`. Empty when tracking is off."""
    name = step.config.model_name
    if (incumbent := step.run.incumbent) and incumbent.model_digest == model.artifacts["model"].digest:
        return {"name": name, "version": incumbent.version, "alias": CHAMPION}
    if verdict == "PROMOTE" and step.tracker.incumbent(name) != step.run.incumbent:
        raise StepFailed(
            f"the champion of {name} must be the one this run began with, but another run moved it meanwhile; run the "
            "same command again to be judged against the new champion"
        )
    alias = CHAMPION if verdict == "PROMOTE" else CHALLENGER
    path = step.store.fetch(model.artifacts["model"])
    tags = {TAG_DECISION: step.key.digest}
    run_id = model.mlflow_run_id or step.mlflow_run_id
    version = step.tracker.promote(name, run_id, path, model, alias=alias, tags=tags)
    return {"name": name, "version": version, "alias": alias} if version else {}

"""Step `decide`: the winner, the verdict, and the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from podium.errors import StepFailed
from podium.evaluation.predictions import Predictions
from podium.records import (
    BenchmarkRecord,
    DataRecord,
    DecisionRecord,
    Evidence,
    Incumbent,
    ModelRecord,
    RunRecord,
    SelectionRecord,
)
from podium.selection.comparison import compare
from podium.selection.decision import FORCED, Judgement, judge
from podium.selection.pareto import pareto_fronts
from podium.selection.winner import choose
from podium.stages.context import step_context
from podium.stages.incumbent import IncumbentPredictions, incumbent_predictions
from podium.stages.keys import decision_key
from podium.stages.promotion import who
from podium.stages.select import comparison_budget
from podium.stages.step import StepRun, open_store, run_step
from podium.tracking import tracker_for
from podium.tracking.base import CHALLENGER, CHAMPION, TAG_DECISION


def decide(
    run: RunRecord,
    data: DataRecord,
    selection: SelectionRecord,
    benchmark: BenchmarkRecord,
    models: Sequence[ModelRecord],
) -> DecisionRecord:
    """Choose the winner, judge it against the incumbent, and register it.

    A decision that put the present incumbent in place stands as long as the evidence behind it is the same.
    """

    def compute(step: StepRun) -> DecisionRecord:
        return _compute(step, data, selection, benchmark, models, incumbent)

    with step_context("decide") as directory:
        incumbent = judged_against(run, selection, benchmark)
        key = decision_key(run, selection, benchmark, incumbent)
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
    if earlier is None or earlier.verdict != "PROMOTE":
        return incumbent
    same = decision_key(run, selection, benchmark, earlier.incumbent).digest == earlier.key
    return earlier.incumbent if same else incumbent


def _compute(
    step: StepRun,
    data: DataRecord,
    selection: SelectionRecord,
    benchmark: BenchmarkRecord,
    models: Sequence[ModelRecord],
    incumbent: Incumbent | None,
) -> DecisionRecord:
    evidence = Evidence(
        metric=selection.metric,
        rows=selection.rows,
        policy=step.config.selection,
        leaderboard=selection.leaderboard,
        comparisons=(*selection.comparisons, *selection.further_comparisons),
        baseline_comparisons=selection.baseline_comparisons,
        measurements=benchmark.measurements,
        incumbent=incumbent,
        withdrawn=step.run.withdrawn,
    )
    evidence, seen = _compared_with_incumbent(step, data, models, evidence)
    found = judge(evidence)
    winner = found.choice.winner
    model = next((item for item in models if winner and item.key == winner.entry.model_key), None)
    registered = _register(step, model, benchmark, found) if model else {}
    return DecisionRecord(
        **step.stamp,
        verdict=found.verdict,
        winner=winner.entry.backbone if winner else None,
        winner_variant=winner.measurement.variant if winner and winner.measurement else None,
        winner_model_key=winner.entry.model_key if winner else None,
        reasons=found.reasons,
        incumbent=incumbent,
        registered=registered,
        pareto=pareto_fronts(found.choice.candidates),
        evidence=evidence,
        artifacts={"incumbent_predictions": seen.made} if seen and seen.made else {},
    )


def _compared_with_incumbent(
    step: StepRun, data: DataRecord, models: Sequence[ModelRecord], evidence: Evidence
) -> tuple[Evidence, IncumbentPredictions | None]:
    """The evidence with the winner held against the incumbent on the same rows, or with why it cannot be."""
    incumbent = evidence.incumbent
    winner = choose(evidence.leaderboard, evidence.comparisons, evidence.measurements, evidence.policy).winner
    if winner is None or incumbent is None or incumbent.model_digest == winner.entry.model_digest:
        return evidence, None
    seen = incumbent_predictions(step, data, incumbent)
    if seen.predictions is None:
        return evidence.model_copy(update={"not_comparable": seen.problem}), seen
    model = next(item for item in models if item.key == winner.entry.model_key)
    comparison = compare(
        (winner.entry.backbone, Predictions.load(step.store.fetch(model.artifacts["predictions"]))),
        (f"incumbent {incumbent.name} v{incumbent.version}", seen.predictions),
        **comparison_budget(step),
    )
    return evidence.model_copy(update={"against_incumbent": comparison}), seen


def _register(step: StepRun, model: ModelRecord, benchmark: BenchmarkRecord, found: Judgement) -> dict[str, str]:
    """Put the winning variant into the registry: `champion` on PROMOTE, else `challenger`. Empty when tracking is off.

    A refit that is the champion already stays so in the variant that was promoted.
    """
    name = step.config.model_name
    if (incumbent := step.run.incumbent) and incumbent.model_digest == model.artifacts["model"].digest:
        return {"name": name, "version": incumbent.version, "alias": CHAMPION}
    measured = found.choice.winner.measurement if found.choice.winner else None
    variant = measured.variant if measured else "eager"
    path = step.store.fetch(benchmark.artifacts.get(f"model.{model.backbone}.{variant}", model.artifacts["model"]))
    run_id = model.mlflow_run_id or step.mlflow_run_id
    version = step.tracker.register(name, run_id, path, model, variant=variant, tags={TAG_DECISION: step.key.digest})
    if not version:
        return {}
    if found.verdict != "PROMOTE":
        step.tracker.set_challenger(name, version)
        return {"name": name, "version": version, "alias": CHALLENGER}
    if step.tracker.incumbent(name) != step.run.incumbent:
        raise StepFailed(
            f"the champion of {name} must be the one this run began with, but another run moved it meanwhile; run the "
            "same command again to be judged against the new champion"
        )
    step.tracker.move_champion(
        name,
        version,
        how="forced" if found.decisive.code == FORCED else "decided",
        by=who(step.run),
        reason=found.decisive.text,
        decision=step.key.digest,
    )
    return {"name": name, "version": version, "alias": CHAMPION}

"""Step `decide`: the winner, the verdict, and the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from podium.errors import StepFailed
from podium.records import (
    BaselineRecord,
    BenchmarkRecord,
    DataRecord,
    DecisionRecord,
    Incumbent,
    ModelRecord,
    RunRecord,
    SelectionRecord,
)
from podium.selection.decision import FORCED, Judgement, judge
from podium.selection.pareto import pareto_fronts
from podium.selection.winner import Candidate
from podium.stages.context import step_context
from podium.stages.evidence import gather
from podium.stages.keys import decision_key
from podium.stages.promotion import who
from podium.stages.step import StepRun, open_store, run_step
from podium.tracking import tracker_for
from podium.tracking.base import CHALLENGER, CHAMPION, TAG_DECISION, TAG_FILES


def decide(
    run: RunRecord,
    data: DataRecord,
    baselines: BaselineRecord,
    selection: SelectionRecord,
    benchmark: BenchmarkRecord,
    models: Sequence[ModelRecord],
) -> DecisionRecord:
    """Choose the winner, judge it against the incumbent, and register it.

    A decision that put the present incumbent in place stands as long as the evidence behind it is the same.
    """

    def compute(step: StepRun) -> DecisionRecord:
        return _compute(step, data, baselines, selection, benchmark, models, incumbent)

    with step_context("decide") as directory:
        incumbent = judged_against(run, selection, benchmark)
        key = decision_key(run, selection, benchmark, incumbent)
        parents = {"baseline": baselines.key, "selection": selection.key, "benchmark": benchmark.key}
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
    baselines: BaselineRecord,
    selection: SelectionRecord,
    benchmark: BenchmarkRecord,
    models: Sequence[ModelRecord],
    incumbent: Incumbent | None,
) -> DecisionRecord:
    evidence, seen = gather(step, data, baselines, selection, benchmark, models, incumbent)
    found = judge(evidence)
    winner = found.choice.winner
    model = next((item for item in models if winner and item.key == winner.entry.model_key), None)
    registered = _register(step, winner, model, benchmark, found) if winner and model else {}
    return DecisionRecord(
        **step.stamp,
        verdict=found.verdict,
        winner=winner.entry.backbone if winner else None,
        winner_variant=winner.variant if winner else None,
        winner_model_key=winner.entry.model_key if winner else None,
        reasons=found.reasons,
        incumbent=incumbent,
        registered=registered,
        pareto=pareto_fronts(found.choice.candidates),
        evidence=evidence,
        artifacts={"incumbent_predictions": seen.made} if seen and seen.made else {},
    )


def _register(
    step: StepRun, winner: Candidate, model: ModelRecord, benchmark: BenchmarkRecord, found: Judgement
) -> dict[str, str]:
    """Register the winning variant: as `champion` on PROMOTE, else as `challenger`. Empty when tracking is off."""
    name = step.config.model_name
    if (incumbent := step.run.incumbent) and incumbent.identity == winner.identity:
        return {"name": name, "version": incumbent.version, "alias": CHAMPION}
    files = benchmark.artifacts.get(f"model.{model.backbone}.{winner.variant}", model.artifacts["model"])
    version = step.tracker.register(
        name,
        model.mlflow_run_id or step.mlflow_run_id,
        step.store.fetch(files),
        model,
        variant=winner.variant,
        tags={TAG_DECISION: step.key.digest, TAG_FILES: files.digest},
    )
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

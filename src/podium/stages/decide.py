"""Step `decide`: the winner, the verdict, and the registry."""

from __future__ import annotations

from podium.errors import StepFailed
from podium.records import (
    BaselineRecord,
    BenchmarkRecord,
    DataRecord,
    DecisionRecord,
    ModelRecord,
    SelectionRecord,
)
from podium.selection.decision import FORCED, Judgement, judge
from podium.selection.pareto import pareto_fronts
from podium.selection.winner import Candidate
from podium.stages.champion import judged_against
from podium.stages.evidence import gather
from podium.stages.promotion import who
from podium.stages.step import StepInputs, StepRun
from podium.tracking.base import CHALLENGER, CHAMPION, TAG_DECISION, TAG_FILES


def compute(step: StepRun, inputs: StepInputs) -> DecisionRecord:
    """Choose the winner, judge it against the incumbent, and register it.

    A decision that put the present incumbent in place stands as long as the evidence behind it is the same.
    """
    selection, benchmark = inputs.one(SelectionRecord), inputs.one(BenchmarkRecord)
    models = inputs.all(ModelRecord)
    incumbent = judged_against(step.run, selection, benchmark)
    baselines = inputs.one(BaselineRecord)
    evidence, seen = gather(step, inputs.one(DataRecord), baselines, selection, benchmark, models, incumbent)
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

"""Step `decide`: the evidence on winner and incumbent, the verdict, and the registry."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from podium import records
from podium.benchmarking.session import MeasurementRequest, ModelFiles
from podium.devices.hardware import available_cores
from podium.errors import BenchmarkError, DamagedArtifact, ModelError, StepFailed
from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.predictions import Predictions
from podium.keys import digest_tree
from podium.selection.comparison import compare
from podium.selection.decision import FORCED, Judgement, judge
from podium.selection.winner import Candidate, choose, contenders, pareto_fronts
from podium.selection.winner_score import corrected_score, rule_of
from podium.stages.benchmark import hardware_of, measuring_service, measuring_session
from podium.stages.copied_rows import copied_rows
from podium.stages.keys import lone_measurement_key
from podium.stages.promotion import who
from podium.stages.select import against_baselines, comparison_budget
from podium.stages.step import StepRun
from podium.stages.steps import judged_against
from podium.stages.train import keep_predictions
from podium.tracking.base import CHALLENGER, CHAMPION, TAG_DECISION, TAG_FILES


def decide(step: StepRun) -> records.DecisionRecord:
    """Choose the winner, judge it against the incumbent, and register it.

    A decision that put the present incumbent in place stands as long as the evidence behind it is the same.
    """
    incumbent = judged_against(step)
    evidence, seen = gather(step, incumbent)
    found = judge(evidence)
    winner = found.choice.winner
    return records.DecisionRecord(
        **step.stamp,
        verdict=found.verdict,
        winner=winner.entry.entrant if winner else None,
        winner_variant=winner.variant if winner else None,
        winner_model_key=winner.entry.model_key if winner else None,
        reasons=found.reasons,
        incumbent=incumbent,
        registered=_register(step, winner, found) if winner else {},
        pareto=pareto_fronts(found.choice.candidates),
        evidence=evidence,
        artifacts={"incumbent_predictions": seen.made} if seen and seen.made else {},
    )


def _register(step: StepRun, winner: Candidate, found: Judgement) -> dict[str, str]:
    """Register the winning variant: as `champion` on PROMOTE, else as `challenger`. Empty when tracking is off."""
    name = step.config.model_name
    if (incumbent := step.run.incumbent) and incumbent.identity == winner.identity:
        return {"name": name, "version": incumbent.version, "alias": CHAMPION}
    model = next(item for item in step.all(records.ModelRecord) if item.key == winner.entry.model_key)
    built = step.one(records.BenchmarkRecord).artifacts
    files = built.get(f"model.{model.entrant}.{winner.variant}", model.artifacts["model"])
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


@dataclass(frozen=True)
class IncumbentPredictions:
    """The incumbent on the held-out rows: None where `problem` says why, and `made` is stored where it predicts now."""

    predictions: Predictions | None
    problem: str = ""
    made: records.ArtifactRef | None = None


def gather(step: StepRun, incumbent: records.Incumbent | None) -> tuple[records.Evidence, IncumbentPredictions | None]:
    """What the decision follows from, and the incumbent's predictions where they were needed."""
    selection, benchmark, budget = (
        step.one(records.SelectionRecord),
        step.one(records.BenchmarkRecord),
        comparison_budget(step),
    )
    held = cache(partial(_held_out, step))
    evidence = records.Evidence(
        rule=records.RULE,
        metric=selection.metric,
        rows=selection.rows,
        policy=step.config.selection,
        leaderboard=selection.leaderboard,
        comparisons=(),
        baseline_comparisons=(),
        measurements=benchmark.measurements,
        variant_scores=tuple(
            records.VariantScore(
                entrant=item.entrant,
                variant=item.variant,
                test=bootstrap_interval(held(item.entrant, item.variant), **budget),
            )
            for item in benchmark.measurements
            if item.variant != "eager"
        ),
        incumbent=incumbent,
        withdrawn=step.run.withdrawn,
    )
    candidates = contenders(evidence)
    able = [one for one in candidates if not one.failures]
    named = [(one.name, held(one.entry.entrant, one.variant)) for one in able]
    against_best = tuple(compare(one, named[0], **budget) for one in named[1:])
    evidence = evidence.model_copy(update={"comparisons": against_best})
    winner = choose(evidence).winner
    if winner is None:
        return evidence, None
    own = (winner.name, held(winner.entry.entrant, winner.variant))
    stored = step.one(records.BaselineRecord).artifacts
    baselines = {name: Predictions.load(step.store.fetch(ref)) for name, ref in stored.items()}
    evidence = evidence.model_copy(update={"baseline_comparisons": against_baselines(own, baselines, budget)})
    data = step.one(records.DataRecord)
    development = data.rows["train"] + data.rows["validation"]
    copies = copied_rows(step.store.fetch(data.artifacts["data"]), development, own, budget)
    evidence = evidence.model_copy(update={"copied_rows": copies})
    if any(item.differing for item in evidence.comparisons):
        chosen = [name for name, _ in named].index(winner.name)
        corrected = corrected_score([one for _, one in named], chosen, rule_of(able, evidence.policy), **budget)
        evidence = evidence.model_copy(update={"winner_score": corrected})
    if incumbent is None or incumbent.identity == winner.identity:
        return evidence, None
    with step.store.scratch() as scratch:
        model = cache(lambda: incumbent_model(step, incumbent, scratch / "model"))
        seen = incumbent_predictions(step, incumbent, model)
        if seen.predictions is None:
            return evidence.model_copy(update={"not_comparable": seen.problem}), seen
        measured, problem = _incumbent_measurement(step, incumbent, model)
    found = {
        "against_incumbent": compare(
            own, (f"incumbent {incumbent.name} v{incumbent.version}", seen.predictions), **budget
        ),
        "incumbent_measurement": measured,
        "incumbent_unmeasured": problem,
    }
    return evidence.model_copy(update=found), seen


def _held_out(step: StepRun, entrant: str, variant: str) -> Predictions:
    if variant == "eager":
        eager = {model.entrant: model.artifacts["predictions"] for model in step.all(records.ModelRecord)}
        return Predictions.load(step.store.fetch(eager[entrant]))
    return Predictions.load(
        step.store.fetch(step.one(records.BenchmarkRecord).artifacts[f"predictions.{entrant}.{variant}"])
    )


def incumbent_predictions(
    step: StepRun, incumbent: records.Incumbent, model: Callable[[], Path]
) -> IncumbentPredictions:
    """Predictions of the incumbent, in the variant that is in use, for the test rows of this run.

    Args:
        model: returns the directory of its files (see `incumbent_model`); it is called only when they are needed.

    Raises:
        TrackingError: the registry cannot be asked.
    """
    data, _, known = _stored(step, incumbent)
    if data == step.one(records.DataRecord).key and known is not None:
        return IncumbentPredictions(Predictions.load(step.store.fetch(known)))
    try:
        predictions = _predict(step, incumbent, model())
    except (ModelError, DamagedArtifact) as error:
        return IncumbentPredictions(None, str(error))
    return IncumbentPredictions(predictions, made=keep_predictions(step, predictions))


def _incumbent_measurement(
    step: StepRun, incumbent: records.Incumbent, model: Callable[[], Path]
) -> tuple[records.Measurement | None, str]:
    """The measurement of the incumbent on the hardware of the benchmark, or None and the reason why there is none."""
    from podium.export.variants import obstacle

    benchmark, data = step.one(records.BenchmarkRecord), step.one(records.DataRecord)
    own = (incumbent.model_digest, incumbent.variant)
    known = next((item for item in benchmark.measurements if (item.model_digest, item.variant) == own), None)
    if known is not None:
        return known, ""
    hardware = hardware_of(step.run)
    if hardware != benchmark.hardware:
        return None, "this step runs on other hardware than the benchmark"
    if reason := obstacle(incumbent.variant, hardware["device"]):
        return None, reason
    name = f"{incumbent.name}-v{incumbent.version}"
    known_as = {"entrant": name, "model": incumbent.model_digest}
    session = measuring_session(step)
    key = lone_measurement_key(step.config.benchmark, data.task, session.rows, known_as, incumbent.variant, hardware)
    try:
        trusted = incumbent.trust_remote_code
        files = ModelFiles(model(), name, incumbent.variant, incumbent.model_digest, trusted)
        request = MeasurementRequest(files, key, {"data": data.key})
        (record,) = measuring_service(step, hardware).measure([request], session)
        return record.measurement, ""
    except (BenchmarkError, ModelError, DamagedArtifact) as error:
        return None, str(error)


def incumbent_model(step: StepRun, incumbent: records.Incumbent, folder: Path) -> Path:
    """Directory of the incumbent's files: from the store, or else downloaded from the registry into `folder`.

    Raises:
        DamagedArtifact: neither holds what was registered.
        TrackingError: the registry cannot be asked.
    """
    registered = incumbent.files_digest or incumbent.model_digest
    _, known, _ = _stored(step, incumbent)
    if known is not None and known.digest == registered:
        return step.store.fetch(known)
    found = step.tracker.download_model(incumbent.name, incumbent.version, folder)
    if digest_tree(found) != registered:
        shutil.rmtree(found)
        raise DamagedArtifact(
            f"the files of {incumbent.name} version {incumbent.version} in the registry must be those that were "
            "registered, but their digest differs; force the promotion, or roll back to a whole version"
        )
    return found


def _stored(
    step: StepRun, incumbent: records.Incumbent
) -> tuple[str, records.ArtifactRef | None, records.ArtifactRef | None]:
    """What the store holds of the incumbent: the key of its data, its files, and its predictions of their test rows."""
    refit = step.store.get(records.ModelRecord, incumbent.model_key)
    if refit is None:
        return "", None, None
    data = refit.parents.get("data", "")
    if incumbent.variant == "eager":
        return data, refit.artifacts["model"], refit.artifacts["predictions"]
    decision = step.store.get(records.DecisionRecord, incumbent.decision_key) if incumbent.decision_key else None
    benchmark = step.store.get(records.BenchmarkRecord, decision.parents["benchmark"]) if decision else None
    form, built = f"{refit.entrant}.{incumbent.variant}", benchmark.artifacts if benchmark else {}
    return data, built.get(f"model.{form}"), built.get(f"predictions.{form}")


def _predict(step: StepRun, incumbent: records.Incumbent, model: Path) -> Predictions:
    """Its predictions in the variant that is in use, on the CPU where the device of the benchmark cannot run it."""
    from podium.data.artifact import DataArtifact
    from podium.execution.slots import core_slots
    from podium.export.variants import obstacle
    from podium.inference.predictor import PredictorSpec, load_predictor, predict

    data, device = step.one(records.DataRecord), hardware_of(step.run)["device"]
    rows = DataArtifact(step.store.fetch(data.artifacts["data"])).test
    with core_slots(available_cores()) as threads:
        spec = PredictorSpec(
            model_dir=model,
            variant=incumbent.variant,
            task=data.task,
            labels=None,
            trust_remote_code=incumbent.trust_remote_code,
            device="cpu" if obstacle(incumbent.variant, device) else device,
            threads=threads,
        )
        return predict(load_predictor(spec), data.task, data.labels, rows)

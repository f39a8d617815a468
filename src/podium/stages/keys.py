"""The key of every step's result: which inputs shape it.

Stages, `--dry-run` and the mutation test all call these, so there is one statement of what a result
depends on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from podium import records
from podium.config.benchmark import BenchmarkConfig, VariantName
from podium.config.entrants import ENTRANTS
from podium.config.profile import ProfileConfig
from podium.config.schema import PodiumConfig
from podium.config.section import Section
from podium.devices.hardware import fingerprint
from podium.evaluation.guessing import METHOD as GUESSING_METHOD
from podium.export.variants import FORMS, OPSET, environment
from podium.keys import Key, canonical_json, digest_bytes
from podium.stages.step import StepInputs


def data_key(config: PodiumConfig, sources: Mapping[str, str]) -> Key:
    """Key of the prepared data: its source bytes, and how they are read and split."""
    return Key.of("data", dataset=config.dataset, seed=config.seed, sources=dict(sources))


def plan_key(inputs: StepInputs) -> Key:
    """Key of a plan: the data, the entrants, what the config gives it to start from, and the machine.

    Where nothing is planned it has the data and the names of the entrants only.
    """
    config, data = inputs.config, inputs.one(records.DataRecord).artifacts["data"].digest
    if not config.plan.decides:
        return Key.of("plan", data=data, entrants=list(config.entrants))
    return Key.of(
        "plan",
        data=data,
        wanted=config.plan,
        entrants={name: identity_of(config, name) for name in config.entrants},
        training=config.training,
        linear=config.linear,
        llm=config.llm,
        hpo=config.hpo,
        max_trials=config.hpo.max_trials,
        seed=config.seed,
        hardware=fingerprint("auto", None),
    )


def baseline_key(inputs: StepInputs) -> Key:
    """Key of the baseline: the data, and the seed of its intervals."""
    return Key.of("baseline", data=inputs.one(records.DataRecord).artifacts["data"].digest, seed=inputs.config.seed)


def family_key(config: PodiumConfig, data: records.DataRecord, entrant: str) -> Key:
    """Key of a study family: studies of entrants of one kind that share everything else."""
    return Key.of("family", **_study_parts(config, data, entrant))


Prior = Mapping[str, Sequence[records.TrialRecord]]
"""Trials that a search learns from before its own, by key of their study."""


def identity_of(config: PodiumConfig, entrant: str) -> dict[str, Any]:
    """What is trained, whatever its hyperparameters; a ModelError where it is not there."""
    entry = config.entrants[entrant]
    kind = ENTRANTS.get(entry.kind)
    return {"kind": entry.kind, **kind.identity(entry), **kind.files(config)}


def study_key(
    config: PodiumConfig,
    data: records.DataRecord,
    entrant: str,
    identity: Mapping[str, Any],
    prior: Prior | None = None,
) -> Key:
    """Key of a study. Its trial budget is left out, so that a study can be extended.

    The entrant's name is in it, since the results of the study carry that name. Of a warm start it holds what the
    search can learn from: params and scores of the trials that succeeded.
    """
    learnt = {
        study: [{"params": trial.params, "score": trial.score} for trial in trials if trial.status == "succeeded"]
        for study, trials in (prior or {}).items()
    }
    return Key.of(
        "study",
        **_study_parts(config, data, entrant),
        name=entrant,
        entrant=dict(identity),
        warm_start={study: digest_bytes(canonical_json(trials)) for study, trials in learnt.items()},
    )


def refit_key(
    config: PodiumConfig, data: records.DataRecord, study: records.StudyRecord, identity: Mapping[str, Any]
) -> Key:
    """Key of a refitted model: data, entrant, the training it ends with, and the trial it comes from."""
    return Key.of(
        "refit",
        data=data.artifacts["data"].digest,
        entrant=dict(identity),
        settings=refit_settings(config, study),
        trial={"study": study.key, "number": study.best, "score": study.best_score},
        metric=study.metric,
        seed=config.seed,
    )


def refit_settings(config: PodiumConfig, study: records.StudyRecord) -> Section:
    """The hyperparameters of the best trial as a refit has them."""
    kind = ENTRANTS.get(config.entrants[study.entrant].kind)
    settled: Section = kind.settled(best_settings(config, study), list(study.best_trial.fold_metrics.values()))
    return settled


def best_settings(config: PodiumConfig, study: records.StudyRecord, trial: bool = False) -> Section:
    """The hyperparameters of the best trial within the budget of the refit or, with `trial`, of a trial."""
    kind = ENTRANTS.get(config.entrants[study.entrant].kind)
    settings: Section = kind.settings(**{**kind.settings_in(config, trial).model_dump(), **study.best_trial.params})
    return settings


def selection_key(inputs: StepInputs) -> Key:
    """Key of a selection: the evidence of candidates and baselines, and how it is compared."""
    studies, config = inputs.all(records.StudyRecord), inputs.config
    counts = {study.entrant: sum(trial.status == "succeeded" for trial in study.trials) for study in studies}
    kept = {study.entrant: study.artifacts.get("out_of_fold") for study in studies}
    predicted = {entrant: ref.digest for entrant, ref in kept.items() if ref is not None}
    candidates = {
        model.entrant: {
            "refit": model.key,
            "predictions": model.artifacts["predictions"].digest,
            "model": model.artifacts["model"].digest,
            "cv_score": model.cv_score,
            "trials": counts[model.entrant],
            "out_of_fold": predicted.get(model.entrant),
        }
        for model in inputs.all(records.ModelRecord)
    }
    part, baselines = config.selection, inputs.one(records.BaselineRecord).artifacts
    return Key.of(
        "selection",
        candidates=candidates,
        baselines={name: predictions.digest for name, predictions in baselines.items()},
        guessing=GUESSING_METHOD,
        metric=config.hpo.metric,
        confidence=part.confidence,
        resamples=part.resamples,
        min_trials=part.min_trials,
        seed=config.seed,
    )


def variant_key(
    config: PodiumConfig, data: records.DataRecord, model: records.ModelRecord, variant: VariantName, device: str
) -> Key:
    """Key of a deployable variant: the model, how it is made and with what, and how it is checked."""
    return Key.of(
        "variant",
        **_measured(config, model),
        data=data.artifacts["data"].digest,
        predictions=model.artifacts["predictions"].digest,
        metric=model.metric,
        max_quality_loss=config.benchmark.max_quality_loss,
        seed=config.seed,
        **_made(variant, device),
    )


def measurement_key(
    config: PodiumConfig,
    data: records.DataRecord,
    model: records.ModelRecord,
    variant: VariantName,
    hardware: Mapping[str, str],
) -> Key:
    """Key of one measurement: artifact, variant, scenario and hardware."""
    how = _made(variant, hardware["device"])
    return Key.of("measurement", **_benchmark_parts(config, data, hardware), **_measured(config, model), **how)


def lone_measurement_key(
    part: BenchmarkConfig,
    task: str,
    rows: Sequence[Any],
    model: Mapping[str, Any],
    variant: VariantName,
    hardware: Mapping[str, str],
) -> Key:
    """Key of one measurement outside a run: the rows themselves, and what the model is and how it is loaded."""
    return Key.of(
        "measurement",
        task=task,
        rows=digest_bytes(canonical_json(list(rows))),
        model=dict(model),
        scenario=_scenario(part, ("generation",) if task == "generation" else ()),
        hardware=dict(hardware),
        **_made(variant, hardware["device"]),
    )


def benchmark_key(
    config: PodiumConfig, data: records.DataRecord, models: Sequence[records.ModelRecord], hardware: Mapping[str, str]
) -> Key:
    """Key of the step's result: all measurements of a selection's champions on one piece of hardware."""
    return Key.of(
        "benchmark",
        **_benchmark_parts(config, data, hardware),
        models={model.entrant: _measured(config, model) for model in models},
        variants=[_made(variant, hardware["device"]) for variant in config.benchmark.variants],
        max_quality_loss=config.benchmark.max_quality_loss,
    )


def decision_key(
    run: records.RunRecord,
    selection: records.SelectionRecord,
    benchmark: records.BenchmarkRecord,
    incumbent: records.Incumbent | None,
) -> Key:
    """Key of a decision: the evidence, the policy, the incumbent it was judged against, and what was rolled back."""
    policy, candidates = run.config.selection, {entry.model_digest for entry in selection.leaderboard}
    predictions = {name: ref.digest for name, ref in benchmark.artifacts.items() if name.startswith("predictions.")}
    return Key.of(
        "decision",
        rule=records.RULE,
        margin=policy.margin,
        selection=selection.key,
        predictions=predictions,
        measurements=[item.model_dump(mode="json") for item in benchmark.measurements],
        constraints=policy.constraints,
        cost=policy.cost,
        promotion=policy.promotion,
        model_name=run.config.model_name,
        incumbent=incumbent.model_dump() if incumbent else None,
        withdrawn={name: why for name, why in run.withdrawn.items() if records.refit_of(name) in candidates},
    )


def points_key(inputs: StepInputs, study: records.StudyRecord) -> Key:
    """Key of the cross-validations of a study's best trial on shares of the rows; it leaves out which shares."""
    config, entrant = inputs.config, study.entrant
    return Key.of(
        "curve-points",
        data=inputs.one(records.DataRecord).artifacts["data"].digest,
        entrant=identity_of(config, entrant),
        settings=best_settings(config, study),
        metric=study.metric,
        seed=config.seed,
    )


def curve_key(inputs: StepInputs) -> Key:
    """Key of the winner's learning curve: its trainings, the scores of its trial, and how it is extrapolated."""
    config, decision = inputs.config, inputs.one(records.DecisionRecord)
    study = next((one for one in inputs.all(records.StudyRecord) if one.entrant == decision.winner), None)
    if study is None or not config.learning_curve.fractions:
        return Key.of("curve", learning_curve=config.learning_curve, decision=decision.key)
    return Key.of(
        "curve",
        learning_curve=config.learning_curve,
        points=points_key(inputs, study).digest,
        trial={"study": study.key, "number": study.best, "scores": study.best_trial.fold_scores},
        held_out=decision.evidence.score_of(study.entrant).model_dump(),
        rows=decision.evidence.rows,
        confidence=config.selection.confidence,
    )


def profile_key(inputs: StepInputs) -> Key:
    """Key of the winner's profile: its files and variant, the data that rows are drawn from, tools and machine."""
    from podium.stages.profile import model_of_winner

    config, decision = inputs.config, inputs.one(records.DecisionRecord)
    files = model_of_winner(inputs)
    if not config.profile.tools or decision.winner is None or files is None:
        return Key.of("profile", profile=config.profile, decision=decision.key)
    return Key.of(
        "profile",
        **_profiled(config.profile, fingerprint(config.profile.device, config.profile.threads)),
        name=decision.winner,
        model=files.digest,
        variant=decision.winner_variant or "eager",
        trust_remote_code=config.entrants[decision.winner].trust_remote_code,
        data=inputs.one(records.DataRecord).artifacts["data"].digest,
        seed=config.seed,
    )


def lone_profile_key(
    model: Mapping[str, Any], rows: Sequence[Any], config: ProfileConfig, hardware: Mapping[str, str]
) -> Key:
    """Key of a profile outside a run: what the model is and how it is loaded, and the rows themselves."""
    return Key.of(
        "profile", **_profiled(config, hardware), model=dict(model), rows=digest_bytes(canonical_json(list(rows)))
    )


def report_key(inputs: StepInputs) -> Key:
    """Key of a report: the content of every result it shows and of what it says of failed entrants; how many texts."""
    shown = {f"{one.kind}/{one.key}": digest_record(one) for one in inputs.results}
    shown |= {f"{one.kind}/{one.title}": digest_record(one) for one in inputs.failed}
    return Key.of("report", examples=inputs.config.report.examples, results=shown)


def digest_record(record: records.Record) -> str:
    """Digest of a record's content: one key can hold a longer study later."""
    return digest_bytes(record.to_json().encode())


def _study_parts(config: PodiumConfig, data: records.DataRecord, entrant: str) -> dict[str, Any]:
    name = config.entrants[entrant].kind
    kind = ENTRANTS.get(name)
    return {
        "entrant_kind": name,
        "data": data.artifacts["data"].digest,
        "settings": kind.settings_in(config, trial=True),
        # The settings of a trial have the epochs that `hpo.epochs` gives them.
        "hpo": config.hpo.model_copy(
            update={"space": kind.space_in(config), "linear_space": {}, "llm_space": {}, "epochs": None}
        ),
        "seed": config.seed,
    }


def _benchmark_parts(config: PodiumConfig, data: records.DataRecord, hardware: Mapping[str, str]) -> dict[str, Any]:
    digest, scenario = data.artifacts["data"].digest, _scenario(config.benchmark)
    return {"data": digest, "scenario": scenario, "hardware": dict(hardware), "seed": config.seed}


def _scenario(part: BenchmarkConfig, always: tuple[str, ...] = ()) -> dict[str, Any]:
    """How it is measured; `always` names scenarios with settings that are measured whatever the config adds."""
    own = {name: getattr(part, name) for name in ("throughput_batch_size", "repetitions", "samples", "max_seconds")}
    return {**own, "scenarios": {name: part.settings_of(name) for name in (*always, *part.scenarios)}}


def _profiled(config: ProfileConfig, hardware: Mapping[str, str]) -> dict[str, Any]:
    """The workload, the hardware, and what it is profiled with."""
    from podium.profiling.versions import versions

    return {"profile": config, "hardware": dict(hardware), "versions": versions(config)}


def _measured(config: PodiumConfig, model: records.ModelRecord) -> dict[str, Any]:
    return {
        "entrant": model.entrant,
        "model": model.artifacts["model"].digest,
        "trust_remote_code": config.entrants[model.entrant].trust_remote_code,
    }


def _made(variant: VariantName, device: str) -> dict[str, Any]:
    made_with = environment(variant, device)
    return {"variant": variant, "tolerance": FORMS[variant].tolerance, "opset": OPSET, "environment": made_with}

"""Step `curve`: whether more rows would make the winner better, by trainings on nested shares of the rows there are."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING

from podium.config.entrants import ENTRANTS
from podium.devices.hardware import available_cores
from podium.errors import KilledFromOutside
from podium.events import emit
from podium.hpo.ledger import Claim, TrialLedger
from podium.keys import Key, keyed
from podium.records import (
    CurvePoint,
    CurveRecord,
    CurveValue,
    DataRecord,
    DecisionRecord,
    Reason,
    StudyRecord,
    TrialRecord,
)
from podium.stages.keys import best_settings, points_key
from podium.stages.step import StepInputs, StepRun

if TYPE_CHECKING:
    from podium.execution.calls import WorkerCall
    from podium.training.launch import FitSpec

_LEDGERS, _MAIN = "curves", "main"
_FRACTION = "data_fraction"
"""Label of a trial in the ledger: the share of the rows that it trains on."""
_PIECES = 40
"""Of the line that is drawn."""


def skipped_curve(inputs: StepInputs, key: Key) -> CurveRecord | None:
    """The result where there is nothing to train; None where there is. Its time is that of the decision."""
    decision = inputs.one(DecisionRecord)
    if not inputs.config.learning_curve.fractions:
        code, reason = "OFF", "learning_curve.fractions is empty"
    elif decision.winner is None:
        code, reason = "NO_WINNER", "no model is fit to ship"
    else:
        return None
    about = {"key": key.digest, "parents": {decision.kind: decision.key}, "created_at": decision.created_at}
    return CurveRecord(**about, status="skipped", code=code, reason=reason, winner=decision.winner)


def compute(step: StepRun) -> CurveRecord:
    """Cross-validate the winner on each share of the rows, and extrapolate its score to twice the rows.

    A training that fails leaves its point out. Points that an earlier session finished are kept, even if it was asked
    for other shares besides.
    """
    from podium.stages.train import training_spec

    config, data, winner = step.config, step.one(DataRecord), step.one(DecisionRecord).winner
    study = next(one for one in step.all(StudyRecord) if one.entrant == winner)
    of_winner, settings = replace(step, entrant=study.entrant), best_settings(config, study)
    key, ledger_name = points_key(step, study), step.run.run_id if config.run_mode == "force_new" else _MAIN
    work = step.store.cache(f"curve-{key.digest}-{ledger_name}")
    spec = training_spec(of_winner, settings, work, getattr(settings, "threads", None) or 1)
    fractions = (*config.learning_curve.fractions, 1.0)
    known = (
        {config.hpo.data_fraction: study.best_trial}
        if keyed(settings) == keyed(best_settings(config, study, trial=True))
        else {}
    )
    rows = _training_rows(spec, data.folds, sorted({*fractions, *known}))
    with step.store.lease(key):
        ledger = TrialLedger(step.store.documents(f"{_LEDGERS}/{key.digest}/{ledger_name}"))
        missing = [fraction for fraction in fractions if fraction not in known]
        trained = _trained(of_winner, spec, ledger, study.best_trial, missing)
    shutil.rmtree(work)
    points = tuple(
        _point(fraction, rows[fraction], trial, of_study=fraction in known)
        for fraction, trial in sorted({**trained, **known}.items())
    )
    record = CurveRecord(
        **step.stamp,
        status="ok",
        winner=study.entrant,
        metric=study.metric,
        rows=sum(count for split, count in data.rows.items() if split != "test"),
        points=points,
    )
    record = _extrapolated(step, record)
    _log(step, record)
    return record


def _training_rows(spec: FitSpec, folds: int, fractions: Sequence[float]) -> dict[float, float]:
    """How many rows a fold trains on, in the mean over the folds, by the share of the rows."""
    from podium.training.rows import open_data, rows_to_train

    artifact, found = open_data(spec), {}
    for fraction in fractions:
        parts = (spec.model_copy(update={"fold": fold, "data_fraction": fraction}) for fold in range(folds))
        found[fraction] = fmean(len(rows_to_train(part, artifact)) for part in parts)
    return found


def _trained(
    step: StepRun, spec: FitSpec, ledger: TrialLedger, best: TrialRecord, fractions: Sequence[float]
) -> dict[float, TrialRecord]:
    """The cross-validation of the best trial's hyperparameters on each share of the rows, as the ledger has it."""
    from podium.execution.failures import Purpose
    from podium.execution.workers import WorkerPool
    from podium.hpo.engines import MAX_KILLS, end_of_trial, log_of
    from podium.hpo.trial import CrossValidationTrial

    hpo, kind = step.config.hpo, ENTRANTS.get(spec.kind)
    trial = CrossValidationTrial(spec, step.one(DataRecord).folds, parallel_folds=hpo.parallel_folds)
    logs = (step.directory or spec.output) / "points"
    held = {float(one.labels[_FRACTION]): one for one in ledger.trials()}
    number, waiting = len(held), []
    # The largest first, so that no long training is left alone at the end.
    for fraction in sorted(fractions, reverse=True):
        if fraction not in held:
            waiting.append(ledger.begin(number, best.params, {_FRACTION: fraction}))
            number += 1
        elif held[fraction].status == "running":
            waiting.append(ledger.take_over(held[fraction].number))
    if not waiting:
        return {fraction: held[fraction] for fraction in fractions}
    at_once, preload = hpo.parallel_trials or available_cores(), (*kind.preload, CrossValidationTrial.__module__)
    with WorkerPool(at_once, spec.threads, preload, Purpose("the training", kind.memory_advice)) as pool:
        running: dict[WorkerCall, Claim] = {}
        while waiting or running:
            while waiting and len(running) < at_once:
                claim = waiting.pop(0)
                part = spec.model_copy(update={_FRACTION: claim.record.labels[_FRACTION]})
                call = pool.submit(replace(trial, spec=part), claim, ledger, log=log_of(logs, claim.number))
                running[call] = claim
            for call in pool.wait_any(list(running)):
                claim = running.pop(call)
                again = (KilledFromOutside,) if claim.record.kills < MAX_KILLS else ()
                try:
                    ended = end_of_trial(claim, ledger, call.wait, log_of(logs, claim.number), passed_on=again)
                except again:
                    waiting.insert(0, ledger.again(claim))
                else:
                    ledger.drop_predictions(ended)
                    emit("curve_point", fraction=ended.labels[_FRACTION], score=ended.score, error=ended.error)
                call.kill()
    return {float(one.labels[_FRACTION]): one for one in ledger.trials() if one.labels[_FRACTION] in fractions}


def _point(fraction: float, rows: float, trial: TrialRecord, of_study: bool) -> CurvePoint:
    whole = trial.status == "succeeded"
    return CurvePoint(
        fraction=fraction,
        rows=rows,
        scores=tuple(trial.fold_scores[fold] for fold in sorted(trial.fold_scores, key=int)) if whole else (),
        seconds=sum(trial.fold_seconds.values()),
        of_study=of_study,
        error="" if whole else trial.error or trial.status,
    )


def _extrapolated(step: StepRun, record: CurveRecord) -> CurveRecord:
    """The record with the expected scores of now and of twice the rows, or with the reason why they are not known."""
    from podium.evaluation.learning_curve import fit

    evidence, most = step.one(DecisionRecord).evidence, 2.0 * record.rows
    scored = [point for point in record.points if point.scores]
    # The held-out score is as uncertain as its rows are few; that of the folds likewise, with more rows.
    held_out = evidence.score_of(record.winner or "")
    error = (held_out.high - held_out.low) / 2 / NormalDist().inv_cdf((1 + held_out.confidence) / 2)
    error *= (evidence.rows / record.rows) ** 0.5
    sizes, scores = [point.rows for point in scored], [point.scores for point in scored]
    found = fit(sizes, scores, step.config.selection.confidence, step.config.seed, most)
    if isinstance(found, Reason):
        return record.model_copy(update={"status": "degraded", "code": found.code, "reason": found.text})
    span = [sizes[0] * (most / sizes[0]) ** (number / _PIECES) for number in range(_PIECES + 1)]
    return record.model_copy(
        update={
            "now": found.at(record.rows, error),
            "doubled": found.at(most, error),
            "gain": found.gain(record.rows, most),
            "line": tuple(CurveValue(rows=rows, score=found.at(rows)) for rows in span),
        }
    )


def _log(step: StepRun, record: CurveRecord) -> None:
    """Each point at its number of rows, so that MLflow draws the curve, and what twice the rows would bring."""
    tracker, run_id = step.tracker, step.mlflow_run_id
    tracker.log_params(run_id, {"entrant": record.winner, "status": record.status})
    for point in record.points:
        if point.scores:
            tracker.log_metrics(run_id, {f"cv_{record.metric}": fmean(point.scores)}, round(point.rows))
    tracker.log_metrics(run_id, record.figures)

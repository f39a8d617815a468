"""Trials and folds of a study, each recorded once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from podium.records import TrialRecord, TrialStatus
from podium.tracking.base import TAG_KEY, TAG_KIND, TAG_PARENT, TAG_TRIAL, RunStatus
from podium.tracking.runs import PARENT_RUN, Runs

CONTENT = "podium.trial.content"
"""Tag that holds the digest of the trial as it was recorded."""
CONTINUES = "podium.continues"
FOLD = "podium.fold"

_STATUS: dict[TrialStatus, RunStatus | None] = {
    "running": None,
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "pruned": "KILLED",
}


class Trials(Runs):
    """Recording trials."""

    def log_trial(self, step_run_id: str, trial: TrialRecord) -> None:
        step = self._call(f"looking up run {step_run_id}", lambda client: client.get_run(step_run_id))
        study = {name: value for name, value in step.data.tags.items() if name.startswith(TAG_PARENT)}
        if TAG_KEY in step.data.tags:
            study[f"{TAG_PARENT}study"] = step.data.tags[TAG_KEY]
        content = hashlib.sha256(trial.model_dump_json().encode()).hexdigest()
        found = self._recorded(step, study, trial.number)
        whole = next((run for run in found if _is_whole(run, trial, content)), None)
        if whole is not None:
            if (owner := whole.data.tags.get(PARENT_RUN, "")) != step_run_id:
                self.set_tags(step_run_id, {CONTINUES: owner})
            return
        here = [run for run in found if run.data.tags.get(PARENT_RUN) == step_run_id]
        unfinished = [run for run in found if run.info.status == "RUNNING"]
        self._record(step_run_id, next(iter(here + unfinished), None), study, trial, content)

    def _recorded(self, step: Any, study: Mapping[str, str], number: int) -> list[Any]:
        """Runs of the trial `number` of the step's study, latest first; of the step alone when it has no key."""
        owner = f"{TAG_PARENT}study" if TAG_KEY in step.data.tags else PARENT_RUN
        value = study.get(owner, step.info.run_id)
        query = f"tags.`{TAG_KIND}` = 'trial' AND tags.`{owner}` = '{value}' AND tags.`{TAG_TRIAL}` = '{number}'"
        experiment = step.info.experiment_id
        return list(self._call(f"looking up trial {number}", lambda client: client.search_runs([experiment], query)))

    def _record(
        self, step_run_id: str, existing: Any, study: Mapping[str, str], trial: TrialRecord, content: str
    ) -> None:
        started, ended = _milliseconds(trial.started_at), _milliseconds(trial.finished_at or trial.started_at)
        tags = {**study, TAG_TRIAL: str(trial.number)}
        if existing is None:
            run_id = self._create(_name(trial), {**tags, TAG_KIND: "trial"}, step_run_id, started)
        else:
            run_id = existing.info.run_id
            if existing.data.tags.get(PARENT_RUN) != step_run_id:
                self.set_tags(run_id, {PARENT_RUN: step_run_id})
        self._record_folds(run_id, self._folds(existing) if existing else {}, tags, trial)
        course = [m for f, s in trial.fold_scores.items() for m in self._metrics({"fold_score": s}, int(f), ended)]
        for step, report in enumerate(trial.reports, start=1):
            course += self._metrics({"running_score": report.value}, step, ended)
        figures = {"seconds": sum(trial.fold_seconds.values())}
        figures |= {f"mean_{name}": observed.latest for name, observed in trial.metrics.items()}
        figures |= {} if trial.score is None else {"score": trial.score}
        state: dict[str, str] = {"podium.trial.status": trial.status}
        state |= {f"podium.label.{name}": str(value) for name, value in trial.labels.items()}
        state |= {"podium.reason": trial.reason} if trial.reason else {}
        state |= {"podium.error": trial.error} if trial.error else {}
        params = [(key, str(value)) for key, value in trial.params.items()]
        self._log(run_id, params, [*course, *self._metrics(figures, at_ms=ended)], [*state.items(), (CONTENT, content)])
        if status := _STATUS[trial.status]:
            self._end(run_id, status, ended)

    def _record_folds(
        self, trial_run_id: str, known: Mapping[str, str], tags: Mapping[str, str], trial: TrialRecord
    ) -> None:
        at = _milliseconds(trial.started_at)
        for fold, score in sorted(trial.fold_scores.items(), key=lambda item: int(item[0])):
            fold_tags = {**tags, TAG_KIND: "fold", FOLD: fold}
            run_id = known.get(fold) or self._create(f"{_name(trial)}-fold-{fold}", fold_tags, trial_run_id, at)
            seconds = trial.fold_seconds.get(fold, 0.0)
            at = None if at is None else at + int(seconds * 1000)
            figures = {**trial.fold_metrics.get(fold, {}), "score": score, "seconds": seconds}
            self._log(run_id, metrics=self._metrics(figures, at_ms=at))
            self._end(run_id, "FINISHED", at)

    def _folds(self, trial_run: Any) -> dict[str, str]:
        query = f"tags.`{TAG_KIND}` = 'fold' AND tags.`{PARENT_RUN}` = '{trial_run.info.run_id}'"
        runs = self._call(
            f"looking up folds of run {trial_run.info.run_id}",
            lambda client: client.search_runs([trial_run.info.experiment_id], query),
        )
        return {run.data.tags[FOLD]: run.info.run_id for run in runs}

    def _end(self, run_id: str, status: RunStatus, at_ms: int | None) -> None:
        self._call(f"closing run {run_id}", lambda client: client.set_terminated(run_id, status, at_ms))


def _name(trial: TrialRecord) -> str:
    return f"trial-{trial.number:03d}"


def _is_whole(run: Any, trial: TrialRecord, content: str) -> bool:
    """Whether `run` already says everything that `trial` does."""
    return bool(run.data.tags.get(CONTENT) == content and run.info.status == (_STATUS[trial.status] or "RUNNING"))


def _milliseconds(moment: Any) -> int | None:
    return int(moment.timestamp() * 1000) if moment else None

"""The trials of a study, in its ledger and on the cluster: which is which, and how each ended."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from podium.cluster.client import Manifest, condition, name_of
from podium.errors import ComputationFailed, ConfigError, MetricsUnavailable, StudyFailed
from podium.events import emit
from podium.hpo.engines import OnTrial
from podium.hpo.experiment import Experiment, Objective, Params, Progress, Space
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.trial_container import TrialDocuments, merge, take_predictions
from podium.katib.search import params_from_texts
from podium.records import Observed, Report, TrialRecord

TRIAL_NAME = "katib_trial"
"""Label of a trial in the ledger: its name on the cluster."""

EXPERIMENT_NAME = "katib_experiment"
"""Label of a trial in the ledger: name of the Katib Experiment that began it."""

State = Literal["succeeded", "failed", "stopped", "unavailable"]

_STATES: dict[str, State] = {
    # In the order in which Katib reads a Trial's state from its conditions (`updateTrialsSummary`).
    "Killed": "failed",
    "Failed": "failed",
    "Succeeded": "succeeded",
    "EarlyStopped": "stopped",
    "MetricsUnavailable": "unavailable",
    # A Job that continues a trial has no collector.
    "Complete": "unavailable",
}


@dataclass(frozen=True)
class Ending:
    """How a trial ended on the cluster. What the trial itself wrote down takes precedence.

    Attributes:
        state: `unavailable` is an end without a value of the objective.
        failure: asks the cluster why the trial failed.
        observed: every metric that was collected, by name.
        message: what the cluster says.
        log: the command that shows the trial's output.
    """

    state: State
    failure: Callable[[], ComputationFailed] = lambda: ComputationFailed("the trial failed")
    observed: Mapping[str, Observed] = field(default_factory=dict)
    message: str = ""
    log: str = ""


class StudyTrials:
    """The trials of one study. Use it from one thread.

    Attributes:
        progress: of the study, over all trials that ended.
        followed: claims of the trials that this engine follows, by name on the cluster.
    """

    def __init__(
        self, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial, name_of: Callable[[int], str]
    ) -> None:
        """`name_of` gives a trial that Katib did not begin a name on the cluster, by its number."""
        self._experiment = experiment
        self._ledger = ledger
        self._on_trial = on_trial
        trials = ledger.trials()
        self.progress = Progress(experiment, trials)
        self.followed: dict[str, Claim] = {}
        self._trials = {str(trial.labels.get(TRIAL_NAME) or name_of(trial.number)): trial for trial in trials}

    @property
    def unfollowed(self) -> dict[str, TrialRecord]:
        """Trials that are `running` in the ledger and that nobody follows, by name on the cluster."""
        running = ((name, trial) for name, trial in self._trials.items() if trial.status == "running")
        return {name: trial for name, trial in running if name not in self.followed}

    def has_ended(self, name: str) -> bool:
        """Whether the ledger holds the result of a trial."""
        return name in self._trials and self._trials[name].status != "running"

    def of(self, experiment: str) -> list[TrialRecord]:
        """The trials of a Katib Experiment that ended."""
        ended = (trial for trial in self._trials.values() if trial.status != "running")
        return [trial for trial in ended if trial.labels.get(EXPERIMENT_NAME) == experiment]

    @property
    def experiments(self) -> set[str]:
        """Names of the Katib Experiments that began trials of the ledger."""
        names = (trial.labels.get(EXPERIMENT_NAME) for trial in self._trials.values())
        return {str(name) for name in names if name is not None}

    @property
    def count(self) -> int:
        """How many trials were begun."""
        return len(self._trials)

    def collect(self) -> None:
        """Enter the results of trials that ended while nobody followed them."""
        for name in [name for name in self.unfollowed if self._documents(name).has_ended]:
            self.follow(name)
            self.end(name, Ending("failed"))

    def follow(self, name: str) -> None:
        """Take over a trial that nobody follows."""
        self._started(name, self._ledger.take_over(self._trials[name].number))

    def begin(self, name: str, experiment: str, params: Params) -> None:
        """Enter a trial that Katib began, under the lowest free number."""
        taken = {trial.number for trial in self._trials.values()}
        number = next(number for number in itertools.count() if number not in taken)
        labels = {EXPERIMENT_NAME: experiment, TRIAL_NAME: name}
        self._started(name, self._ledger.begin(number, params, labels))

    def _started(self, name: str, claim: Claim) -> None:
        self.followed[name], self._trials[name] = claim, claim.record
        emit("trial_started", number=claim.number, params=claim.params, attempt=claim.attempt)

    def lose(self, name: str) -> None:
        """Enter the result of a followed trial that is gone from the cluster; without one it is to be continued."""
        self._trials[name] = self.followed.pop(name).record
        self.collect()

    def prepare(self, name: str) -> None:
        """Give the process that is to continue a trial what the ledger holds of it."""
        self._documents(name).prepare(self._trials[name])

    def end(self, name: str, ending: Ending) -> None:
        """Enter the result of a followed trial.

        Raises:
            PodiumError: the trial met an error that would end every trial alike; it stays running.
        """
        claim, documents = self.followed[name], self._documents(name)
        written = documents.record
        if (written is None or written.status == "running") and (error := documents.error) is not None:
            raise error
        merged = claim.record if written is None else merge(written, claim, self._ledger)
        take_predictions(documents, claim, self._ledger)
        record = self._entered(claim, merged, written, ending)
        del self.followed[name]
        self._trials[name] = record
        self.progress.add(record)
        self._on_trial(record)

    def _entered(self, claim: Claim, merged: TrialRecord, written: TrialRecord | None, ending: Ending) -> TrialRecord:
        """End a trial in the ledger: as it wrote itself, else as the cluster says."""
        ledger = self._ledger
        match written.status if written is not None else "running", ending.state:
            case ("succeeded", _) if written is not None and written.score is not None:
                return ledger.finish(claim, written.score, written.metrics)
            case ("pruned", _) if written is not None:
                return ledger.prune(claim, written.error or "", written.metrics)
            case ("failed", _) if written is not None:
                return ledger.fail(claim, written.reason or "", _located(written.error or "", ending.log))
            case (_, "stopped"):
                if not merged.reports and (score := self._score(ending)) is not None:
                    ledger.report(claim, Report(value=score))
                return ledger.prune(claim, ending.message or "Katib stopped the trial early", ending.observed)
            case (_, "succeeded"):
                if (score := self._score(ending)) is not None:
                    return ledger.finish(claim, score, ending.observed)
                error: ComputationFailed = MetricsUnavailable(
                    "the trial wrote no result and Katib has no finite metric"
                )
            case (_, "unavailable"):
                error = MetricsUnavailable(ending.message or "Katib found no metric in the output of the trial")
            case _:
                error = ending.failure()
        reason = type(error).__name__
        return ledger.fail(claim, reason, _located(f"{reason}: {error}", ending.log))

    def _score(self, ending: Ending) -> float | None:
        """The value of the objective that the cluster observed last, where it is finite."""
        observed = ending.observed.get(self._experiment.objective.metric)
        return observed.latest if observed is not None and math.isfinite(observed.latest) else None

    def _documents(self, name: str) -> TrialDocuments:
        return TrialDocuments(self._ledger.documents.below(name))


def ending_of(
    item: Manifest, objective: Objective, failure: Callable[[], ComputationFailed], log: str
) -> Ending | None:
    """How a Katib Trial, or the Job of a trial, ended, with the metrics that were collected; None while it runs."""
    found = condition(item, *_STATES)
    if found is None:
        return None
    observation = item["status"].get("observation") or {}
    observed = {
        str(metric["name"]): value
        for metric in observation.get("metrics") or ()
        if metric.get("name") in objective.strategies and (value := _observed(metric)) is not None
    }
    message = "it wrote no result" if found["type"] == "Complete" else str(found.get("message") or "")
    return Ending(_STATES[found["type"]], failure, observed, message, log)


def has_ended(trial: Manifest) -> bool:
    """Whether a Katib Trial ended."""
    return condition(trial, *_STATES) is not None


def assigned_to(trial: Manifest, space: Space) -> Params:
    """The params that Katib gave a Trial; StudyFailed where they do not lie in the space."""
    texts = {item["name"]: str(item["value"]) for item in trial["spec"].get("parameterAssignments") or ()}
    try:
        return params_from_texts(space, texts)
    except ConfigError as error:
        title = f"Trial {trial['metadata'].get('namespace', '')}/{name_of(trial)}"
        raise StudyFailed(f"{title}: what Katib assigns must lie in the space, but: {error}") from error


def _observed(metric: Mapping[str, Any]) -> Observed | None:
    """What Katib collected of a metric; it writes `unavailable` where it could not read a value."""
    values = []
    for name in ("min", "max", "latest"):
        with suppress(KeyError, ValueError):
            values.append((name, float(metric[name])))
    if not values or values[-1][0] != "latest":
        return None
    return Observed.of([value for _, value in values])


def _located(error: str, log: str) -> str:
    """An error whose first line also names its log."""
    headline, _, rest = error.partition("\n")
    return f"{headline}{f' (log: {log})' if log else ''}" + (f"\n{rest}" if rest else "")

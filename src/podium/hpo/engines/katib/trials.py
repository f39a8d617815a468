"""The study's ledger as the Katib engine keeps it: which trial of the cluster is which trial of the study."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from podium.cluster.resources import Manifest, condition, name_of
from podium.errors import ComputationFailed, ConfigError, MetricsUnavailable, StudyFailed
from podium.events import emit
from podium.hpo.engines.base import OnTrial
from podium.hpo.experiment import Experiment, Objective
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.progress import Progress
from podium.hpo.space import Params, Space
from podium.hpo.trial_documents import TrialDocuments, copy
from podium.katib.assignment import assigned
from podium.records import Observed, Report, TrialRecord

TRIAL_LABEL = "katib_trial"
EXPERIMENT_LABEL = "katib_experiment"
"""Labels of a trial in the ledger: the names of what executes it."""

State = Literal["succeeded", "failed", "stopped", "unavailable"]

_STATES: dict[str, State] = {
    # The order in which Katib tells a Trial's state from its conditions (`updateTrialsSummary`).
    "Killed": "failed",
    "Failed": "failed",
    "Succeeded": "succeeded",
    "EarlyStopped": "stopped",
    "MetricsUnavailable": "unavailable",
}


@dataclass(frozen=True)
class Ending:
    """How the cluster says that a trial ended; what the trial itself wrote down counts more.

    Attributes:
        state: `unavailable`: without a value of the objective.
        observed: every metric that was collected, by name.
        message: of the cluster.
        failure: finds out why it failed, asking the cluster.
        log: command that shows its output.
    """

    state: State
    failure: Callable[[], ComputationFailed]
    observed: Mapping[str, Observed] = field(default_factory=dict)
    message: str = ""
    log: str = ""


class StudyTrials:
    """Trials of one study, in the ledger and on the cluster. To be used from one thread.

    Attributes:
        progress: over all trials that ended.
        open: claims of the trials that are followed, by name on the cluster.
        left: trials that the ledger has as running and nobody follows, by name on the cluster.
    """

    def __init__(
        self, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial, name_of: Callable[[int], str]
    ) -> None:
        """Make a book.

        Args:
            experiment: of the study.
            ledger: of the study.
            on_trial: told of every trial that ends.
            name_of: names a trial that no Katib Trial stands for, by its number.
        """
        self._experiment = experiment
        self._ledger = ledger
        self._on_trial = on_trial
        trials = ledger.trials()
        self.progress = Progress(experiment, trials)
        self.open: dict[str, Claim] = {}
        self.left: dict[str, TrialRecord] = {}
        self._ended: dict[str, TrialRecord] = {}
        self._numbers = {trial.number for trial in trials}
        self._lowest = 0
        for trial in trials:
            name = str(trial.labels.get(TRIAL_LABEL) or name_of(trial.number))
            (self.left if trial.status == "running" else self._ended)[name] = trial

    def has_ended(self, name: str) -> bool:
        """Whether the ledger has the result of a trial."""
        return name in self._ended

    def of(self, experiment: str) -> list[TrialRecord]:
        """The trials that ended and that a Katib Experiment executed."""
        return [trial for trial in self._ended.values() if trial.labels.get(EXPERIMENT_LABEL) == experiment]

    @property
    def experiments(self) -> set[str]:
        """Names of the Katib Experiments that trials of the ledger belong to."""
        trials = (*self._ended.values(), *self.left.values(), *(claim.record for claim in self.open.values()))
        return {str(trial.labels[EXPERIMENT_LABEL]) for trial in trials if EXPERIMENT_LABEL in trial.labels}

    @property
    def count(self) -> int:
        """Trials that were begun."""
        return len(self._numbers)

    def collect(self) -> None:
        """Enter the results of trials that were left running and have ended since."""
        for name in [name for name in self.left if self._remote(name).has_ended]:
            self.follow(name)
            self.end(name, Ending("failed", failure=_unknown))

    def follow(self, name: str) -> Claim:
        """Take over a trial that was left running."""
        trial = self.left[name]
        claim = self.open[name] = self._ledger.take_over(trial.number)
        del self.left[name]
        self._started(claim)
        return claim

    def begin(self, name: str, experiment: str, params: Params) -> None:
        """Enter a trial that Katib began, under the lowest free number."""
        number = self._lowest = next(n for n in itertools.count(self._lowest) if n not in self._numbers)
        labels = {EXPERIMENT_LABEL: experiment, TRIAL_LABEL: name}
        self.open[name] = self._ledger.begin(number, params, labels)
        self._numbers.add(number)
        self._started(self.open[name])

    def lose(self, name: str) -> None:
        """A followed trial is gone from the cluster: enter its result if it has one, or leave it to be continued."""
        claim = self.open.pop(name, None)
        if claim is not None:
            self.left[name] = claim.record
            self.collect()

    def prepare(self, name: str) -> None:
        """Hand what the ledger has of a trial to the process that is to continue it."""
        self._remote(name).prepare(self.left[name])

    def end(self, name: str, ending: Ending) -> None:
        """Enter the result of a followed trial, and tell of it.

        Raises:
            PodiumError: the trial met what would end every trial alike; it stays running.
        """
        claim, remote = self.open[name], self._remote(name)
        found = remote.record
        if (found is None or found.status == "running") and (error := remote.error) is not None:
            raise error
        merged = claim.record if found is None else copy(found, claim, self._ledger)
        record = self._entered(claim, merged, found, ending)
        del self.open[name]
        self._ended[name] = record
        self.progress.add(record)
        self._on_trial(record)

    def _entered(self, claim: Claim, merged: TrialRecord, found: TrialRecord | None, ending: Ending) -> TrialRecord:
        """End the trial in the ledger as it said itself, else as the cluster says."""
        ledger = self._ledger
        match found.status if found is not None else "running", ending.state:
            case ("succeeded", _) if found is not None and found.score is not None:
                return ledger.finish(claim, found.score, found.metrics)
            case ("pruned", _) if found is not None:
                return ledger.prune(claim, found.error or "", found.metrics)
            case ("failed", _) if found is not None:
                return ledger.fail(claim, found.reason or "", _located(found.error or "", ending.log))
            case (_, "stopped"):
                return self._pruned(claim, merged, ending)
            case (_, "succeeded"):
                observed = ending.observed.get(self._experiment.objective.metric)
                if observed is not None and math.isfinite(observed.latest):
                    return ledger.finish(claim, observed.latest, ending.observed)
                error: ComputationFailed = MetricsUnavailable(
                    "the trial wrote no result and Katib has no finite metric"
                )
            case (_, "unavailable"):
                error = MetricsUnavailable(ending.message or "Katib found no metric in the output of the trial")
            case _:
                error = ending.failure()
        reason = type(error).__name__
        return ledger.fail(claim, reason, _located(f"{reason}: {error}", ending.log))

    def _pruned(self, claim: Claim, merged: TrialRecord, ending: Ending) -> TrialRecord:
        observed = ending.observed.get(self._experiment.objective.metric)
        if not merged.reports and observed is not None and math.isfinite(observed.latest):
            self._ledger.report(claim, Report(value=observed.latest))
        return self._ledger.prune(claim, ending.message or "Katib stopped the trial early", ending.observed)

    def _started(self, claim: Claim) -> None:
        emit("trial_started", number=claim.number, params=claim.params, attempt=claim.attempt)

    def _remote(self, name: str) -> TrialDocuments:
        return TrialDocuments(self._ledger.below(name))


def ending_of(
    trial: Manifest, objective: Objective, failure: Callable[[], ComputationFailed], log: str
) -> Ending | None:
    """How a Katib Trial ended, with what was collected, or None while it has not."""
    state = state_of(trial)
    if state is None:
        return None
    observation = (trial.get("status") or {}).get("observation") or {}
    observed = {
        str(metric["name"]): value
        for metric in observation.get("metrics") or ()
        if metric.get("name") in objective.strategies and (value := _observed(metric)) is not None
    }
    message = (condition(trial, *_STATES) or {}).get("message")
    return Ending(state, failure, observed, str(message or ""), log)


def state_of(trial: Manifest) -> State | None:
    """How a Katib Trial ended, or None while it has not."""
    found = condition(trial, *_STATES)
    return None if found is None else _STATES[found["type"]]


def assigned_to(trial: Manifest, space: Space) -> Params:
    """The params that Katib gave a Trial.

    Raises:
        StudyFailed: they are none of the space.
    """
    texts = {item["name"]: str(item["value"]) for item in trial["spec"].get("parameterAssignments") or ()}
    try:
        return assigned(space, texts)
    except ConfigError as error:
        title = f"Trial {trial['metadata'].get('namespace', '')}/{name_of(trial)}"
        raise StudyFailed(f"{title}: what Katib assigns must lie in the space, but: {error}") from error


def by_age(trials: Iterable[Manifest]) -> list[Manifest]:
    """Trials in the order in which Katib made them."""
    return sorted(trials, key=lambda item: (str(item["metadata"]["creationTimestamp"]), name_of(item)))


def _observed(metric: Mapping[str, Any]) -> Observed | None:
    try:
        latest = float(metric["latest"])
        return Observed(min=_number(metric, "min", latest), max=_number(metric, "max", latest), latest=latest)
    except (KeyError, ValueError):
        return None


def _number(metric: Mapping[str, Any], name: str, latest: float) -> float:
    """A bound that Katib has as `unavailable` where it could not read the values is that of the latest."""
    try:
        return float(metric[name])
    except (KeyError, ValueError):
        return latest


def _located(error: str, log: str) -> str:
    """An error with the place of its log behind the first line."""
    headline, _, rest = error.partition("\n")
    return f"{headline}{f' (log: {log})' if log else ''}" + (f"\n{rest}" if rest else "")


def _unknown() -> ComputationFailed:
    return ComputationFailed("the trial failed")

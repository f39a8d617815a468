"""The engine of a cluster: a Katib Experiment suggests and starts trials, and the ledger remembers them.

Katib and the pods of trials go on without this process. It creates or adopts the Experiment, follows its Trials, and
enters what their pods wrote down into the ledger of the study.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from podium.cluster.client import EXPERIMENT, TRIAL, Kind, Manifest, ObjectMetadata, condition, name_of
from podium.cluster.jobs import Jobs
from podium.cluster.manifests import KEY_LABEL, JobSpec, key_label
from podium.config.parameters import FloatParameter
from podium.errors import ClusterError, ConfigError, StudyFailed
from podium.execution.ending import signals_ignored, sigterm_unwinds
from podium.hpo.engines import Engine, OnTrial
from podium.hpo.engines.katib.experiments import (
    LEDGER_ANNOTATION,
    STUDY_LABEL,
    Experiments,
    is_over,
    job_for_trial,
    study_digest,
)
from podium.hpo.engines.katib.trials import (
    StudyTrials,
    assigned_to,
    ending_of,
    has_ended,
)
from podium.hpo.experiment import Experiment, Progress
from podium.hpo.ledger import TrialLedger
from podium.katib.experiment import EXPERIMENT_LABEL, trial_name

REFUSED_SECONDS = 30.0
"""How long no Trial may begin until it is looked for a refusal."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KatibEngine(Engine):
    """Runs trials as those of a Katib Experiment. See `Engine` for what it promises, and here for what differs.

    Suggestions: Katib's services make them, and trials are numbered in their order.

    Budget: Katib keeps to it. The ledger learns of starts and ends at every look, and may show more at once than ran.

    Ownership: an Experiment stays after the study ended by itself, for Katib's own tools and to be extended. Everything
    that belongs to the study carries its label, and only that is changed or deleted. A run that is stopped, or that
    fails for another reason than an API server that does not answer, deletes an Experiment that is running.

    Resume: a running Experiment is adopted. One that used up its budget gets a larger one where its resume policy and
    the spec allow it. Otherwise another Experiment continues the study, with a number behind its name. Before that,
    trials that were left running and whose Katib Trial is gone are continued as Jobs of their own. Results that pods
    wrote down while no engine looked are entered first.

    Errors: a pod that does not start in time, or never can, ends the study with the reason.

    Attributes:
        jobs: the Jobs of the namespace in which the Experiment is created.
        job: executes a trial that is not named yet and has no params; its process writes the documents
            `ledger.documents.below(name of the trial)`. Name, key and metadata are set here.
        metadata: labels, annotations and owner of the Experiment.
        keep_on_cancel: leave the Experiment running when this process is stopped.
    """

    jobs: Jobs
    job: JobSpec
    metadata: ObjectMetadata = field(default_factory=ObjectMetadata)
    keep_on_cancel: bool = False

    def run(self, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial) -> None:
        """See `Engine`.

        Raises:
            ConfigError: Katib cannot search as the experiment says; nothing was created.
            ClusterError: the cluster refuses, or an Experiment of that name belongs to something else.
        """
        _check(experiment)
        if Progress(experiment, ledger.trials()).outcome is not None:
            return
        session = _Session(self, experiment, ledger, on_trial)
        with sigterm_unwinds():
            session.run()


class _Session:
    """One call of `KatibEngine.run`."""

    def __init__(self, engine: KatibEngine, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial) -> None:
        place, metadata = ledger.documents.place, engine.metadata
        own = ObjectMetadata({STUDY_LABEL: study_digest(place)}, {LEDGER_ANNOTATION: place})
        job = replace(engine.job, key=place, metadata=own)
        self._job = replace(job, metadata=replace(own, owner=metadata.owner))
        self._jobs = engine.jobs
        self._cluster = engine.jobs.cluster
        self._keep_on_cancel = engine.keep_on_cancel
        self._experiment = experiment
        self._experiments = Experiments(self._cluster, metadata, experiment, place, job)
        self._trials = StudyTrials(experiment, ledger, on_trial, partial(trial_name, self._experiments.whole))
        self._current: str | None = None
        self._search_ended = False

    def run(self) -> None:
        """Go on until the study is over, and leave nothing running."""
        try:
            self._experiments.check_namespace()
            self._trials.collect()
            self._catch_up()
            while self._goes_on():
                self._current = self._experiments.adopted(self._trials)
                if self._current is None and self._trials.unfollowed:
                    self._continue_unfollowed()
                else:
                    self._search()
        except BaseException as error:
            if isinstance(error, ClusterError) and error.status is None:
                _log.warning("what runs on the cluster is left there; the same command goes on with it")
            elif not (self._keep_on_cancel and isinstance(error, (KeyboardInterrupt, SystemExit))):
                self._stop()
            raise
        self._come_to_rest()

    def _goes_on(self) -> bool:
        return self._trials.progress.outcome is None and not self._search_ended

    def _seen(self, kind: Kind, selector: str) -> Iterator[list[Manifest]]:
        """The objects of a kind, asked for again and again; trials that are gone are no longer followed."""
        while True:
            found = self._cluster.find(kind, selector)
            for name in self._trials.followed.keys() - set(map(name_of, found)):
                self._trials.lose(name)
            yield found
            self._jobs.check_started(selector, self._job, list(self._trials.followed))
            time.sleep(self._jobs.poll_seconds)

    # Trials of a Katib Experiment.

    def _catch_up(self) -> None:
        """Enter the trials that ended while no engine looked."""
        for found in self._experiments.all():
            name = name_of(found)
            trials = self._cluster.find(TRIAL, f"{EXPERIMENT_LABEL}={name}")
            self._enter([trial for trial in trials if has_ended(trial)], name)

    def _search(self) -> None:
        """Follow an Experiment to its end: the running one, else one that can be extended, else a new one."""
        name = self._current or self._experiments.extended(self._trials) or self._experiments.created(self._trials)
        self._current, before = name, self._trials.count
        self._follow(name)
        if self._goes_on() and not self._trials.unfollowed and self._trials.count == before:
            raise StudyFailed(
                f"{self._cluster.title(EXPERIMENT, name)} must begin the trials that are left, but ended without one; "
                f"{self._experiments.explanation(name)}"
            )

    def _follow(self, name: str) -> None:
        """Enter what happens to the Trials of an Experiment until the study or the Experiment is over."""
        idle_since = time.monotonic()
        for trials in self._seen(TRIAL, f"{EXPERIMENT_LABEL}={name}"):
            ended = self._trials.progress.ended
            self._enter(trials, name)
            if not self._goes_on() or (not self._trials.followed and self._is_done(name)):
                return
            now = time.monotonic()
            if self._trials.followed or self._trials.progress.ended > ended:
                idle_since = now
            elif now - idle_since > REFUSED_SECONDS and (refusal := self._experiments.refusal(name)):
                raise StudyFailed(
                    f"{self._cluster.title(EXPERIMENT, name)} gets no suggestions: {refusal}; where Pod Security "
                    "refuses the pod, let katib-config give a securityContext to the algorithm, below `suggestions`"
                )
            elif now - idle_since > self._jobs.start_seconds:
                raise StudyFailed(
                    f"{self._cluster.title(EXPERIMENT, name)} must begin a Trial within cluster.start_seconds="
                    f"{self._jobs.start_seconds:g}, but none runs; {self._experiments.explanation(name)}"
                )

    def _enter(self, trials: list[Manifest], experiment: str) -> None:
        """Enter the present state of Trials until the study is over."""
        followed = set(self._trials.followed)
        left = [trial for trial in trials if not self._trials.has_ended(name_of(trial))]
        order = {} if followed.issuperset(map(name_of, left)) else self._experiments.order(experiment)
        for trial in sorted(left, key=lambda item: (name_of(item) not in followed, order.get(name_of(item), 0))):
            name = name_of(trial)
            if not self._goes_on():
                return
            if name in self._trials.unfollowed:
                self._trials.follow(name)
            elif name not in self._trials.followed:
                self._trials.begin(name, experiment, assigned_to(trial, self._experiment.space))
            self._end(trial)

    def _is_done(self, name: str) -> bool:
        """Whether an Experiment of which no trial runs is over or gone."""
        found, title = self._experiments.get(name), self._cluster.title(EXPERIMENT, name)
        if found is None:
            _log.warning("%s was deleted; the study goes on from its ledger", title)
            return True
        if not is_over(found):
            return False
        failed, ended = condition(found, "Failed"), condition(found, "Succeeded")
        if failed is not None and "suggestion" in str(failed.get("message", "")).lower():
            raise StudyFailed(f"{title}: {failed.get('message')}; {self._experiments.explanation(name)}")
        self._search_ended = ended is not None and ended.get("reason") == "ExperimentSuggestionEndReached"
        return True

    # Trials that were left running, and that no Katib Trial executes any more.

    def _continue_unfollowed(self) -> None:
        """Continue trials as Jobs, as many at once as the experiment says, until those have ended."""
        for name, trial in list(self._trials.unfollowed.items())[: self._experiment.parallel_trials]:
            self._trials.prepare(name)
            self._jobs.submit(job_for_trial(self._job, name, trial.params))
            self._trials.follow(name)
        for jobs in self._seen(self._job.kind, f"{KEY_LABEL}={key_label(self._job.key)}"):
            for job in jobs:
                if name_of(job) in self._trials.followed:
                    self._end(job)
            if not self._goes_on() or not self._trials.followed:
                return

    # Either way.

    def _end(self, item: Manifest) -> None:
        """Enter the result of a trial whose Katib Trial or Job has ended."""
        name = name_of(item)
        failure, log = partial(self._jobs.failure, item, self._job), self._jobs.log_command(self._job.kind, name)
        ending = ending_of(item, self._experiment.objective, failure, log)
        if ending is not None:
            self._trials.end(name, ending)

    def _come_to_rest(self) -> None:
        """Once the study is over, give Katib time to notice it, and then stop what still runs."""
        deadline = time.monotonic() + self._jobs.stop_seconds
        try:
            while self._current is not None and time.monotonic() < deadline:
                found = self._experiments.get(self._current)
                if found is None or is_over(found):
                    break
                time.sleep(min(0.5, self._jobs.stop_seconds / 50))
        except ClusterError as error:
            _log.warning("whether the study's Experiment is over is not known: %s", error)
        self._stop()

    def _stop(self) -> None:
        """Delete what runs, as far as the cluster allows it."""
        deadline = time.monotonic() + self._jobs.stop_seconds
        with signals_ignored():
            names = set(self._trials.followed)
            try:
                names |= set(self._experiments.stop(self._jobs.stop_seconds))
                # Trials go before their Jobs: Katib would create the Job of an existing Trial again.
                for name in names:
                    left = max(0.0, deadline - time.monotonic())
                    self._cluster.delete(TRIAL, name, wait_seconds=left, owned_first=False)
            except ClusterError as error:
                _log.warning("what runs on the cluster could not be deleted: %s", error)
            self._jobs.cancel(self._job.kind, names, self._job.key)


def _check(experiment: Experiment) -> None:
    """Check that Katib can search as the experiment says, before anything is created."""
    if experiment.early_stopping.name == "median":
        raise ConfigError(
            f"hpo.early_stopping: Katib has no rule {experiment.early_stopping.name!r}, which needs the reports of "
            "other trials at the same point; use medianstop, or set hpo.engine=embedded"
        )
    if experiment.algorithm.name != "bayesianoptimization":
        return
    for name, parameter in experiment.space.parameters.items():
        if isinstance(parameter, FloatParameter) and parameter.low <= 0:
            raise ConfigError(
                f"hpo.space.{name}.low: bayesianoptimization of Katib searches the logarithm of every number that is "
                f"not whole and needs a low above 0, but got {parameter.low:g}; raise it, take another algorithm, or "
                "set hpo.engine=embedded"
            )

"""The engine of a cluster: a Katib Experiment suggests and starts trials, the ledger remembers them.

Katib and the trials' pods go on without this process. It creates or adopts the Experiment, follows its Trials, and
enters what their pods wrote down into the study's ledger.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from podium.cluster.client import Change, Cluster
from podium.cluster.resources import TRIAL, Manifest, condition, name_of
from podium.errors import ClusterError, StudyFailed
from podium.execution.signals import signals_ignored, sigterm_unwinds
from podium.hpo.engines.base import Engine, OnTrial
from podium.hpo.engines.katib.experiments import Experiments, ObjectMetadata, is_over, selector_of
from podium.hpo.engines.katib.manifests import STUDY_LABEL, Names, check_for_katib
from podium.hpo.engines.katib.pods import TrialPods
from podium.hpo.engines.katib.trials import Ending, State, StudyTrials, assigned_to, by_age, ending_of, state_of
from podium.hpo.experiment import Experiment
from podium.hpo.ledger import TrialLedger
from podium.hpo.progress import Progress
from podium.katib.template import TrialTemplate
from podium.katib.trial import EXPERIMENT_LABEL, render, trial_name

TemplateFor = Callable[[Experiment, Mapping[str, str], str], TrialTemplate]
"""Makes the template of a study's trials, from the labels that their pods must carry and the place of the ledger."""

_log = logging.getLogger(__name__)


class KatibEngine(Engine):
    """Runs trials as those of a Katib Experiment. See `Engine` for what it promises, and here for what differs.

    Suggestions: Katib's services make them; trials get their numbers in the order in which Katib created them.

    Ownership: the Experiment stays where the study ended by itself, for Katib's own tools and to be extended. What
    belongs to the study carries its label, and only that is ever changed or deleted. A run that is stopped, or fails
    for another reason than an API server that does not answer, deletes an Experiment that goes on.

    Resume: an Experiment that goes on is adopted; one that used up its budget gets a larger one where its resume policy
    and the spec allow that; otherwise another continues the study, with a number behind its name. Trials left running
    whose Katib Trial is gone are continued before that, as Jobs of their own. Results that pods wrote down while no
    engine looked are entered first.

    Errors: a pod that does not start within `start_seconds`, or never can, ends the study with the reason.
    """

    def __init__(
        self,
        cluster: Cluster,
        template: TemplateFor,
        marks: ObjectMetadata | None = None,
        *,
        keep_on_cancel: bool = False,
        start_seconds: float = 900.0,
        stop_seconds: float = 20.0,
        quiet_seconds: int = 10,
    ) -> None:
        """Make an engine.

        Args:
            cluster: where the Experiment is created, in the client's namespace.
            template: of the trials; their process writes the documents `ledger.below(name of the Trial)`.
            marks: of what is created.
            keep_on_cancel: leave the Experiment running when this process is stopped.
            start_seconds: how long a pod may take to start.
            stop_seconds: how long to wait for what is deleted to be gone, and for Katib to see that a study is over.
            quiet_seconds: how often to look at Experiment and pods while no Trial changes.
        """
        self.cluster = cluster
        self.template = template
        self.marks = marks or ObjectMetadata()
        self.keep_on_cancel = keep_on_cancel
        self.start_seconds = start_seconds
        self.stop_seconds = stop_seconds
        self.quiet_seconds = quiet_seconds

    def run(self, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial) -> None:
        """See `Engine`.

        Raises:
            ConfigError: Katib cannot search as the experiment says; nothing was created.
            ClusterError: the cluster refuses, or an Experiment of that name belongs to something else.
        """
        check_for_katib(experiment)
        if Progress(experiment, ledger.trials()).outcome is not None:
            return
        session = _Session(self, experiment, ledger, on_trial)
        with sigterm_unwinds():
            session.run()


class _Session:
    """One call of `KatibEngine.run`."""

    def __init__(self, engine: KatibEngine, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial) -> None:
        names = Names(experiment.name, ledger.place)
        template = engine.template(experiment, {STUDY_LABEL: names.study}, ledger.place)
        self._engine = engine
        self._cluster = engine.cluster
        self._experiment = experiment
        self._experiments = Experiments(engine.cluster, engine.marks, experiment, ledger.place, names, template)
        self._pods = TrialPods(engine.cluster, template, engine.start_seconds)
        self._book = StudyTrials(experiment, ledger, on_trial, partial(trial_name, self._experiments.whole))
        self._current: str | None = None
        self._search_ended = False

    def run(self) -> None:
        """Go on until the study is over, and leave nothing running."""
        try:
            self._experiments.check_namespace()
            self._book.collect()
            self._catch_up()
            while self._goes_on():
                self._current = self._experiments.adopted(self._book)
                if self._current is None and self._book.left:
                    self._continue_left()
                else:
                    self._search()
        except (KeyboardInterrupt, SystemExit):
            if not self._engine.keep_on_cancel:
                self._stop()
            raise
        except ClusterError as error:
            if error.status is None:
                _log.warning("what runs on the cluster is left there; the same command goes on with it")
            else:
                self._stop()
            raise
        except BaseException:
            self._stop()
            raise
        self._come_to_rest()

    def _goes_on(self) -> bool:
        return self._book.progress.outcome is None and not self._search_ended

    # With Katib.

    def _catch_up(self) -> None:
        """Enter the trials that ended while no engine looked."""
        for found in self._experiments.all():
            name = name_of(found)
            for trial in by_age(self._cluster.find(TRIAL, f"{EXPERIMENT_LABEL}={name}")[0]):
                if self._goes_on() and state_of(trial) is not None:
                    self._take(trial, name)

    def _search(self) -> None:
        """Follow an Experiment to its end: the one that goes on, one that can be extended, or another."""
        name = self._current or self._experiments.restarted(self._book) or self._experiments.created(self._book)
        self._current, before = name, self._book.count
        self._follow(name)
        if self._goes_on() and not self._book.left and self._book.count == before:
            raise StudyFailed(
                f"{self._experiments.title(name)} must begin the trials that are left, but ended without one; "
                f"{self._experiments.explanation(name)}"
            )

    def _follow(self, name: str) -> None:
        """Enter what happens to the Trials of an Experiment until the study or the Experiment is over."""
        selector, idle_since = f"{EXPERIMENT_LABEL}={name}", time.monotonic()
        for change in self._cluster.follow(TRIAL, selector, self._engine.quiet_seconds):
            self._lose_missing(change)
            if change.type != "deleted":
                for trial in by_age(change.objects):
                    if self._goes_on():
                        self._take(trial, name)
            if not self._goes_on() or self._is_done(name, change):
                return
            if change.type == "quiet":
                self._pods.check(selector)
                self._check_idle(name, idle_since)
            if self._book.open or change.type == "changed":
                idle_since = time.monotonic()

    def _take(self, trial: Manifest, experiment: str) -> None:
        """Enter the present state of a Trial."""
        name = name_of(trial)
        if self._book.has_ended(name):
            return
        if name in self._book.left:
            self._book.follow(name)
        elif name not in self._book.open:
            self._book.begin(name, experiment, assigned_to(trial, self._experiment.space))
        failure = partial(self._pods.failure, trial, name)
        ending = ending_of(trial, self._experiment.objective, failure, self._pods.log_of(name))
        if ending is not None:
            self._book.end(name, ending)

    def _is_done(self, name: str, change: Change) -> bool:
        """Whether nothing more comes of an Experiment, which is asked where no trial runs or nothing happens.

        Raises:
            StudyFailed: its search failed.
        """
        if self._book.open and change.type != "quiet":
            return False
        found, title = self._experiments.get(name), self._experiments.title(name)
        if found is None:
            _log.warning("%s was deleted; the study goes on from its ledger", title)
            self._lose(list(self._book.open))
            return True
        if not is_over(found) or self._book.open:
            return False
        failed, ended = condition(found, "Failed"), condition(found, "Succeeded")
        if failed is not None and "suggestion" in str(failed.get("message", "")).lower():
            raise StudyFailed(f"{title}: {failed.get('message')}; {self._experiments.explanation(name)}")
        self._search_ended = ended is not None and ended.get("reason") == "ExperimentSuggestionEndReached"
        return True

    def _check_idle(self, name: str, since: float) -> None:
        if not self._book.open and time.monotonic() - since > self._engine.start_seconds:
            raise StudyFailed(
                f"{self._experiments.title(name)} must begin a Trial within cluster.start_seconds="
                f"{self._engine.start_seconds:g}, but none runs; {self._experiments.explanation(name)}"
            )

    # Without Katib: trials that were left running.

    def _continue_left(self) -> None:
        """Continue trials that were left running, as many at once as the experiment says, until those have ended."""
        for name in list(self._book.left)[: self._experiment.parallel_trials]:
            self._continue(name)
        selector = selector_of(self._experiments.labels)
        for change in self._cluster.follow(self._pods.kind, selector, self._engine.quiet_seconds):
            self._lose_missing(change)
            if change.type != "deleted":
                for job in change.objects:
                    self._take_job(job)
            if not self._goes_on() or not self._book.open:
                return
            if change.type == "quiet":
                self._pods.check(selector)

    def _continue(self, name: str) -> None:
        """Start a Job for a trial under the name that it had, or adopt the one that runs."""
        kind, trial = self._pods.kind, self._book.left[name]
        self._book.prepare(name)
        found = self._cluster.get(kind, name)
        if found is not None and condition(found, "Complete", "Failed"):
            self._cluster.delete(kind, name, wait_seconds=self._engine.stop_seconds)
        manifest = render(self._experiments.whole, trial.number, trial.params, name)
        metadata = manifest["metadata"]
        metadata["labels"] = {**(metadata.get("labels") or {}), **self._experiments.labels}
        if self._engine.marks.owner is not None:
            metadata["ownerReferences"] = [dict(self._engine.marks.owner)]
        self._cluster.create_or_adopt(kind, manifest, self._check_job)
        self._book.follow(name)

    def _check_job(self, found: Manifest) -> None:
        labels, mine = found["metadata"].get("labels") or {}, self._experiments.labels
        if labels.get(STUDY_LABEL) != mine[STUDY_LABEL]:
            title = f"{self._pods.kind.name} {self._cluster.namespace}/{name_of(found)}"
            raise ClusterError(f"{title} must belong to this study, but does not; delete it", status=409)

    def _take_job(self, job: Manifest) -> None:
        name, ended = name_of(job), condition(job, "Complete", "Failed")
        if name not in self._book.open or ended is None:
            return
        state: State = "failed" if ended["type"] == "Failed" else "unavailable"
        failure = partial(self._pods.failure, job, name)
        self._book.end(name, Ending(state, failure, message="it wrote no result", log=self._pods.log_of(name)))

    # Either way.

    def _lose_missing(self, change: Change) -> None:
        """Let go of followed trials that a change shows to be gone."""
        names = {name_of(item) for item in change.objects}
        if change.type == "deleted":
            self._lose(name for name in list(self._book.open) if name in names)
        elif change.type == "listed":
            self._lose(name for name in list(self._book.open) if name not in names)

    def _lose(self, names: Iterable[str]) -> None:
        for name in names:
            self._book.lose(name)

    def _come_to_rest(self) -> None:
        """The study is over: give Katib time to see that, and stop what runs even so."""
        deadline = time.monotonic() + self._engine.stop_seconds
        try:
            while self._current is not None and time.monotonic() < deadline:
                found = self._experiments.get(self._current)
                if found is None or is_over(found):
                    break
                time.sleep(min(0.5, self._engine.stop_seconds / 50))
        except ClusterError as error:
            _log.warning("whether the study's Experiment is over cannot be told: %s", error)
        self._stop()

    def _stop(self) -> None:
        """Delete what goes on, as far as the cluster lets one."""
        deadline = time.monotonic() + self._engine.stop_seconds
        with signals_ignored():
            try:
                names = {*self._book.open, *self._experiments.stop(self._engine.stop_seconds)}
                # Trials before Jobs, and not after what they own: Katib makes the Job of a Trial anew.
                for kind in (TRIAL, self._pods.kind):
                    for name in names:
                        left = max(0.0, deadline - time.monotonic())
                        self._cluster.delete(kind, name, wait_seconds=left, owned_first=kind is not TRIAL)
            except ClusterError as error:
                _log.warning("what runs on the cluster could not be deleted: %s", error)

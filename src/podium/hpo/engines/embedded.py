"""The engine of this machine: Optuna suggests, worker processes execute, the ledger remembers.

Optuna's study lives in memory only. It is rebuilt from the ledger whenever a study is resumed, so there is
no second truth that could disagree with the ledger or be damaged by a kill.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from podium.errors import ConfigError, PodiumError, TrainingError
from podium.events import emit
from podium.hpo.engines.base import Engine, OnTrial, TrialFunction
from podium.hpo.experiment import Experiment
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.progress import Progress
from podium.hpo.space import (
    CategoricalParameter,
    DiscreteParameter,
    FloatParameter,
    IntParameter,
    NormalParameter,
    Parameter,
    Params,
)
from podium.records import Scalar, TrialRecord
from podium.training.execution.signals import sigterm_unwinds

_log = logging.getLogger(__name__)

_SEARCHED = ("random", "tpe", "multivariate-tpe")
"""Algorithms this engine has."""


class Job(Protocol):
    """A call that runs in a worker process."""

    def wait(self) -> Any:
        """Wait for the call to end and return its result or raise its error."""

    def kill(self) -> None:
        """End the process and return once it is gone. No effect on a call that ended."""


JobT = TypeVar("JobT", bound=Job)


class Pool(Protocol[JobT]):
    """Runs calls in worker processes; `podium.training.execution.workers.WorkerPool` is one."""

    def submit(self, function: Callable[..., Any], /, *args: Any, log: Path) -> JobT:
        """Start `function(*args)` in a process of its own, its output appended to `log`."""

    def wait_any(self, jobs: Sequence[JobT]) -> list[JobT]:
        """Wait until at least one of `jobs` has ended, and return those that have."""


class EmbeddedEngine(Engine):
    """Runs trials in the workers of a pool on this machine. See `Engine` for what it promises.

    Suggestions come from Optuna's RandomSampler and TPESampler, seeded anew for every trial. TPE sees trials in
    the order of their numbers, with running ones as a constant liar, so that what it suggests depends on
    which trials have ended at that moment and not on how often the study was interrupted.

    A normal parameter is searched as its quantile, uniform in [0, 1], so that its distribution is what random
    search draws from and what TPE starts from. A discrete parameter is searched as a categorical one.
    """

    def __init__(self, trial: TrialFunction, pool: Pool[Any], logs: Path) -> None:
        """Make an engine.

        Args:
            trial: what every trial executes.
            pool: where; it belongs to the caller and stays open. It should have as many workers as trials run at once.
            logs: directory that gets one log per trial.
        """
        self._trial = trial
        self._pool = pool
        self._logs = logs

    def run(self, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial) -> None:
        """See `Engine`."""
        if experiment.early_stopping is not None:
            raise ConfigError(
                f"the embedded engine lets every trial run to its end, but got early stopping by "
                f"{experiment.early_stopping.name!r}; leave it out"
            )
        trials = ledger.trials()
        progress = Progress(experiment, trials)
        if progress.outcome is not None:
            return
        sampler = _Sampler(experiment, trials)
        upcoming = self._claims(ledger, sampler, trials)
        running: dict[Job, Claim] = {}
        try:
            with sigterm_unwinds():
                while progress.outcome is None:
                    while len(running) < min(experiment.parallel_trials, experiment.max_trials - progress.ended):
                        claim = next(upcoming)
                        running[self._start(claim, ledger)] = claim
                    for job in self._pool.wait_any(list(running)):
                        record = self._end(job, running.pop(job), ledger)
                        progress.add(record)
                        sampler.tell(record)
                        on_trial(record)
        finally:
            for job in running:
                job.kill()

    def _claims(self, ledger: TrialLedger, sampler: _Sampler, trials: Iterable[TrialRecord]) -> Iterator[Claim]:
        """Trials to execute, endlessly: those left running, then new ones under the lowest free numbers."""
        taken = {trial.number: trial for trial in trials}
        for number, trial in taken.items():
            if trial.status == "running":
                yield ledger.take_over(number)
        for number in itertools.count():
            if number not in taken:
                yield ledger.begin(number, sampler.suggest(number))

    def _start(self, claim: Claim, ledger: TrialLedger) -> Job:
        fields = {**self._trial.event_fields, "number": claim.number, "params": claim.params, "attempt": claim.attempt}
        emit("trial_started", **fields)
        job: Job = self._pool.submit(self._trial, claim, ledger, log=self._log_of(claim))
        return job

    def _end(self, job: Job, claim: Claim, ledger: TrialLedger) -> TrialRecord:
        try:
            return ledger.finish(claim, float(job.wait()))
        except PodiumError as error:
            if not isinstance(error, TrainingError):
                raise
            return self._fail(claim, ledger, error)
        except Exception as error:
            return self._fail(claim, ledger, error)

    def _fail(self, claim: Claim, ledger: TrialLedger, error: Exception) -> TrialRecord:
        headline = str(error).partition("\n")[0]
        reason = f"{type(error).__name__}: {headline} (log: {self._log_of(claim)})"
        _log.warning("trial %d failed: %s", claim.number, reason)
        return ledger.fail(claim, reason)

    def _log_of(self, claim: Claim) -> Path:
        return self._logs / f"trial-{claim.number:06d}.log"


class _Sampler:
    """Suggests params; a pure function of experiment, trial number and the trials told so far."""

    def __init__(self, experiment: Experiment, trials: Iterable[TrialRecord]) -> None:
        import optuna

        if experiment.algorithm.name not in _SEARCHED:
            raise ConfigError(
                f"the embedded engine searches with {', '.join(_SEARCHED)}, but got {experiment.algorithm.name!r}"
            )
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._experiment = experiment
        self._distributions = {name: _distribution(parameter) for name, parameter in experiment.space.parameters}
        self._study = optuna.create_study(direction=experiment.objective.direction)
        self._own: dict[int, int] = {}
        for trial in trials:
            self._add(trial.number, experiment.space.normalise(trial.params))
            if trial.status != "running":
                self.tell(trial)

    def suggest(self, number: int) -> Params:
        """Params of a new trial, known to be running from now on."""
        from optuna.samplers import RandomSampler, TPESampler
        from optuna.trial import TrialState

        algorithm = self._experiment.algorithm
        seed = _seed(self._experiment.seed, number)
        match algorithm.name:
            case "random":
                self._study.sampler = RandomSampler(seed=seed)
            case "tpe":
                self._study.sampler = TPESampler(seed=seed, **algorithm.settings)
            case "multivariate-tpe":
                self._study.sampler = TPESampler(seed=seed, multivariate=True, **algorithm.settings)
        trial = self._study.ask(self._distributions)
        space = self._experiment.space
        params = space.normalise({name: _value(parameter, trial.params[name]) for name, parameter in space.parameters})
        if any(isinstance(parameter, NormalParameter) for _, parameter in space.parameters):
            # Learn from the value, as a resumed study does, and not from the quantile it was rounded from.
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._add(number, params)
        else:
            self._own[number] = trial.number
        return params

    def _add(self, number: int, params: Params) -> None:
        """Make a trial known as running."""
        import optuna

        self._own[number] = len(self._study.get_trials(deepcopy=False))
        self._study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params={
                    name: _searched(parameter, params[name]) for name, parameter in self._experiment.space.parameters
                },
                distributions=self._distributions,
            )
        )

    def tell(self, record: TrialRecord) -> None:
        """Learn how a suggested or rebuilt trial ended."""
        from optuna.trial import TrialState

        if record.status == "succeeded":
            self._study.tell(self._own[record.number], record.score)
        else:
            self._study.tell(self._own[record.number], state=TrialState.FAIL)


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match parameter:
        case FloatParameter():
            return FloatDistribution(parameter.low, parameter.top, log=parameter.log, step=parameter.step)
        case IntParameter():
            return IntDistribution(parameter.low, parameter.top, log=parameter.log, step=parameter.step)
        case NormalParameter():
            return FloatDistribution(0.0, 1.0)
        case CategoricalParameter():
            return CategoricalDistribution(parameter.choices)
        case DiscreteParameter():
            return CategoricalDistribution(parameter.values)
    raise TypeError(f"the embedded engine does not know parameters such as {parameter!r}")


def _searched(parameter: Parameter, value: Scalar) -> Scalar:
    """What Optuna sees of a value."""
    return parameter.share(float(value)) if isinstance(parameter, NormalParameter) else value


def _value(parameter: Parameter, searched: Scalar) -> Scalar:
    """The value of what Optuna suggests."""
    return parameter.quantile(float(searched)) if isinstance(parameter, NormalParameter) else searched


def _seed(seed: int, number: int) -> int:
    """32 bits from the seed of the study and the number of the trial, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")

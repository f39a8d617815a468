"""What every engine promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from podium.errors import ComputationFailed, PodiumError
from podium.hpo.experiment import Experiment
from podium.hpo.ledger import Claim, TrialLedger
from podium.records import Observed, TrialRecord

OnTrial = Callable[[TrialRecord], None]
"""Called with every trial that ends."""

MAX_KILLS = 2
"""How often a trial is executed again because its worker was killed from outside."""


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended that did not fail.

    Attributes:
        score: its objective; the ledger gives a pruned trial its last report instead.
        metrics: every metric that was collected, by name.
        pruned: why it was stopped early; None for a trial that succeeded.
    """

    score: float
    metrics: Mapping[str, Observed] = field(default_factory=dict)
    pruned: str | None = None


TrialFunction = Callable[[Claim, TrialLedger], TrialResult]
"""Executes a claimed trial, reports to the ledger meanwhile, and returns how the trial ended.

It can be sent to another process, and ends early once `should_stop` of the record that `TrialLedger.report` returns is
true. A ComputationFailed means that this trial failed and the study continues; any other PodiumError would end every
trial alike and stops the study.
"""


def end_of_trial(
    claim: Claim,
    ledger: TrialLedger,
    execute: Callable[[], TrialResult],
    log: Path | None = None,
    passed_on: tuple[type[Exception], ...] = (),
) -> TrialRecord:
    """Execute a claimed trial, and enter into the ledger whether it succeeded, was pruned or failed.

    Where there is a log, the error of a failed trial refers to it in place of all but the first line of the message.

    Raises:
        PodiumError: an error that would end every trial alike, or one of `passed_on`; the trial stays running.
    """
    try:
        result = execute()
        if result.pruned is not None:
            return ledger.prune(claim, result.pruned, result.metrics)
        return ledger.finish(claim, result.score, result.metrics)
    except passed_on:
        raise
    except Exception as error:
        if isinstance(error, PodiumError) and not isinstance(error, ComputationFailed):
            raise
        message = str(error) if log is None else f"{str(error).partition(chr(10))[0]} (log: {log})"
        return ledger.fail(claim, type(error).__name__, f"{type(error).__name__}: {message}")


class Engine(ABC):
    """Runs the trials of an experiment somewhere, until the study is over.

    The constructor of a concrete engine takes what a trial executes and where; `run` takes what to search. An instance
    may run several studies, one after another.

    Ownership: the caller holds the study's lease, so that no other engine runs it. While `run` runs, only it begins,
    takes over and ends trials of the ledger. When it returns or raises, nothing that it started still runs.

    Threads: `run` is called from one thread, and `on_trial` from that thread, once for every trial that ends during the
    call, in the order in which they end, after the ledger holds the result.

    Budget: at most `parallel_trials` run at once, and a trial that ends is replaced at once while the budget lasts. The
    study is over when `Progress.outcome` says so; trials that still run then are stopped and stay `running` in the
    ledger. Too many failures are an outcome, not an error of the engine.

    Resume: trials found `running` in the ledger are continued first, with their number, params and finished folds.
    Trials that ended are never executed again; they are what the search learns from. A new trial takes the lowest
    number that the ledger does not hold, and begins under the stopping rule that follows from the trials before it.

    Suggestions: they follow from the experiment's seed, the trial's number and, for algorithms that learn, the
    trials known at that moment; random search gives a number the same params whatever happened before.

    Kills: a trial whose process is killed from outside while the engine lives (KilledFromOutside: preemption, an
    operator, somebody else's memory) says nothing about its params. It is executed again at once, under its number, as
    another attempt that keeps its finished folds, at most `MAX_KILLS` times; the ledger counts them. A crash of its own
    and a kill that the kernel counted as out of memory are failures.

    Errors: a trial that raises a ComputationFailed or an exception Podium does not know, dies, or ends with a score
    that is not finite, becomes a failed trial with that reason. Any other PodiumError (bad input, a store that
    cannot be written) and an exception of `on_trial` stop the study and are raised; the trials they interrupt
    stay `running`.

    Events: the engine emits `trial_started` (number, params, attempt and what else it knows) for every trial it starts.

    Cancel: KeyboardInterrupt and SystemExit (which SIGTERM becomes) stop what runs and are raised again. After
    those, as after SIGKILL, `run` with the same ledger continues the study.
    """

    @abstractmethod
    def run(self, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial) -> None:
        """Run trials until the study is over; returns at once if it already is."""

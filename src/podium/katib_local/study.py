"""The study of a Katib Experiment on this machine: it is found again by its name, resumed, and extended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from podium.errors import ConfigError, StudyFailed
from podium.execution.calls import WorkerCall
from podium.execution.workers import WorkerPool
from podium.hpo.engines import EmbeddedEngine
from podium.hpo.experiment import Progress
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.study import LEDGERS, StudyAbout, StudyDescription, run_study
from podium.hpo.suggest import suggester_for
from podium.katib.experiment import KatibExperiment, namespace_of, to_katib
from podium.katib.read import at
from podium.katib_local.runner import CommandRunner
from podium.katib_local.status import StatusWriter
from podium.keys import Key
from podium.records import TrialRecord
from podium.store.store import ArtifactStore
from podium.text import shortened

_BUDGETS = ("maxTrialCount", "parallelTrialCount", "maxFailedTrialCount")
_ANEW = "give it another metadata.name, or begin anew with --fresh"


def study_key(katib: KatibExperiment) -> Key:
    """The key of the lease that a process holds while it runs the study of an experiment."""
    return Key.of("study", katib=f"{namespace_of(katib)}/{katib.experiment.name}")


class LocalStudy:
    """The study of a Katib Experiment; experiments of the same name and namespace are the same study.

    The caller holds the lease of its `study_key` while it runs.

    Attributes:
        directory: of its logs and files for people.
        found: trials that it has already.
    """

    def __init__(self, katib: KatibExperiment, root: Path, fresh: bool) -> None:
        """Look at the trials that the study has already.

        Args:
            katib: the experiment, whose template fits this machine.
            fresh: take the next study of this name, which is empty.

        Raises:
            ConfigError: the algorithm cannot run on this machine, or the study of this name is another one or may not
                go on with these budgets; the message says what to do.
            StoreError: the directory cannot be written.
        """
        namespace, name = namespace_of(katib), katib.experiment.name
        store = ArtifactStore(str(root / "store"))
        prefix = f"{LEDGERS}/katib-{namespace}.{name}"
        number = max(len(store.documents(prefix).names()) + fresh, 1)
        self.katib = katib
        self.directory = root / "studies" / namespace / (name if number == 1 else f"{name}.{number:04}")
        self.ledger = TrialLedger(store.documents(f"{prefix}/{'main' if number == 1 else f'run-{number:04}'}"))
        self.found = self.ledger.trials()
        description = StudyDescription.read(self.ledger.documents)
        if description is not None:
            _check_resumable(katib, description, self.found)
        if not self.is_over:
            with at("spec.algorithm"):
                suggester_for(katib.experiment, ())

    @property
    def is_over(self) -> bool:
        """Whether the trials that it has use up its budget, or reached its goal."""
        return Progress(self.katib.experiment, self.found).outcome is not None

    def run(self, source: str) -> dict[str, Any]:
        """Run what is missing of the experiment that was read from the file `source`; see `run_study` for its errors.

        Returns:
            The Experiment with its status.
        """
        experiment, logs = self.katib.experiment, self.directory / "logs"
        runner = CommandRunner(self.katib, logs, self.directory / "metrics")
        writer = StatusWriter(self.katib, self.directory, self.found, Progress(experiment, self.found).outcome)
        about = StudyAbout(source=source, katib=to_katib(self.katib))
        try:
            with _TrialPool(experiment.parallel_trials, writer) as pool:
                engine = EmbeddedEngine(runner, pool, logs)
                try:
                    run_study(experiment, self.ledger, engine, writer.show, about)
                except StudyFailed:
                    if Progress(experiment, self.ledger.finished()).outcome is None:
                        raise
            writer.outcome = Progress(experiment, self.ledger.finished()).outcome or "suggestions"
        finally:
            writer.write()
        return writer.resource()


class _TrialPool(WorkerPool):
    """Workers that start commands; the trials that they begin are shown."""

    def __init__(self, size: int, writer: StatusWriter) -> None:
        super().__init__(size, threads=None, preload=[CommandRunner.__module__])
        self._writer = writer

    def submit(self, function: Any, *args: Any, log: Path) -> WorkerCall:
        for claim in args:
            if isinstance(claim, Claim):
                self._writer.show(claim.record)
        return super().submit(function, *args, log=log)


def _check_resumable(katib: KatibExperiment, before: StudyDescription, trials: tuple[TrialRecord, ...]) -> None:
    """Check by the rules of Katib's webhook that a study that has begun may go on as `katib`."""
    name = f"{namespace_of(katib)}/{katib.experiment.name}"
    assert before.about.katib is not None
    differences = list(_differences(before.about.katib["spec"], to_katib(katib)["spec"], "spec"))
    differences += _differences(before.experiment.seed, katib.experiment.seed, "seed")
    other = [item for item in differences if item.partition(":")[0].removeprefix("spec.") not in _BUDGETS]
    if other:
        raise ConfigError(
            f"of an experiment that has begun only {', '.join(_BUDGETS)} may change, but of {name} also "
            f"{shortened(other, 3, '; ')}: undo that, {_ANEW}"
        )
    if not differences:
        return
    outcome = Progress(before.experiment, trials).outcome
    policy, most = katib.experiment.resume_policy, katib.experiment.max_trials
    if outcome is not None and (outcome != "budget" or policy == "Never"):
        why = {"budget": "reached maxTrialCount", "goal": "reached its goal", "failures": "failed"}
        raise ConfigError(
            f"a completed experiment is restarted only if it reached maxTrialCount and resumePolicy is LongRunning or "
            f"FromVolume, but {name} {why.get(outcome, 'came to the end of its search')}, resumePolicy is {policy} "
            f"and {differences[0]}: undo that, {_ANEW}"
        )
    if most <= len(trials):
        raise ConfigError(
            f"spec.maxTrialCount: to go on with other budgets it must be greater than the {len(trials)} trials that "
            f"{name} has, but got {most}"
        )


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Paths of the values that differ, with both."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in {**old, **new}:
            yield from _differences(old.get(name), new.get(name), f"{path}.{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, now) in enumerate(zip(old, new, strict=True)):
            yield from _differences(before, now, f"{path}[{index}]")
    elif old != new:
        yield f"{path}: {json.dumps(old)} became {json.dumps(new)}"

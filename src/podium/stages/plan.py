"""What a run would do: for every step, reuse or run, and why. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from podium.config.schema import PodiumConfig
from podium.hpo.ledger import TrialLedger
from podium.hpo.progress import Progress
from podium.hpo.studies import LEDGERS
from podium.keys import Key
from podium.records import Record, RunRecord, StudyRecord
from podium.stages.hpo import MAIN, experiment_of
from podium.stages.prepare import locate_backbones
from podium.stages.step import Step, open_store
from podium.stages.steps import input_titles, inputs_of, nodes
from podium.store.explain import differences
from podium.text import shortened

_SHOWN = 3


@dataclass(frozen=True)
class PlannedStep:
    """One step of a dry run; `key` is empty where it depends on a result that does not exist yet."""

    step: str
    action: Literal["reuse", "run"]
    key: str
    reason: str


def plan(run: RunRecord) -> list[PlannedStep]:
    """The steps of a run, in order, each with what would happen and why.

    Raises:
        ModelError: a backbone is missing.
    """
    locate_backbones(run.config)
    return _Planner(run).steps()


def render_plan(steps: list[PlannedStep]) -> str:
    """A plan as text, one line per step."""
    width = max(len(step.step) for step in steps)
    lines = [f"{step.step:<{width}}  {step.action:<5}  {step.key[:12]:<12}  {step.reason}" for step in steps]
    running = sum(step.action == "run" for step in steps)
    return "\n".join([*lines, f"{running} of {len(steps)} steps would run; nothing was computed"])


class _Planner:
    """Walks the graph as far as stored results determine the keys."""

    def __init__(self, run: RunRecord) -> None:
        self._run = run
        self._config: PodiumConfig = run.config
        self._store = open_store(run.config)
        self._records: dict[str, Record] = {}
        self._titles = [step.title(backbone) for step, backbone in nodes(run.config.backbones)]

    def steps(self) -> list[PlannedStep]:
        """Every step of the run."""
        return [self.step(step, backbone) for step, backbone in nodes(self._config.backbones)]

    def step(self, step: Step, backbone: str) -> PlannedStep:
        """What would happen to one step; its inputs have been planned before it."""
        title = step.title(backbone)
        titles = input_titles(step, backbone, self._config.backbones)
        if missing := set(titles) - self._records.keys():
            last = next(one for one in reversed(self._titles) if one in missing)
            return PlannedStep(title, "run", "", f"depends on the result of {last}")
        inputs = inputs_of(step, backbone, self._run, self._records)
        key = step.key(inputs)
        if self._config.run_mode == "force_new":
            return PlannedStep(title, "run", key.digest, "run_mode=force_new")
        found = step.stored(self._store, inputs, key)
        if found is None:
            return PlannedStep(title, "run", key.digest, self._why(step, backbone, key))
        self._records[title] = found
        return PlannedStep(title, "reuse", key.digest, f"stored {found.created_at:%Y-%m-%d %H:%M}")

    def _why(self, step: Step, backbone: str, key: Key) -> str:
        stored = self._store.get(step.record, key.digest)
        if step.record is StudyRecord:
            ledger = stored.ledger if isinstance(stored, StudyRecord) else MAIN
            lost = "its trials are lost; it would begin anew" if stored else None
            return self._unfinished(backbone, key, ledger) or lost or self._why_missing(key)
        return "the registry has lost its promotion" if stored else self._why_missing(key)

    def _unfinished(self, backbone: str, key: Key, ledger: str) -> str | None:
        """Where a study goes on that was stopped, failed, or has a larger budget now; None where it has no trials."""
        trials = TrialLedger(self._store.documents(f"{LEDGERS}/{key.digest}/{ledger}")).trials()
        if not trials:
            return None
        progress = Progress(experiment_of(self._config, backbone), trials)
        left = len(trials) - progress.ended
        done = f"its ledger has {progress.ended} of {self._config.hpo.max_trials} trials" + (
            f" and {left} that were cut off" if left else ""
        )
        if progress.outcome == "failures":
            return f"{done}, and {progress.failed} failed; it would fail again unless hpo.max_failed_trials is raised"
        return f"{done}; it would go on from there"

    def _why_missing(self, key: Key) -> str:
        """What differs from the nearest stored result of the same kind."""
        nearest: list[str] | None = None
        for _, digest in self._store.find(f"{key.kind}/"):
            parts: Mapping[str, Any] = self._store.parts(key.kind, digest)
            changed = [f"{path}: {old} → {new}" for path, old, new in differences(parts, key.parts)]
            if nearest is None or len(changed) < len(nearest):
                nearest = changed
        if nearest is None:
            return f"no {key.kind} is stored"
        return f"changed: {shortened(nearest, _SHOWN, '; ')}"

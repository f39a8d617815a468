"""What a run would do: for every step, reuse or run, and why. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from podium.config.schema import PodiumConfig
from podium.hpo.ledger import TrialLedger
from podium.hpo.progress import Progress
from podium.hpo.studies import LEDGERS
from podium.keys import Key
from podium.models.backbone import backbone_digest
from podium.records import (
    BaselineRecord,
    BenchmarkRecord,
    DataRecord,
    ModelRecord,
    Record,
    RunRecord,
    SelectionRecord,
    StudyRecord,
)
from podium.stages import keys
from podium.stages.benchmark import champions_of, hardware_of
from podium.stages.hpo import MAIN, experiment_of, is_complete
from podium.stages.prepare import locate_backbones
from podium.stages.refit import refit_training
from podium.stages.step import open_store
from podium.stages.warm_start import prior_trials
from podium.store.explain import differences
from podium.store.store import ArtifactStore

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class PlannedStep:
    """One step of a dry run.

    `key` is empty where it depends on a result that does not exist yet; a step is `open` where it depends on what
    the registry holds at that moment.
    """

    step: str
    action: Literal["reuse", "run", "open"]
    key: str
    reason: str


def plan(config: PodiumConfig) -> list[PlannedStep]:
    """The steps of a run, in order, each with what would happen and why."""
    return _Planner(config).steps()


def render_plan(steps: list[PlannedStep]) -> str:
    """A plan as text, one line per step."""
    width = max(len(step.step) for step in steps)
    lines = [f"{step.step:<{width}}  {step.action:<5}  {step.key[:12]:<12}  {step.reason}" for step in steps]
    running = sum(step.action == "run" for step in steps)
    return "\n".join([*lines, f"{running} of {len(steps)} steps would run; nothing was computed"])


class _Planner:
    def __init__(self, config: PodiumConfig) -> None:
        self._config = config
        self._store: ArtifactStore = open_store(config)
        self._run = RunRecord(run_id="dry-run", config=config)
        self._steps: list[PlannedStep] = []

    def steps(self) -> list[PlannedStep]:
        """Walk the graph as far as stored results determine the keys."""
        data = self._data()
        baseline = self._baseline(data)
        models: list[ModelRecord] = []
        studies: list[StudyRecord] = []
        for backbone, path in locate_backbones(self._config).items():
            digest = backbone_digest(path)
            if data and (study := self._study(data, backbone, digest)):
                studies.append(study)
                if model := self._model(data, study, digest):
                    models.append(model)
            elif not data:
                self._unknown(f"hpo-{backbone}", "prepare")
                self._unknown(f"refit-{backbone}", f"hpo-{backbone}")
        if data and baseline and len(models) == len(self._config.backbones):
            self._judge(data, baseline, studies, models)
        else:
            for step in ("select", "benchmark", "decide", "report"):
                self._unknown(step, "the steps before it")
        return self._steps

    def _data(self) -> DataRecord | None:
        from podium.data.fingerprint import fingerprint

        return self._look("prepare", keys.data_key(self._config, fingerprint(self._config.dataset)), DataRecord)

    def _baseline(self, data: DataRecord | None) -> BaselineRecord | None:
        if data is None:
            self._unknown("baseline", "prepare")
            return None
        return self._look("baseline", keys.baseline_key(self._config, data), BaselineRecord)

    def _study(self, data: DataRecord, backbone: str, digest: str) -> StudyRecord | None:
        prior = prior_trials(self._store, self._config, data)
        key = keys.study_key(self._config, data, backbone, digest, prior)
        found = self._look(f"hpo-{backbone}", key, StudyRecord)
        if found is None:
            self._unknown(f"refit-{backbone}", f"hpo-{backbone}")
        return found

    def _model(self, data: DataRecord, study: StudyRecord, digest: str) -> ModelRecord | None:
        key = keys.refit_key(self._config, data, study, digest, refit_training(self._config, study))
        return self._look(f"refit-{study.backbone}", key, ModelRecord)

    def _judge(
        self, data: DataRecord, baseline: BaselineRecord, studies: list[StudyRecord], models: list[ModelRecord]
    ) -> None:
        selection = self._look("select", keys.selection_key(self._config, baseline, studies, models), SelectionRecord)
        measured = None
        if selection:
            champions = champions_of(selection, models)
            key = keys.benchmark_key(self._config, data, champions, hardware_of(self._run))
            measured = self._look("benchmark", key, BenchmarkRecord)
        else:
            self._unknown("benchmark", "select")
        # The registry may have changed since; asking it is not worth loading MLflow for a dry run.
        for step, needs in (("decide", measured), ("report", measured)):
            reason = "depends on the registry's champion at that moment" if needs else "depends on benchmark"
            self._steps.append(PlannedStep(step, "open" if needs else "run", "", reason))

    def _look(self, step: str, key: Key, record_type: type[R]) -> R | None:
        if self._config.run_mode == "force_new":
            self._steps.append(PlannedStep(step, "run", key.digest, "run_mode=force_new"))
            return None
        found = self._store.get(record_type, key.digest)
        if found is None:
            reason = self._why_unfinished(step, key) if record_type is StudyRecord else None
            self._steps.append(PlannedStep(step, "run", key.digest, reason or self._why_missing(key)))
            return None
        if isinstance(found, StudyRecord) and not is_complete(found, self._config):
            reason = self._why_unfinished(step, key, found.ledger)
            self._steps.append(
                PlannedStep(step, "run", key.digest, reason or "its trials are lost; it would begin anew")
            )
            return None
        self._steps.append(PlannedStep(step, "reuse", key.digest, f"stored {found.created_at:%Y-%m-%d %H:%M}"))
        return found

    def _unknown(self, step: str, needs: str) -> None:
        self._steps.append(PlannedStep(step, "run", "", f"depends on the result of {needs}"))

    def _why_unfinished(self, step: str, key: Key, ledger: str = MAIN) -> str | None:
        """Where a study goes on that was stopped, failed, or has a larger budget now; None where it has no trials."""
        trials = TrialLedger(self._store.documents(f"{LEDGERS}/{key.digest}/{ledger}")).trials()
        if not trials:
            return None
        progress = Progress(experiment_of(self._config, step.removeprefix("hpo-")), trials)
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
        shown = "; ".join(nearest[:3])
        return f"changed: {shown}" + (f" and {len(nearest) - 3} more" if len(nearest) > 3 else "")

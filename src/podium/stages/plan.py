"""Step `plan`: what the data and this machine decide before anything is trained, within the time that a run may take.

A plan starts from what the run would do without a limit. Where that takes too long by the measured paces, it goes down
`LEVELS`, the same for every entrant, until the run fits; where even the last level does not fit, it leaves out the
entrant that takes longest. It is stored, so that the same run makes the same plan again although no two measurements of
a pace are equal. The times of the benchmark are estimated, and its settings are in no key of a plan: measuring more
samples must not train a model again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

from podium.config.entrants import ENTRANTS
from podium.config.schema import PodiumConfig
from podium.devices.hardware import available_cores
from podium.display.numbers import duration
from podium.errors import ComputationFailed, ModelError
from podium.events import emit
from podium.keys import Key
from podium.records import DataRecord, RunRecord, Scalar
from podium.records.plan import Pace, PlanRecord
from podium.stages.step import StepInputs, StepRun
from podium.tasks import TASKS

if TYPE_CHECKING:
    from podium.execution.calls import WorkerCall


class Level(NamedTuple):
    """Shares of what a run would have without a limit: the trials, the updates of a transformer in a trial, the length
    of a row, and the epochs of the refit."""

    trials: float = 1.0
    updates: float = 1.0
    length: float = 1.0
    epochs: float = 1.0


_STAGES = (
    Level(),
    Level(updates=0.5),
    Level(updates=0.5, trials=0.75),
    Level(updates=0.25, trials=0.75),
    Level(updates=0.5, trials=0.75, length=0.5),
    Level(updates=0.25, trials=0.75, length=0.5),
    Level(updates=0.25, trials=0.5, length=0.5),
    Level(updates=0.15, trials=0.5, length=0.5, epochs=0.5),
    Level(updates=0.15, trials=0.5, length=0.25, epochs=0.5),
    Level(updates=0.0, trials=0.5, length=0.25, epochs=0.5),
    Level(updates=0.0, trials=0.25, length=0.25, epochs=0.25),
)
"""From the most to the least: first what a search loses least by. No trial has fewer updates than its data need."""
LEVELS = (
    tuple(
        Level(*(above + (below - above) * part / 4 for above, below in zip(one, other, strict=True)))
        for one, other in pairwise(_STAGES)
        for part in range(4)
    )
    + _STAGES[-1:]
)
"""With three levels between each stage and the next, so that a plan leaves less of its time unused."""

ROWS = (1.0, 0.5, 0.25, 0.12)
"""Shares of the rows that a trial trains on. A transformer takes its updates from however many rows there are, so fewer
rows save time for linear models only, and are tried last."""

WHOLE = 0.95
"""Share of the rows that are not to be cut, where the length follows from the data."""
MOSTLY = 0.5
"""Share of whole rows below which a plan warns that texts are cut."""
UNKNOWN = 0.1
"""Share of unknown tokens from which on a plan says that a transformer cannot read the texts."""
SHORTEST, LENGTHS = 32, 16
"""Lengths are a multiple of `LENGTHS` tokens, and a limit does not cut below `SHORTEST`."""
MOST_EPOCHS = 30
FEW_TRIAL, FEW_REFIT = 0.25, 0.5
"""Shares of the usual updates below which a plan warns that transformers were hardly trained."""
MARGIN = 0.85
"""Share of the time limit that a plan may expect to take: what it expects is an estimate."""
START, LAST = 8.0, 20.0
"""Seconds that a step takes to start its process and load its libraries, and that the last two steps take together."""
BUILD, LOAD = 12.0, 4.0
"""Seconds that building a variant and loading it in a measuring process take."""
THROUGHPUT_BATCHES = 20
"""Batches with which a measuring process measures throughput, about."""


def planned(run: RunRecord, plan: PlanRecord) -> RunRecord:
    """The run with the config that its plan gives it."""
    tree = run.config.model_dump()
    for name, value in plan.settings.items():
        section, field = name.split(".")
        tree[section][field] = value
    tree["entrants"] = {name: tree["entrants"][name] for name in plan.entrants}
    return run.model_copy(update={"config": PodiumConfig.model_validate(tree)})


def skipped_plan(inputs: StepInputs, key: Key) -> PlanRecord | None:
    """The result where nothing is to be planned. Its time is that of the data."""
    data, config = inputs.one(DataRecord), inputs.config
    if config.plan.decides:
        return None
    about = {"key": key.digest, "parents": {data.kind: data.key}, "created_at": data.created_at}
    return PlanRecord(**about, entrants=tuple(config.entrants))


def compute(step: StepRun) -> PlanRecord:
    """Measure the entrants and plan the run.

    Raises:
        DataError, ModelError, OutOfMemory: an entrant cannot be trained on the data.
    """
    paces, broken = _paces(step)
    elapsed = (datetime.now(UTC) - step.run.created_at).total_seconds()
    found = Planner(step.config, step.one(DataRecord), paces, available_cores(), elapsed).plan()
    left_out = broken | found.pop("left_out")
    lines = found.pop("lines") | {f"Left out: {name}": why for name, why in left_out.items()}
    emit("planned", lines=[f"{name}: {text}" for name, text in lines.items()])
    step.tracker.log_params(step.mlflow_run_id, found["settings"])
    return PlanRecord(**step.stamp, paces=paces, left_out=left_out, lines=lines, **found)


def _paces(step: StepRun) -> tuple[dict[str, Pace], dict[str, str]]:
    """The pace of every entrant, measured beside others as in the search, and why the others have none."""
    from podium.execution.failures import Purpose
    from podium.execution.workers import WorkerPool
    from podium.stages.train import training_spec
    from podium.training.launch import PRELOAD

    work = step.store.cache(f"plan-{step.key.digest}")
    calls: dict[str, WorkerCall] = {}
    paces, broken = {}, {}
    logs = step.directory or work
    with WorkerPool(available_cores(), preload=PRELOAD, purpose=Purpose("the measurement of an entrant")) as pool:
        for name, entry in step.config.entrants.items():
            kind = ENTRANTS.get(entry.kind)
            spec = training_spec(replace(step, entrant=name), kind.settings_in(step.config, trial=True), work, 1)
            calls[name] = pool.submit(kind.measure, spec, log=logs / f"{name}.txt")
        for name, call in calls.items():
            try:
                paces[name] = call.wait()
            except (ModelError, ComputationFailed) as error:
                broken[name] = str(error)
    if not paces:
        raise ModelError(f"no entrant can be trained: {'; '.join(f'{name}: {why}' for name, why in broken.items())}")
    return paces, broken


class Budget(NamedTuple):
    """What every entrant gets; the length and the epochs have no meaning for kinds that have none."""

    length: int
    trials: int
    rows: float
    trial_epochs: float
    epochs: float


@dataclass(frozen=True)
class Planner:
    """Makes the plan of one run.

    Attributes:
        elapsed: seconds since the run began.
    """

    config: PodiumConfig
    data: DataRecord
    paces: Mapping[str, Pace]
    cores: int
    elapsed: float

    def plan(self) -> dict[str, Any]:
        """The fields of the record besides the paces."""
        part, names = self.config.plan, sorted(self.paces, key=self._cost)
        limit = None if self.config.hpo.engine == "katib" else part.time_limit
        aim = math.inf if limit is None else MARGIN * limit
        for count, rows, level in product(range(len(names), 0, -1), ROWS, LEVELS):
            entrants, budget = names[:count], self._budget(level, rows)
            expected = self._expected(budget, entrants)
            if sum(expected.values()) <= aim:
                break
        settings = self._settings(budget, entrants)
        if limit is not None:
            # Trials may take the time that nothing else is expected to need.
            rest = sum(seconds for part, seconds in expected.items() if part not in ("until now", "search"))
            settings["hpo.timeout_seconds"] = max(1, round(limit - rest / MARGIN))
        gone = names[len(entrants) :]
        why = f"not even a small search of it fits into {duration(limit or 0.0)}; raise plan.time_limit (--time-limit)"
        return {
            "settings": settings,
            "entrants": tuple(entrants),
            "left_out": dict.fromkeys(gone, why),
            "expected": expected,
            "time_limit": limit,
            "lines": self._lines(budget, entrants, expected, limit),
        }

    @property
    def _transformers(self) -> dict[str, Pace]:
        return {name: pace for name, pace in self.paces.items() if pace.in_epochs}

    @property
    def _development(self) -> int:
        return self.data.rows["train"] + self.data.rows["validation"]

    @property
    def _per_fold(self) -> float:
        """Rows that a fold trains on at most."""
        return self._development * (1 - 1 / self.data.folds)

    def _cost(self, name: str) -> float:
        """How entrants are ordered: by the time of a row."""
        pace = self.paces[name]
        return pace.train_seconds * pace.at(self.config.training.max_length)

    def _is_open(self, field: str) -> bool:
        return field not in self.config.plan.fixed

    @property
    def _updates(self) -> tuple[int, int]:
        """Updates after which little is gained, and the least of a trial: see `Task.updates`. More labels need more."""
        task, labels = TASKS.get(self.data.task), len(self.data.labels)
        return max(task.updates, 30 * labels), max(task.least_updates, 4 * labels)

    def _budget(self, level: Level, share: float) -> Budget:
        config, (most, least) = self.config, self._updates
        fit, updates = config.plan.fit, self._development / config.training.batch_size
        length, epochs = config.training.max_length, config.training.epochs
        if self._is_open("training.max_length") and self._transformers:
            length = self._length() if fit else length
            # The beginning of a text mostly shows its label, but a word that is cut off has no answer.
            if not TASKS.get(self.data.task).words:
                length = min(length, max(SHORTEST, LENGTHS * round(length * level.length / LENGTHS)))
        if self._is_open("training.epochs"):
            wanted = min(MOST_EPOCHS, max(1, math.ceil(most / updates))) if fit else epochs
            epochs = max(wanted * level.epochs, min(wanted, 2 * least / updates))
        fewest = max(2, config.selection.min_trials, config.selection.promotion.min_trials)
        trials = config.hpo.max_trials
        if self._is_open("hpo.max_trials"):
            trials = min(trials, max(fewest, round(trials * level.trials)))
        rows = config.hpo.data_fraction * (share if self._is_open("hpo.data_fraction") else 1.0)
        trial_epochs = config.hpo.epochs or epochs
        if fit and self._is_open("hpo.epochs"):
            per_epoch = rows * self._per_fold / config.training.batch_size
            # A trial that trained for longer than the refit would choose what suits longer trainings.
            trial_epochs = min(MOST_EPOCHS, max(least, most * level.updates) / per_epoch, max(epochs, 1.0) / rows)
        return Budget(length, trials, rows, _rounded(trial_epochs), _rounded(epochs))

    def _length(self) -> int:
        """The shortest length at which enough rows of every entrant are whole, within the configured one."""
        most = min([self.config.training.max_length, *(p.longest for p in self._transformers.values() if p.longest)])
        lengths = range(LENGTHS, most + 1, LENGTHS)
        enough = (one for one in lengths if all(pace.whole(one) >= WHOLE for pace in self._transformers.values()))
        return next(enough, most)

    def _settings(self, budget: Budget, entrants: Sequence[str]) -> dict[str, Scalar]:
        """The config fields that differ from what the config has."""
        wanted: dict[str, Scalar] = {"hpo.max_trials": budget.trials, "hpo.data_fraction": budget.rows}
        if transformers := [pace for name, pace in self._transformers.items() if name in entrants]:
            wanted |= {"training.max_length": budget.length, "training.epochs": budget.epochs}
            wanted["hpo.epochs"] = budget.trial_epochs
            slowest = max(transformers, key=lambda pace: pace.train_seconds)
            if self.config.training.precision == "auto" and slowest.precision == "bf16":
                wanted["training.precision"] = "bf16"
        if "epochs" in self.config.hpo.space:
            # Trials choose their epochs themselves.
            wanted.pop("hpo.epochs", None)
        if budget.trials < self.config.hpo.max_failed_trials:
            wanted["hpo.max_failed_trials"] = budget.trials
        tree = self.config.model_dump()
        open_fields = {name: value for name, value in wanted.items() if self._is_open(name)}
        return {name: value for name, value in open_fields.items() if _at(tree, name) != value}

    def _expected(self, budget: Budget, entrants: Sequence[str]) -> dict[str, float]:
        """Seconds of every part of the run."""
        search = refit = benchmark = 0.0
        part, folds, test = self.config.benchmark, self.data.folds, self.data.rows["test"]
        for name in entrants:
            pace = self.paces[name]
            share = pace.at(budget.length)
            epochs, trial_epochs = (budget.epochs, budget.trial_epochs) if pace.in_epochs else (1.0, 1.0)
            trained = pace.train_seconds * share * self._per_fold * budget.rows * trial_epochs
            kind = ENTRANTS.get(self.config.entrants[name].kind)
            scored = pace.predict_seconds * share * kind.asked_rows(self.config, self._development / folds)
            search += budget.trials * folds * (pace.start_seconds + trained + scored) / self.cores
            # A refit has all cores, of which the last ones help less.
            speed = self.cores**0.8 if pace.in_epochs else 1.0
            refit += START + pace.start_seconds
            refit += (pace.train_seconds * epochs * self._development + pace.predict_seconds * test) * share / speed
            variants = [variant for variant in part.variants if variant in kind.variants]
            built = len([variant for variant in variants if variant != "eager"])
            rows = part.samples + THROUGHPUT_BATCHES * part.throughput_batch_size
            measured = part.repetitions * (LOAD + min(part.max_seconds, pace.predict_seconds * share * rows))
            benchmark += built * (BUILD + pace.predict_seconds * share * test) + len(variants) * measured
        return {
            "until now": self.elapsed,
            "search": START * len(entrants) / min(2, self.cores) + search,
            "refit": refit,
            "benchmark": START + benchmark,
            "report": LAST,
        }

    def _lines(
        self,
        budget: Budget,
        entrants: Sequence[str],
        expected: Mapping[str, float],
        limit: float | None,
    ) -> dict[str, str]:
        rows = f"{budget.rows:.0%} of the rows of each fold" if budget.rows < 1 else "all rows of each fold"
        trials = f"{budget.trials} trials each on {rows}"
        refits = f"refits on all {self._development:,} rows"
        lines = {"Entrants": ", ".join(entrants)}
        if shown := {name: pace for name, pace in self._transformers.items() if name in entrants}:
            trials += f", transformers for {_epochs(budget.trial_epochs)}"
            refits += f", transformers for {_epochs(budget.epochs)}"
            whole = min(pace.whole(budget.length) for pace in shown.values())
            cut = f"longer rows are cut ({1 - whole:.0%})" if whole < 1 else "no row is cut"
            lines["Length"] = f"{budget.length} tokens; {cut}"
        lines["Search"] = f"{trials}; {refits}"
        if cautions := self._cautions(budget, shown):
            lines["Caution"] = "; ".join(cautions)
        parts = ", ".join(f"{part} {duration(seconds)}" for part, seconds in expected.items())
        total = sum(expected.values())
        of_limit = "no time limit" if limit is None else f"the limit is {duration(limit)}"
        lines["Time"] = f"about {duration(total)} expected ({parts}); {of_limit}"
        if limit is not None and total > limit:
            lines["Time"] += ", which is too short even for the least that is tried"
        return lines

    def _cautions(self, budget: Budget, transformers: Mapping[str, Pace]) -> list[str]:
        """What may keep the transformers below what they could reach; `transformers` are those that compete."""
        usual, batch, cautions = self._updates[0], self.config.training.batch_size, []
        trial = round(budget.rows * self._per_fold * budget.trial_epochs / batch)
        refit = round(self._development * budget.epochs / batch)
        if transformers and self.config.plan.fit and (trial < FEW_TRIAL * usual or refit < FEW_REFIT * usual):
            cautions.append(
                f"transformers are hardly trained, with {trial} updates of their weights in a trial and {refit} in the "
                f"refit, where {usual} usually are enough; with a longer --time-limit one of them may be the best"
            )
        if any(pace.whole(budget.length) < MOSTLY for pace in transformers.values()):
            median = max(pace.lengths[len(pace.lengths) // 2] for pace in transformers.values())
            cautions.append(
                f"transformers read the first {budget.length} tokens of a text alone, and half of the texts have at "
                f"least {median:,}"
            )
        if blind := {name: pace.unknown for name, pace in self._transformers.items() if pace.unknown >= UNKNOWN}:
            cautions.append(
                f"{' and '.join(blind)} cannot read {max(blind.values()):.0%} of the tokens of these texts; name a "
                "model for their language or script with --backbone"
            )
        return cautions


def _rounded(epochs: float) -> float:
    """Epochs with two digits: more would feign precision."""
    return float(f"{epochs:.2g}")


def _epochs(number: float) -> str:
    return f"{number:g} epoch" if number == 1 else f"{number:g} epochs"


def _at(tree: Mapping[str, Any], name: str) -> Any:
    section, field = name.split(".")
    return tree[section][field]

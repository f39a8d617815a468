"""The neutral experiment: what is searched, for what, how, and for how long. It names no engine."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from podium.config.schema import HpoConfig
from podium.errors import ConfigError
from podium.hpo.space import Space
from podium.records import Scalar

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Objective:
    """What makes one trial better than another.

    Attributes:
        metric: name of the score, for people and records.
        direction: whether a larger or a smaller score is better.
        goal: a score at which the study ends early; None searches through the whole budget.
    """

    metric: str
    direction: Direction = "maximize"
    goal: float | None = None

    def __post_init__(self) -> None:
        if self.direction not in ("maximize", "minimize"):
            raise ConfigError(f"direction must be 'maximize' or 'minimize', but got {self.direction!r}")
        if self.goal is not None and not math.isfinite(self.goal):
            raise ConfigError(f"goal must be finite, but got {self.goal}; leave it out to use the whole budget")

    def better(self, score: float, other: float) -> bool:
        """Whether `score` is strictly better than `other`."""
        return score > other if self.direction == "maximize" else score < other

    def reached(self, score: float) -> bool:
        """Whether `score` meets the goal."""
        return self.goal is not None and not self.better(self.goal, score)


@dataclass(frozen=True)
class Setting:
    """One setting of an algorithm: its type and, for a number, its smallest value."""

    type: type[bool] | type[int]
    minimum: int | None = None

    def check(self, value: Scalar) -> Scalar:
        """`value` in the declared type.

        Raises:
            ValueError: the value is of another type or too small.
        """
        if self.type is bool:
            if not isinstance(value, bool):
                raise ValueError(f"true or false is expected, but got {value!r}")
            return value
        if isinstance(value, (bool, str)) or not math.isfinite(value) or value != int(value):
            raise ValueError(f"a whole number is expected, but got {value!r}")
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"value >= {self.minimum} must hold, but got {value!r}")
        return int(value)


ALGORITHMS: dict[str, dict[str, Setting]] = {
    "random": {},
    "tpe": {
        "n_startup_trials": Setting(int, 0),
        "n_ei_candidates": Setting(int, 1),
        "multivariate": Setting(bool),
        "constant_liar": Setting(bool),
    },
}
"""Settings by algorithm, with the meaning and the defaults that Optuna's sampler of that name gives them."""


@dataclass(frozen=True)
class Algorithm:
    """How the next trial is chosen.

    Raises:
        ConfigError: no such algorithm, no such setting of it, or a value it does not take.
    """

    name: str = "random"
    settings: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in ALGORITHMS:
            raise ConfigError(f"no algorithm {self.name!r}{_nearest(self.name, ALGORITHMS)}")
        known = ALGORITHMS[self.name]
        checked: dict[str, Scalar] = {}
        for name, value in sorted(self.settings.items()):
            if name not in known:
                raise ConfigError(f"algorithm {self.name!r} has no setting {name!r}{_nearest(name, known)}")
            try:
                checked[name] = known[name].check(value)
            except ValueError as error:
                raise ConfigError(f"setting {name!r} of algorithm {self.name!r}: {error}") from error
        object.__setattr__(self, "settings", checked)


@dataclass(frozen=True)
class Experiment:
    """One search over one space.

    Attributes:
        name: for people, logs and, on a cluster, the name of the resource.
        max_trials: trials that end, whether they succeed or fail, before the study does.
        parallel_trials: trials that run at once.
        max_failed_trials: failed trials that are put up with; one more ends the study with an error.
        seed: source of every suggestion: the same seed and results lead to the same trials.
    """

    name: str
    space: Space
    objective: Objective
    algorithm: Algorithm
    max_trials: int
    parallel_trials: int
    max_failed_trials: int
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("max_trials", 1), ("parallel_trials", 1), ("max_failed_trials", 0)):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"{name} >= {least} must hold, but got {name}={value}")

    @classmethod
    def from_config(cls, name: str, config: HpoConfig, metric: str, seed: int, cores: int) -> Experiment:
        """The experiment that a validated `hpo` section describes.

        Args:
            name: for people and logs.
            config: the `hpo` section of the config.
            metric: what the study maximises; every metric a study may name is one where more is better.
            seed: of the run.
            cores: how many trials run at once where the config leaves that open.

        Raises:
            ConfigError: a part contradicts itself; the message names the field.
        """
        try:
            algorithm = Algorithm(config.algorithm.name, config.algorithm.settings)
        except ConfigError as error:
            raise ConfigError(f"hpo.algorithm: {error}") from error
        return cls(
            name=name,
            space=Space.from_config(config.space),
            objective=Objective(metric, "maximize", config.goal),
            algorithm=algorithm,
            max_trials=config.max_trials,
            parallel_trials=min(config.parallel_trials or max(1, cores), config.max_trials),
            max_failed_trials=config.max_failed_trials,
            seed=seed,
        )


def _nearest(name: str, known: Mapping[str, object]) -> str:
    if not known:
        return "; it takes no settings"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = ", ".join(sorted(known))
    return f"; did you mean {close[0]!r}? Known: {listed}" if close else f"; known: {listed}"

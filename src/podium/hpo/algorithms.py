"""The algorithms that choose the next trial or stop one early, by Katib's names, and the settings each takes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from podium.errors import ConfigError
from podium.records import Scalar


@dataclass(frozen=True)
class Setting:
    """One setting of an algorithm: its type, the smallest value of a number, or the words it may be.

    Attributes:
        type: bool, int, float or str.
        minimum: the smallest number that is taken.
        choices: the only words that are taken; empty takes any that is not empty.
        required: whether the algorithm has no default for it.
    """

    type: type[bool] | type[int] | type[float] | type[str]
    minimum: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False

    def check(self, value: Scalar) -> Scalar:
        """`value` in the declared type.

        Raises:
            ValueError: the value is of another type, too small or none of the choices.
        """
        if self.type is bool:
            if not isinstance(value, bool):
                raise ValueError(f"true or false is expected, but got {value!r}")
            return value
        if self.type is str:
            return self._word(value)
        if isinstance(value, (bool, str)) or not math.isfinite(value):
            raise ValueError(f"a {self._number} is expected, but got {value!r}")
        if self.type is int and value != int(value):
            raise ValueError(f"a {self._number} is expected, but got {value!r}")
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"value >= {self.minimum:g} must hold, but got {value!r}")
        return int(value) if self.type is int else float(value)

    @property
    def _number(self) -> str:
        return "whole number" if self.type is int else "finite number"

    def _word(self, value: Scalar) -> str:
        if not isinstance(value, str) or not value:
            raise ValueError(f"a text is expected, but got {value!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"one of {', '.join(self.choices)} is expected, but got {value!r}")
        return value


_TPE = {"n_startup_trials": Setting(int, 0), "n_ei_candidates": Setting(int, 1)}

ALGORITHMS: dict[str, dict[str, Setting]] = {
    "random": {},
    "grid": {},
    "tpe": {**_TPE, "multivariate": Setting(bool), "constant_liar": Setting(bool)},
    "multivariate-tpe": _TPE,
    "bayesianoptimization": {
        "base_estimator": Setting(str, choices=("GP", "RF", "ET", "GBRT")),
        "n_initial_points": Setting(int, 0),
        "acq_func": Setting(str, choices=("gp_hedge", "LCB", "EI", "PI", "EIps", "PIps")),
        "acq_optimizer": Setting(str, choices=("auto", "sampling", "lbfgs")),
    },
    "cmaes": {"restart_strategy": Setting(str, choices=("none", "ipop", "bipop")), "sigma": Setting(float, 0)},
    "sobol": {},
    "hyperband": {
        "resource_name": Setting(str, required=True),
        "r_l": Setting(float, 1, required=True),
        "eta": Setting(int, 2),
    },
}
"""Settings by algorithm. Those of tpe have the meaning and defaults of Optuna's sampler, the others Katib's.

The seed is no setting: it belongs to the experiment.
"""

_MEDIAN = {"min_trials_required": Setting(int, 1), "start_step": Setting(int, 1)}

FROM_THE_START = ("grid", "sobol", "hyperband")
"""Algorithms of which every new suggestion service of Katib begins where the last one began."""

EARLY_STOPPING: dict[str, dict[str, Setting]] = {"medianstop": _MEDIAN, "median": _MEDIAN}
"""Settings by early stopping algorithm: `medianstop` is Katib's, `median` Podium's own; see `podium.hpo.stopping`."""

_STOPPING_DEFAULTS: dict[str, dict[str, Scalar]] = {
    "medianstop": {"min_trials_required": 3, "start_step": 4},
    "median": {"min_trials_required": 3, "start_step": 1},
}


@dataclass(frozen=True)
class Algorithm:
    """How the next trial is chosen.

    Raises:
        ConfigError: no such algorithm, no such setting of it, a value it does not take, or one it needs is absent.
    """

    name: str = "random"
    settings: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", _checked(self.name, self.settings, ALGORITHMS))


@dataclass(frozen=True)
class EarlyStopping:
    """When a trial that does worse than the others is stopped.

    Both rules need `min_trials_required` succeeded trials (default 3) before they stop any. `medianstop` judges a
    trial at its `start_step`-th reported value (default 4), `median` from that one on (default 1).

    Raises:
        ConfigError: no such algorithm, no such setting of it, or a value it does not take.
    """

    name: str = "medianstop"
    settings: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = _checked(self.name, self.settings, EARLY_STOPPING)
        object.__setattr__(self, "settings", {**_STOPPING_DEFAULTS[self.name], **settings})


def hint(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown `name`: the nearest known one and all of them."""
    listed = sorted(known)
    if not listed:
        return ""
    folded = {item.lower(): item for item in listed}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    joined = ", ".join(listed)
    return f"; did you mean {folded[close[0]]!r}? Known: {joined}" if close else f"; known: {joined}"


def _checked(
    algorithm: str, settings: Mapping[str, Scalar], algorithms: Mapping[str, Mapping[str, Setting]]
) -> dict[str, Scalar]:
    if algorithm not in algorithms:
        raise ConfigError(f"no algorithm {algorithm!r}{hint(algorithm, algorithms)}")
    known = algorithms[algorithm]
    checked: dict[str, Scalar] = {}
    for name, value in sorted(settings.items()):
        if name not in known:
            known_names = hint(name, known) or "; it takes no settings"
            raise ConfigError(f"algorithm {algorithm!r} has no setting {name!r}{known_names}")
        try:
            checked[name] = known[name].check(value)
        except ValueError as error:
            raise ConfigError(f"setting {name!r} of algorithm {algorithm!r}: {error}") from error
    absent = [name for name, setting in known.items() if setting.required and name not in checked]
    if absent:
        raise ConfigError(f"algorithm {algorithm!r} needs the settings {', '.join(absent)}, but they are not given")
    return checked

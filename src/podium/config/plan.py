"""The `plan` section: what the data and the machine decide before anything is trained, and how long a run may take."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from podium.config.section import Section

PLANNED = (
    "training.max_length",
    "training.epochs",
    "training.precision",
    "hpo.epochs",
    "hpo.data_fraction",
    "hpo.max_trials",
)
"""Fields that a plan sets, unless the user has set them."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def seconds_of(value: Any) -> Any:
    """Seconds of a duration as people write it: `90s`, `15m`, `1h30m`; a plain number is seconds."""
    if not isinstance(value, str) or value.replace(".", "", 1).isdigit():
        return value
    text = value.replace(" ", "").lower()
    if not re.fullmatch(rf"(?:{_DURATION.pattern})+", text):
        raise ValueError(f"a duration is written as 90s, 15m or 1h30m, but got {value!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))


class PlanConfig(Section):
    """What is decided by the data and the machine, once the data has been read."""

    fit: bool = Field(
        False,
        description="Let the length of the texts decide `training.max_length`, and the number of rows the epochs. "
        "Otherwise they are only lowered where `time_limit` asks for it.",
    )
    time_limit: Annotated[float, BeforeValidator(seconds_of), Field(ge=60)] | None = Field(
        None,
        description="Time that the whole run may take, such as `15m` or `1h30m`, at least `1m`. By what is measured on "
        "this machine, trials, their rows, lengths, epochs and at last entrants are cut to fit. `null`: no limit.",
    )
    fixed: tuple[str, ...] = Field(
        (), description="Fields that the plan leaves as they are; those that the user sets are added."
    )

    @property
    def decides(self) -> bool:
        return self.fit or self.time_limit is not None

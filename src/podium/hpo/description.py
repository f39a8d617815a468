"""What a study says of itself: the document `study.json` beside its trials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from podium.errors import ConfigError, InputError
from podium.hpo.algorithms import Algorithm, EarlyStopping
from podium.hpo.experiment import Experiment, Objective
from podium.hpo.space import (
    CategoricalParameter,
    Condition,
    DiscreteParameter,
    FloatParameter,
    IntParameter,
    NormalParameter,
    Parameter,
    Space,
)
from podium.records import Frozen

_NAMES: dict[type[Any], str] = {
    FloatParameter: "float",
    IntParameter: "int",
    NormalParameter: "normal",
    CategoricalParameter: "categorical",
    DiscreteParameter: "discrete",
}
_KINDS: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(parameter) for parameter, name in _NAMES.items()}
_OBJECTIVE, _ALGORITHM = TypeAdapter(Objective), TypeAdapter(Algorithm)
_CONDITIONS = TypeAdapter(tuple[Condition, ...])
_STOPPING: TypeAdapter[EarlyStopping | None] = TypeAdapter(EarlyStopping | None)


class StudyAbout(Frozen):
    """Where a study comes from.

    Attributes:
        engine: what runs its trials.
        backbone: that it tunes; empty for one read from a Katib file.
        family: key of the studies that share everything but the backbone; empty for one read from a Katib file.
        source: the Katib file it was read from; empty for one of the pipeline.
        katib: the Katib Experiment it was read from.
    """

    engine: str = "embedded"
    backbone: str = ""
    family: str = ""
    source: str = ""
    katib: dict[str, Any] | None = None


SCHEMA_VERSION = 1


@dataclass(frozen=True)
class StudyDescription:
    """A study without its trials."""

    experiment: Experiment
    about: StudyAbout = field(default_factory=StudyAbout)

    def to_json(self) -> str:
        """JSON text; `from_json` reads it back equal."""
        body = {
            "schema_version": SCHEMA_VERSION,
            "about": self.about.model_dump(mode="json"),
            "experiment": experiment_to_json(self.experiment),
        }
        return json.dumps(body, indent=1)

    @classmethod
    def from_json(cls, text: str) -> StudyDescription:
        """Read a description.

        Raises:
            InputError: the text does not describe a study as this version of Podium writes it.
        """
        try:
            body = json.loads(text)
            if body["schema_version"] != SCHEMA_VERSION:
                raise InputError(f"schema_version must be {SCHEMA_VERSION}, but got {body['schema_version']!r}")
            return cls(experiment_from_json(body["experiment"]), StudyAbout.model_validate(body["about"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the description of a study is damaged: {type(error).__name__}: {error}") from error


def experiment_to_json(experiment: Experiment) -> dict[str, Any]:
    """An experiment as JSON values; every parameter names its kind."""
    parts = {item.name: getattr(experiment, item.name) for item in fields(experiment)}
    return {
        **parts,
        "space": {
            "parameters": {name: _parameter_to_json(parameter) for name, parameter in experiment.space.parameters},
            "conditions": [asdict(condition) for condition in experiment.space.conditions],
        },
        "objective": asdict(experiment.objective),
        "algorithm": asdict(experiment.algorithm),
        "early_stopping": None if experiment.early_stopping is None else asdict(experiment.early_stopping),
    }


def experiment_from_json(values: Mapping[str, Any]) -> Experiment:
    """The experiment that `experiment_to_json` wrote, equal to the first.

    Raises:
        InputError: something is absent, unknown or contradictory.
    """
    try:
        parts = {
            **values,
            "space": Space.of(
                {name: _parameter_from_json(item) for name, item in values["space"]["parameters"].items()},
                _CONDITIONS.validate_python(values["space"]["conditions"]),
            ),
            "objective": _OBJECTIVE.validate_python(values["objective"]),
            "algorithm": _ALGORITHM.validate_python(values["algorithm"]),
            "early_stopping": _STOPPING.validate_python(values["early_stopping"]),
        }
        return Experiment(**parts)
    except (AttributeError, ConfigError, KeyError, TypeError, ValidationError) as error:
        raise InputError(
            f"an experiment must be as this version of Podium writes it, but got {type(error).__name__}: {error}"
        ) from error


def _parameter_to_json(parameter: Parameter) -> dict[str, Any]:
    return {"kind": _NAMES[type(parameter)], **{f.name: getattr(parameter, f.name) for f in fields(parameter)}}  # type: ignore[arg-type]


def _parameter_from_json(values: Mapping[str, Any]) -> Parameter:
    parts = dict(values)
    kind = parts.pop("kind")
    parameter: Parameter = _KINDS[kind].validate_python(parts)
    return parameter

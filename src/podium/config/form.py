"""The run form: the few values a user fills in, on the command line or in the KFP UI.

Field names are the parameters of the pipeline; their prefixes group them in the form. Empty means: as the preset has
it. Everything else goes through `run_overrides`, in the command line's own syntax. The pipeline's signature and the
help of the command's options are made from these fields; a test holds the first component's signature equal to them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self, get_type_hints


def _asked(default: Any, description: str, sets: str = "") -> Any:
    """A field of the form; `sets` names the config field that takes its value as it is."""
    return field(default=default, metadata={"description": description, "sets": sets})


@dataclass(frozen=True)
class RunForm:
    """What a user asks for."""

    run_preset: str = _asked("", "Preset to start from; when empty `auto` with data of your own, else `quickstart`.")
    run_config: str = _asked("", "YAML file of config values, applied over the preset.")
    run_time_limit: str = _asked(
        "", "Time that the run may take, such as `15m`; it is planned to fit.", sets="plan.time_limit"
    )
    run_mode: str = _asked("", "`reuse` (default: reuse what exists) or `force_new`.", sets="run_mode")
    run_overrides: tuple[str, ...] = _asked((), "Further config values, each `group.key=value`.")
    run_store: str = _asked("", "URI of the artifact store.", sets="store")
    run_tracking_uri: str = _asked("", "URI of the MLflow server.", sets="tracking.uri")
    data_path: str = _asked("", "Data of your own, a file, folder or URI; its format and columns are inferred.")
    data_task: str = _asked("", "What the data is labelled for, such as `ner`; inferred when empty.")
    data_text_column: str = _asked("", "Column of the text; inferred when empty.")
    data_label_column: str = _asked("", "Column of the label; inferred when empty.")
    model_entrants: tuple[str, ...] = _asked(
        (), "Models that compete: `linear`, or paths, URIs or hub ids of pretrained models."
    )
    hpo_max_trials: int = _asked(0, "Trials per entrant; 0 leaves it to the preset.", sets="hpo.max_trials")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The form with what `values` has of it; lists become tuples."""
        found: dict[str, Any] = {one.name: values[one.name] for one in fields(cls) if one.name in values}
        lists = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
        return cls(**(found | lists))

    def config_values(self) -> dict[str, Any]:
        """What the form says of single config fields, by dotted name."""
        found = {one.metadata["sets"]: getattr(self, one.name) for one in fields(self) if one.metadata["sets"]}
        return {name: value for name, value in found.items() if value}


def description(name: str, form: type = RunForm) -> str:
    """What a field of a form asks for."""
    return next(str(one.metadata["description"]) for one in fields(form) if one.name == name)


def parameters(form: type = RunForm) -> list[inspect.Parameter]:
    """The fields of a form as parameters of a pipeline or component, in types that KFP knows."""
    hints = get_type_hints(form)

    def default(one: Any) -> Any:
        made = one.default if one.default_factory is MISSING else one.default_factory()
        return list(made) if isinstance(made, tuple) else made

    return [
        inspect.Parameter(
            one.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=default(one),
            annotation=list[str] if isinstance(one.default, tuple) else hints[one.name],
        )
        for one in fields(form)
    ]


def takes_forms(*forms: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a pipeline, which takes one mapping of values for each form, the parameters of the forms."""

    def decorated(pipeline: Callable[..., None]) -> Callable[..., None]:
        def taking(*values: Any) -> None:
            given = iter(values)
            pipeline(*({one.name: next(given) for one in fields(form)} for form in forms))

        taking.__name__ = pipeline.__name__
        signature = inspect.Signature([one for form in forms for one in parameters(form)])
        taking.__signature__ = signature  # type: ignore[attr-defined]
        lines = [f"    {one.name}: {one.metadata['description']}" for form in forms for one in fields(form)]
        taking.__doc__ = "\n".join([inspect.getdoc(pipeline) or "", "", "Args:", *lines])
        return taking

    return decorated

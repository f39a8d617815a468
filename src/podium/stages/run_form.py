"""The run form: the few values a user fills in, on the command line or in the KFP UI.

Field names are the parameters of the pipeline; their prefixes group them in the form. Empty means: as the
preset has it. Everything else goes through `run_overrides`, in the command line's own syntax.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from podium.config.compose import Composed, backbone_overrides, compose
from podium.config.paths import locate, resolve
from podium.config.section import Section


class RunForm(Section):
    """What a user asks for."""

    run_preset: str = "quickstart"
    run_config: str = ""
    run_mode: str = ""
    run_overrides: tuple[str, ...] = ()
    run_store: str = ""
    run_tracking_uri: str = ""
    data_path: str = ""
    data_task: str = ""
    data_text_column: str = ""
    data_label_column: str = ""
    model_backbones: tuple[str, ...] = ()
    hpo_max_trials: int = 0


_READING = ("dataset.format", "dataset.encoding", "dataset.fallback_encoding")


@dataclass(frozen=True)
class Resolved:
    """A composed form, and the lines that say what was inferred from the data."""

    composed: Composed
    inferred: tuple[str, ...]


_FIELDS = {
    "run_mode": "run_mode",
    "run_store": "store",
    "run_tracking_uri": "tracking.uri",
    "hpo_max_trials": "hpo.max_trials",
}


def resolve_form(form: RunForm, directory: Path) -> Resolved:
    """Turn a form into a validated config; relative paths are relative to `directory`.

    Raises:
        ConfigError: a value is unknown or contradicts another.
        InputError: the data or a backbone is missing, or its columns cannot be inferred.
    """
    files = [locate(resolve(form.run_config, directory))] if form.run_config else []
    default = RunForm.model_fields["run_preset"].default
    chosen = any(override.startswith("preset=") for override in form.run_overrides)
    # The default preset is left to composition, so that a file may choose another.
    overrides = [] if chosen or form.run_preset == default else [f"preset={form.run_preset}"]
    inferred: tuple[str, ...] = ()
    if form.data_path:
        from podium.data.infer import infer

        path = locate(resolve(form.data_path, directory))
        declared = _declared(form.run_overrides)
        found = infer(
            path, form.data_task or None, form.data_text_column or None, form.data_label_column or None, declared
        )
        overrides += found.overrides
        inferred = tuple(found.lines)
    if form.model_backbones:
        overrides += backbone_overrides(form.model_backbones)
    overrides += [f"{key}={value}" for name, key in _FIELDS.items() if (value := getattr(form, name))]
    return Resolved(compose([*overrides, *form.run_overrides], directory, files), inferred)


def _declared(overrides: Iterable[str]) -> dict[str, str]:
    """What the overrides say of how the data is to be read, which inference needs to look at it."""
    pairs = (override.partition("=") for override in overrides)
    return {key.removeprefix("dataset."): value for key, _, value in pairs if key in _READING}

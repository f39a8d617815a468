"""From the run form to a validated config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from podium.config.compose import Composed, compose, group_options
from podium.config.form import RunForm
from podium.config.overrides import Assignment, Parsed, backbone_choice, choice_of, parse_overrides
from podium.config.paths import locate, resolve

_READING = {("dataset", name) for name in ("format", "encoding", "fallback_encoding")}
"""Fields by which inference reads the data, where the user has set them."""


@dataclass(frozen=True)
class Resolved:
    """A composed form, and the lines that say what was inferred from the data."""

    composed: Composed
    inferred: tuple[str, ...]


def resolve_form(form: RunForm, directory: Path) -> Resolved:
    """Turn a form into a validated config; relative paths are relative to `directory`.

    Raises:
        ConfigError: a value is unknown or contradicts another.
        InputError: the data or a backbone is missing, or its columns cannot be inferred.
    """
    files = [locate(resolve(form.run_config, directory))] if form.run_config else []
    given = Parsed()
    # The default preset is left to composition, so that a file may choose another.
    if form.run_preset != RunForm.run_preset:
        given.groups["preset"] = choice_of("preset", form.run_preset, group_options())
    lines: tuple[str, ...] = ()
    if form.data_path:
        from podium.data.infer import infer

        path = locate(resolve(form.data_path, directory))
        assigned = parse_overrides(form.run_overrides, group_options()).assignments
        declared = {one.path[1]: one.value for one in assigned if one.path in _READING}
        found = infer(
            path, form.data_task or None, form.data_text_column or None, form.data_label_column or None, declared
        )
        given.add(found.given)
        lines = tuple(found.lines)
    if form.model_backbones:
        given.add(backbone_choice(form.model_backbones))
    given.assignments += [Assignment(tuple(name.split(".")), value) for name, value in form.config_values().items()]
    return Resolved(compose(form.run_overrides, directory, files, given), lines)

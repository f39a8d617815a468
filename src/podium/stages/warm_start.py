"""Warm start: the finished studies whose trials a search learns from before its own."""

from __future__ import annotations

from podium.config.schema import PodiumConfig
from podium.errors import ConfigError, InputError
from podium.records import DataRecord, StudyRecord, TrialRecord
from podium.stages.keys import Prior, family_key
from podium.store.explain import differences
from podium.store.store import ArtifactStore
from podium.text import shortened

_SHOWN = 5


def prior_trials(store: ArtifactStore, config: PodiumConfig, data: DataRecord) -> Prior:
    """The trials of the studies that `hpo.warm_start` names, by key of the study, in order of the keys.

    Raises:
        ConfigError: no finished study of the store has such a key, several have, or it is not of the same family:
            it searched something else, or trained on other data.
    """
    found: dict[str, tuple[TrialRecord, ...]] = {}
    for prefix in config.hpo.warm_start:
        study = _study(store, prefix)
        if study.family != family_key(config, data).digest:
            raise ConfigError(
                "hpo.warm_start: a study must be of the same family, that is, differ in its backbone and budgets only, "
                f"but {study.key[:12]} ({study.backbone}) has other {_differing(store, config, data, study)}"
            )
        found[study.key] = study.trials
    return dict(sorted(found.items()))


def _study(store: ArtifactStore, prefix: str) -> StudyRecord:
    try:
        _, key = store.resolve(f"study/{prefix.removeprefix('study/')}")
    except InputError as error:
        raise ConfigError(f"hpo.warm_start: {error}; `podium hpo status` lists the studies") from error
    study = store.get(StudyRecord, key)
    if study is None:
        raise ConfigError(f"hpo.warm_start: the record of study {key} is damaged; run that study again")
    return study


def _differing(store: ArtifactStore, config: PodiumConfig, data: DataRecord, study: StudyRecord) -> str:
    asked = family_key(config, data).parts
    had = {name: value for name, value in store.parts("study", study.key).items() if name in asked}
    changed = [f"{path} ({old}, here {new})" for path, old, new in differences(had, asked)]
    return shortened(changed, _SHOWN, separator="; ")

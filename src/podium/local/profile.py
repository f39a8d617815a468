"""`podium profile MODEL`: one model profiled on this machine, outside a run, and profiles that lie on it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.config.benchmark import VariantName
from podium.config.form import RunForm
from podium.config.profile import ProfileConfig
from podium.devices.hardware import fingerprint
from podium.errors import InputError
from podium.inference.predictor import Row
from podium.inference.stored import JOURNAL_FILE, load_run
from podium.keys import Key
from podium.local.benchmark import DataChoice, check_variant, texts_of
from podium.local.models import locate, tidy
from podium.models.backbone import GENERATION
from podium.profiling.session import RECORD, Subject, commands, profile, workload_of
from podium.profiling.workload import SYNTHETIC, Workload
from podium.records import ProfileRecord
from podium.stages.keys import lone_profile_key
from podium.stages.prepare import resolve_form
from podium.stages.profile import PAGE, publish
from podium.store.store import ArtifactStore

_KEY = re.compile(r"(?:profile/)?[0-9a-f]{4,64}")
_SYNTHETIC_ROWS = ("a short row", "a row with a few more words in it than that", "one " * 30, "two words")


@dataclass(frozen=True, kw_only=True)
class ProfileCommand(DataChoice):
    """What is profiled.

    Attributes:
        model: a registered version, a model of a run, a run of `podium infer`, a directory, a URI, `pkg:NAME/PATH` or
            a hub id; `synthetic` for a small module that needs no files.
        variant: the form in which it runs; empty for that in which it is deployed.
        settings: `NAME=VALUE` of the config's profile section.
    """

    model: str
    variant: str = ""
    settings: Sequence[str] = ()
    store: str = ""
    tracking_uri: str = ""
    force: bool = False


@dataclass(frozen=True)
class Planned:
    """What a command would do: `stored` is its result where there is one already."""

    subject: Subject
    config: ProfileConfig
    hardware: dict[str, str]
    key: Key
    directory: Path
    store: ArtifactStore
    force: bool
    stored: ProfileRecord | None = None

    @property
    def workload(self) -> Workload:
        return workload_of(self.subject, self.config, self.directory)


def plan_profile(command: ProfileCommand, directory: Path) -> Planned:
    """Find model and rows, and look for a stored profile; nothing is run.

    Args:
        directory: where relative paths start.

    Raises:
        InputError: the model, its rows or a setting cannot be used.
    """
    config = profile_config(command.settings, directory)
    folder = profiles_folder(command.store, directory)
    subject = _subject(command, config, directory, folder)
    hardware = fingerprint(config.device, config.threads)
    about = {name: value for name, value in subject._asdict().items() if name not in ("path", "rows")}
    key = lone_profile_key(about, subject.rows, config, hardware)
    store = ArtifactStore(command.store)
    place = folder / f"{subject.name}-{subject.variant}-{key.short}"
    stored = None if command.force else store.get(ProfileRecord, key.digest)
    return Planned(subject, config, hardware, key, place, store, command.force, stored)


def profile_config(settings: Sequence[str], directory: Path) -> ProfileConfig:
    """The profile section with these settings; it names a tool where they name none."""
    overrides = ("profile=operators", *(f"profile.{one}" for one in settings))
    return resolve_form(RunForm(run_overrides=overrides), directory).config.profile


def profiles_folder(store: str, directory: Path) -> Path:
    """Where profiles lie: beside the store, or in `podium-out` of the directory where the store is elsewhere."""
    return (
        (directory / store).absolute().parent / "profiles" if "://" not in store else directory / "podium-out/profiles"
    )


def run_profile(planned: Planned) -> tuple[ProfileRecord, bool]:
    """Profile, or bring back the files of the stored profile; returns the record, and whether it was stored."""
    if planned.stored is not None:
        _restore(planned.stored, planned.directory, planned.store)
        return planned.stored, True
    with planned.store.lease(planned.key):
        if not planned.force and (made := planned.store.get(ProfileRecord, planned.key.digest)) is not None:
            _restore(made, planned.directory, planned.store)
            return made, True
        shutil.rmtree(planned.directory, ignore_errors=True)
        stamp = {"key": planned.key.digest}
        found = profile(planned.subject, planned.config, planned.hardware, planned.directory, stamp)
        publish(found, planned.directory / PAGE)
        kept = {"profile": planned.store.put_artifact("profile", planned.directory)}
        found = found.model_copy(update={"artifacts": kept})
        planned.store.put(planned.key, found)
    return found, False


def _restore(record: ProfileRecord, directory: Path, store: ArtifactStore) -> None:
    """Bring the files of a stored profile back to where its commands expect them, unless they lie there."""
    if (directory / RECORD).is_file():
        return
    shutil.copytree(store.fetch(record.artifacts["profile"]), directory, dirs_exist_ok=True)
    for one in (directory, *directory.rglob("*")):
        one.chmod(0o700 if one.is_dir() else 0o600)


def _subject(command: ProfileCommand, config: ProfileConfig, directory: Path, folder: Path) -> Subject:
    from podium.benchmarking.calls import sample_rows

    if command.model == SYNTHETIC:
        return Subject("", SYNTHETIC, "", "text-classification", "eager", _SYNTHETIC_ROWS)
    reference, answered = _of_inference(command, directory)
    files = locate(reference, directory, command.store, command.tracking_uri, folder / "models" / tidy(reference))
    variant: VariantName = command.variant or files.variant  # type: ignore[assignment]
    if files.facts.kind == GENERATION and variant != "eager":
        raise InputError(f"{files.name} is a causal language model, which is profiled eager; leave --variant out")
    check_variant(files.path, files.facts, variant, fingerprint(config.device, config.threads)["device"])
    if command.data or command.dataset or not answered:
        answered = texts_of(files.facts.kind, command, directory).rows
    rows: list[Any] = sample_rows(list[Any](answered), min(config.rows, len(answered)), seed=0)
    about = (str(files.path.absolute()), files.name, files.digest, files.facts.kind)
    return Subject(*about, variant, rows, trust_remote_code=files.trust_remote_code)


def _of_inference(command: ProfileCommand, directory: Path) -> tuple[str, list[Row]]:
    """The model of a run of `podium infer` with the rows that it answered; otherwise the text itself."""
    folder = profiles_folder(command.store, directory).parent / "inference"
    if not any((one / JOURNAL_FILE).is_file() for one in (directory / command.model, folder / command.model)):
        return command.model, []
    found = load_run(command.model, folder)
    return found.run.model, list(found.columns[found.run.content]) if found.run.content else []


def dry_run(planned: Planned) -> dict[str, Any]:
    """What would be run, as JSON-like values."""
    workload = planned.workload
    found: dict[str, Any] = {
        "key": str(planned.key),
        "stored": planned.stored is not None,
        "directory": str(planned.directory),
        "workload": workload.model_dump(mode="json"),
        "commands": commands(workload, planned.config, planned.directory),
    }
    if set(planned.config.tools) - {"operators"}:
        from podium.profiling.capture import deep_commands

        found["commands"] |= deep_commands(workload, planned.config, planned.directory)
    return found


def find_profile(text: str, store: str, directory: Path) -> ProfileRecord:
    """The profile that a text names: its directory, the name of one beside the store, or its key.

    Raises:
        InputError: it names none.
    """
    for folder in (directory / text, profiles_folder(store, directory) / text):
        file = folder if folder.is_file() else folder / RECORD
        if file.is_file():
            return ProfileRecord.read(file)
    if _KEY.fullmatch(text) and (Path(store).exists() or "://" in store):
        held = ArtifactStore(store)
        kind, digest = held.resolve(text)
        if kind == ProfileRecord.kind and (record := held.get(ProfileRecord, digest)) is not None:
            return record
    raise InputError(
        f"a profile is its directory, its name in {profiles_folder(store, directory)}, or its key, but got {text!r}; "
        "`podium profile MODEL` makes one"
    )


def as_json(planned: Planned, record: ProfileRecord, reused: bool) -> dict[str, Any]:
    """The record as JSON-like values, with where its files lie and whether it was stored."""
    return {
        **record.model_dump(mode="json"),
        "kind": record.kind,
        "reused": reused,
        "directory": str(planned.directory),
    }


def lines(planned: Planned, record: ProfileRecord, reused: bool) -> list[str]:
    """What a profile comes to, in lines for people."""
    how = "profiled before and reused; --force profiles again" if reused else f"status {record.status}"
    found = [f"{record.model}: {how}"]
    found += [
        f"  {one.name:<12} {one.median * 1e3:9.3f} ms  {'once' if one.share is None else f'{one.share:.0%}'}"
        for one in record.phases
    ]
    for number, one in enumerate(record.findings[:5], start=1):
        found.append(f"{number}. {one.text}")
    for came in record.tools:
        if came.status != "ok":
            mend = f"; mend it: {came.remedy}" if came.remedy else ""
            found.append(f"{came.name} {came.status}: {came.reason}{mend}")
    found.append(f"page: {planned.directory / PAGE}")
    trace = planned.directory / "operators" / "trace.json"
    return [*found, f"trace for https://ui.perfetto.dev: {trace}"] if trace.is_file() else found

"""Promotions and rollbacks by hand, and who made them."""

from __future__ import annotations

import getpass
import os
import socket

from podium.errors import InputError
from podium.records import DecisionRecord, How, Move, RunRecord, rollback_target
from podium.store.store import ArtifactStore
from podium.tracking import Tracker
from podium.tracking.base import CHAMPION, TAG_MODEL_DIGEST, TrackedModel

_LONGEST_REASON = 1000


def who(run: RunRecord | None = None) -> str:
    """A run of Kubeflow Pipelines, or `user@host`; kfp.local gives its runs an id, too, but no pod."""
    kfp = run.tags.get("podium.kfp.run_id") if run is not None and "KFP_POD_NAME" in os.environ else None
    if kfp:
        return f"kfp run {kfp}"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a numeric user without an entry in the password file
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def promote(tracker: Tracker, name: str, version: str, reason: str) -> Move:
    """Make a registered version the champion, whatever was decided about it.

    Args:
        version: its number or an alias, such as `challenger`.

    Raises:
        InputError: there is no such version, it is the champion already, or the reason is empty or too long.
        TrackingError: the registry refused or did not answer, or Podium did not register the version.
    """
    reason = _checked(reason)
    return _move(tracker, name, _version(tracker, name, version), how="forced", reason=reason)


def rollback(tracker: Tracker, name: str, to: str, reason: str) -> Move:
    """Make an earlier champion the champion again. Later runs do not promote the one that was rolled back.

    Args:
        to: number or alias of the version; empty for the latest champion before this one that was not rolled back.

    Raises:
        InputError: there is no earlier champion or no such version, it is the champion already, or the reason is empty
            or too long.
        TrackingError: the registry refused or did not answer, or Podium did not register the version.
    """
    reason = _checked(reason)
    if not to:
        target = rollback_target(tracker.moves(name))
        if target is None:
            raise InputError(
                f"{name} must have an earlier champion to roll back to, but `podium history {name}` shows none; name a "
                "version with --to"
            )
        to = target.after
    return _move(tracker, name, _version(tracker, name, to), how="rollback", reason=reason)


def _move(tracker: Tracker, name: str, version: TrackedModel, *, how: How, reason: str) -> Move:
    if CHAMPION in version.aliases:
        raise InputError(f"version {version.version} of {name} is the champion already; nothing was changed")
    return tracker.move_champion(name, version.version, how=how, by=who(), reason=reason)


def _version(tracker: Tracker, name: str, selector: str) -> TrackedModel:
    found = tracker.registered(name, selector)
    if found is None:
        raise InputError(f"{selector!r} must be a version or an alias of {name!r}, but {tracker.uri} has none such")
    if TAG_MODEL_DIGEST not in found.tags:
        raise InputError(
            f"a champion carries the tags by which Podium compares models, but version {found.version} of {name} has "
            "none: Podium did not register it"
        )
    return found


def _checked(reason: str) -> str:
    reason = reason.strip()
    if not 0 < len(reason) <= _LONGEST_REASON:
        raise InputError(
            f"a reason must have 1 to {_LONGEST_REASON} characters, but got {len(reason)}; say why in short"
        )
    return reason


def stored_decision(store: ArtifactStore, key: str) -> DecisionRecord:
    """The one stored decision whose key starts with `key`.

    Raises:
        InputError: there is none, or more than one, or it is no decision.
    """
    kind, digest = store.resolve(key if "/" in key else f"decision/{key}")
    record = store.get(DecisionRecord, digest) if kind == "decision" else None
    if record is None:
        raise InputError(f"{key!r} must be the key of a whole decision, but {kind}/{digest[:12]} is not")
    return record

"""Promotions and rollbacks by hand, and who made them."""

from __future__ import annotations

import getpass
import os
import socket
from typing import Literal

from podium.errors import InputError
from podium.records import DecisionRecord, Move, RunRecord, rollback_target
from podium.store.store import ArtifactStore
from podium.tracking import Tracker
from podium.tracking.base import CHAMPION, TAG_KFP_RUN, TAG_MODEL_DIGEST

_LONGEST_REASON = 1000


def who(run: RunRecord | None = None) -> str:
    """A run of Kubeflow Pipelines, or `user@host`; kfp.local gives its runs an id, too, but no pod."""
    kfp = run.tags.get(TAG_KFP_RUN) if run is not None and "KFP_POD_NAME" in os.environ else None
    if kfp:
        return f"kfp run {kfp}"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a numeric user without an entry in the password file
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def move_by_hand(tracker: Tracker, name: str, version: str, how: Literal["forced", "rollback"], reason: str) -> Move:
    """Make a registered version the champion. After a rollback later runs do not promote the one before it.

    Args:
        version: number or alias; empty for the latest champion before this one that was not rolled back.

    Raises:
        InputError: there is no such version, it is the champion already, or the reason is empty or too long.
        TrackingError: the registry refused or did not answer.
    """
    reason = reason.strip()
    if not 0 < len(reason) <= _LONGEST_REASON:
        raise InputError(
            f"a reason must have 1 to {_LONGEST_REASON} characters, but got {len(reason)}; say why in short"
        )
    if not version:
        target = rollback_target(tracker.moves(name))
        if target is None:
            raise InputError(
                f"{name} must have an earlier champion to roll back to, but `podium history {name}` shows none; name a "
                "version with --to"
            )
        version = target.after
    found = tracker.registered(name, version)
    if found is None:
        raise InputError(f"{version!r} must be a version or an alias of {name!r}, but {tracker.uri} has neither")
    if TAG_MODEL_DIGEST not in found.tags:
        raise InputError(
            f"a champion carries the tags by which Podium compares models, but version {found.version} of {name} has "
            "none: Podium did not register it"
        )
    if CHAMPION in found.aliases:
        raise InputError(f"version {found.version} of {name} is the champion already; nothing was changed")
    return tracker.move_champion(name, found.version, how=how, by=who(), reason=reason)


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

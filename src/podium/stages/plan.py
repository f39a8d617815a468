"""What a run would do: for every step, reuse or run, and why. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping

from podium.hpo.experiment import Progress
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import LEDGERS
from podium.keys import Key
from podium.records import Record, RunRecord, StudyRecord
from podium.stages.hpo import MAIN, experiment_of
from podium.stages.prepare import locate_backbones
from podium.stages.step import Step, open_store
from podium.stages.steps import input_titles, inputs_of, nodes
from podium.store.explain import differences
from podium.store.store import ArtifactStore
from podium.text import shortened

_SHOWN = 3


def plan(run: RunRecord) -> str:
    """The steps of a run, in order, one per line: what would happen, the key where it is known, and why.

    Raises:
        ModelError: a backbone is missing.
    """
    locate_backbones(run.config)
    found: dict[str, Record] = {}
    rows = []
    for step, backbone in nodes(run.config.backbones):
        title = step.title(backbone)
        key, reason, stored = plan_step(step, backbone, run, found)
        if stored is not None:
            found[title] = stored
        rows.append((title, "run" if stored is None else "reuse", key, reason))
    width = max(len(title) for title, *_ in rows)
    lines = [f"{title:<{width}}  {action:<5}  {key[:12]:<12}  {reason}" for title, action, key, reason in rows]
    return "\n".join([*lines, f"{len(rows) - len(found)} of {len(rows)} steps would run; nothing was computed"])


def plan_step(step: Step, backbone: str, run: RunRecord, found: Mapping[str, Record]) -> tuple[str, str, Record | None]:
    """The key of a step, what would happen to it, and the stored result that would be reused.

    Args:
        found: by title, what would be reused of the steps before this one; without all that it reads it has no key yet.
    """
    if missing := set(input_titles(step, backbone, run.config.backbones)) - found.keys():
        titles = [other.title(one) for other, one in nodes(run.config.backbones)]
        return "", f"depends on the result of {max(missing, key=titles.index)}", None
    inputs, store = inputs_of(step, backbone, run, found), open_store(run.config)
    key = step.key(inputs)
    if run.config.run_mode == "force_new":
        return key.digest, "run_mode=force_new", None
    if (record := step.stored(store, inputs, key)) is not None:
        return key.digest, f"stored {record.created_at:%Y-%m-%d %H:%M}", record
    stored = store.get(step.record, key.digest)
    if step.record is not StudyRecord:
        return key.digest, "the registry has lost its promotion" if stored else _why_missing(store, key), None
    ledger = stored.ledger if isinstance(stored, StudyRecord) else MAIN
    lost = "its trials are lost; it would begin anew" if stored else None
    return key.digest, _unfinished(run, backbone, store, key, ledger) or lost or _why_missing(store, key), None


def _unfinished(run: RunRecord, backbone: str, store: ArtifactStore, key: Key, ledger: str) -> str | None:
    """Where a study goes on that was stopped, failed, or has a larger budget now; None where it has no trials."""
    trials = TrialLedger(store.documents(f"{LEDGERS}/{key.digest}/{ledger}")).trials()
    if not trials:
        return None
    progress = Progress(experiment_of(run.config, backbone), trials)
    left = len(trials) - progress.ended
    cut_off = f" and {left} that were cut off" if left else ""
    done = f"its ledger has {progress.ended} of {run.config.hpo.max_trials} trials{cut_off}"
    if progress.outcome == "failures":
        return f"{done}, and {progress.failed} failed; it would fail again unless hpo.max_failed_trials is raised"
    return f"{done}; it would go on from there"


def _why_missing(store: ArtifactStore, key: Key) -> str:
    """What differs from the nearest stored result of the same kind."""
    stored = (store.parts(key.kind, digest) for _, digest in store.find(f"{key.kind}/"))
    changes = [[f"{path}: {old} → {new}" for path, old, new in differences(parts, key.parts)] for parts in stored]
    if not changes:
        return f"no {key.kind} is stored"
    return f"changed: {shortened(min(changes, key=len), _SHOWN, '; ')}"

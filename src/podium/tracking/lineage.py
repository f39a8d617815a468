"""Lineage: from a model back to the digests of its data files, and from data forward to the models it fed.

Links are the keys that runs carry as tags, so a chain holds across experiments and pipeline runs. A link whose
other end is not recorded is shown as missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from podium.errors import InputError
from podium.tracking import base
from podium.tracking.base import TrackedInput, TrackedModel, TrackedRun, Tracker

_SHOWN_FILES = 20
_HEX = re.compile(r"[0-9a-f]{4,64}")
_ORDER = {"data": 0, "study": 1, "refit": 2}
"""The order of results made from the same one; others follow."""


@dataclass(frozen=True)
class Node:
    """One result in a chain, `depth` steps from where the walk began.

    Attributes:
        kind: model, decision, refit, trial, study, data, or another kind of result.
        key: empty for a model version.
        files: digest of every source file, by name, for data.
        missing: what is not recorded, or None.
    """

    depth: int
    kind: str
    key: str
    title: str
    run_id: str = ""
    details: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    missing: str | None = None


def lineage(tracker: Tracker, what: str) -> list[Node]:
    """Walk from `what`: forward when it is data, back otherwise.

    Args:
        what: a registered model (`NAME` for its champion or else challenger, `NAME@alias`, `NAME/version`), a run id,
            the key of a result or its first digits, or the digest of a data file or its first digits.

    Raises:
        InputError: nothing, or more than one result, is recorded under that name.
        TrackingError: the tracker cannot be asked.
    """
    version = _version(tracker, what)
    run = tracker.run(what) if version is None and re.fullmatch(r"[0-9a-f]{32}", what) else None
    walk = _Walk(tracker)
    if version is not None:
        walk.from_model(version)
    elif run is not None and base.TAG_KEY in run.tags:
        walk.back("result", run.tags[base.TAG_KEY], 0, run)
    elif _HEX.fullmatch(what):
        walk.from_digest(what)
    else:
        raise InputError(
            f"{what!r} must be a registered model, a run that computed a result, a key, or the digest of a data file, "
            f"but {tracker.uri} has none of that name; keys and run ids are listed in the report of a run"
        )
    return walk.nodes


def render(nodes: Iterable[Node]) -> str:
    """The chain as indented text."""
    lines = []
    for node in nodes:
        indent = "  " * node.depth
        lines.append(f"{indent}{node.title}")
        if node.run_id:
            lines.append(f"{indent}    run {node.run_id}")
        lines += [f"{indent}    {line}" for line in node.details]
        shown = list(node.files.items())[:_SHOWN_FILES]
        lines += [f"{indent}    sha256 {digest}  {name}" for name, digest in shown]
        if len(node.files) > len(shown):
            lines.append(f"{indent}    and {len(node.files) - len(shown)} more files")
        if node.missing:
            lines.append(f"{indent}    MISSING: {node.missing}")
    return "\n".join(lines)


class _Walk:
    """A walk along the keys that runs carry, which collects a node for each result on the way."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.nodes: list[Node] = []
        self._seen: set[str] = set()

    def _add(self, depth: int, kind: str, key: str = "", title: str = "", **about: Any) -> None:
        self.nodes.append(Node(depth, kind, key, title or f"{kind} {key[:12]}".rstrip(), **about))

    def _add_model(self, version: TrackedModel, depth: int) -> None:
        aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
        title = f"model {version.name} version {version.version}{aliases}"
        self._add(depth, "model", "", title, details=(f"digest {version.tags.get(base.TAG_MODEL_DIGEST, 'unknown')}",))

    def _add_result(self, run: TrackedRun | None, kind: str, key: str, depth: int) -> None:
        if run is None:
            self._add(depth, kind, key, missing=f"no run at {self.tracker.uri} has {base.TAG_KEY} = {key}")
            return
        verdict = run.tags.get("podium.verdict")
        details = (f"verdict {verdict}",) if verdict else ()
        self._add(depth, kind, key, f"{kind} {key[:12]}: {run.name}", run_id=run.run_id, details=details)

    def from_model(self, version: TrackedModel) -> None:
        """The version, the decision that registered it, its profile, and its refit with everything behind it."""
        self._add_model(version, 0)
        for tag, kind in ((base.TAG_DECISION, "decision"), (base.TAG_PROFILE, "profile")):
            if found := version.tags.get(tag):
                self._add_result(self._computed(found), kind, found, 1)
        if key := version.tags.get(base.TAG_MODEL_KEY):
            run = self.tracker.run(version.run_id) if version.run_id else None
            self.back("refit", key, 1, run if run and run.tags.get(base.TAG_KEY) in (key, None) else None)
        else:
            self._add(1, "refit", missing=f"version {version.version} carries no tag {base.TAG_MODEL_KEY}")

    def back(
        self, name: str, key: str, depth: int, run: TrackedRun | None, inputs: Iterable[TrackedInput] = ()
    ) -> None:
        """The result with this key and everything behind it.

        Args:
            run: computed it; it is looked up if None.
            inputs: those of the run that read the result.
        """
        if key in self._seen:
            self._add(depth, name, key, f"{name} {key[:12]} (above)")
            return
        self._seen.add(key)
        run = run or self._computed(key)
        kind, parents = (run.tags.get(base.TAG_KIND, "result"), _parents(run)) if run else (name, {})
        known = next((item for item in (run.inputs if run else inputs) if key.startswith(item.digest)), None)
        if known if run is None else kind == "data":
            self._data(key, depth, known, run)
        else:
            self._add_result(run, kind, key, depth)
        if run is None:
            return
        if kind != "data" and not parents:
            self._add(depth + 1, "parent", missing=f"run {run.run_id} names nothing that it was made from")
        if kind == "refit" and "study" in parents:
            depth += 1
            self._trial(run, parents["study"], depth)
        for parent in sorted(parents, key=lambda parent: (parent == "data", parent)):
            self.back(parent, parents[parent], depth + 1, None, run.inputs)

    def forward(self, name: str, key: str, depth: int, steps: list[TrackedRun]) -> None:
        """The result with this key, every one of `steps` made from it, and the versions registered of refits."""
        if key in self._seen:
            return
        made = _best([run for run in steps if run.tags[base.TAG_KEY] == key])
        if made and made.tags.get(base.TAG_KIND) == "data":
            self.back("data", key, depth, made)
        else:
            self._seen.add(key)
            self._add_result(made, name, key, depth)
        if name == "refit":
            for version in self.tracker.versions(key):
                self._add_model(version, depth + 1)
        children = [(run.tags.get(base.TAG_KIND, "result"), run) for run in steps if key in _parents(run).values()]
        for kind, run in sorted(children, key=lambda child: _ORDER.get(child[0], len(_ORDER))):
            self.forward(kind, run.tags[base.TAG_KEY], depth + 1, steps)

    def from_digest(self, digits: str) -> None:
        """Forward from the data with this key or with a file of this digest, or back from another result."""
        steps = self.tracker.steps()
        kinds = {run.tags[base.TAG_KEY]: run.tags.get(base.TAG_KIND) for run in reversed(steps)}
        read = {key for run in steps for name, key in _parents(run).items() if name == "data"}
        keys = {key for key in (*kinds, *read) if key.startswith(digits)}
        if len(keys) > 1:
            listed = ", ".join(sorted(keys))
            raise InputError(f"{digits!r} must name one result, but these keys begin with it: {listed}")
        if not keys:
            computed = {run.tags[base.TAG_KEY]: run for run in reversed(steps) if run.tags.get(base.TAG_KIND) == "data"}
            keys = {key for key, run in computed.items() if _has_file(self.tracker, run, digits)}
        if not keys:
            raise InputError(f"no key and no data file recorded at {self.tracker.uri} begins with {digits!r}")
        for key in sorted(keys):
            if kinds.get(key, "data") == "data":
                self._seen.clear()
                self.forward("data", key, 0, steps)
            else:
                self.back("result", key, 0, _best([run for run in steps if run.tags[base.TAG_KEY] == key]))

    def _trial(self, refit: TrackedRun, study: str, depth: int) -> None:
        number = refit.tags.get(base.TAG_TRIAL)
        if number is None:
            self._add(depth, "trial", missing=f"run {refit.run_id} carries no tag {base.TAG_TRIAL}")
            return
        wanted = {base.TAG_KIND: "trial", f"{base.TAG_PARENT}study": study, base.TAG_TRIAL: number}
        trial = _best(self.tracker.runs(wanted))
        title = f"trial {number} of study {study[:12]}"
        if trial is None:
            self._add(depth, "trial", missing=f"no run at {self.tracker.uri} is {title}")
            return
        params = " ".join(f"{name}={value}" for name, value in sorted(trial.params.items()))
        scores = (f"score {trial.metrics['score']:.4f}",) if "score" in trial.metrics else ()
        self._add(depth, "trial", "", title, run_id=trial.run_id, details=(*scores, params))

    def _data(self, key: str, depth: int, given: TrackedInput | None, run: TrackedRun | None) -> None:
        """Data as it was recorded by `run`, which prepared it, or as the input of another run."""
        run_id = run.run_id if run else ""
        if given is None:
            lost = f"run {run_id} has no recorded input, so the digests of its files are unknown"
            self._add(depth, "data", key, run_id=run_id, missing=lost)
            return
        files, missing = _files(self.tracker, run, given)
        rows = " ".join(f"{name}={count}" for name, count in dict(given.profile.get("rows", {})).items())
        about = (f"source {given.source}", f"rows {rows}")
        title = f"data {given.name} {key[:12]}"
        self._add(depth, "data", key, title, run_id=run_id, details=about, files=files, missing=missing)

    def _computed(self, key: str) -> TrackedRun | None:
        return _best(self.tracker.runs({base.TAG_KEY: key}))


def _version(tracker: Tracker, what: str) -> TrackedModel | None:
    name, at, alias = what.partition("@")
    if at:
        return tracker.registered(name, alias)
    name, slash, number = what.rpartition("/")
    if slash:
        return tracker.registered(name, number) if number.isdigit() else None
    return tracker.registered(what, base.CHAMPION) or tracker.registered(what, base.CHALLENGER)


def _best(runs: list[TrackedRun]) -> TrackedRun | None:
    """The latest finished run, as equal keys mean equal results; else the latest, or None."""
    return next((run for run in runs if run.status == "FINISHED"), runs[0] if runs else None)


def _parents(run: TrackedRun) -> dict[str, str]:
    prefix = base.TAG_PARENT
    return {name.removeprefix(prefix): key for name, key in run.tags.items() if name.startswith(prefix)}


def _files(tracker: Tracker, run: TrackedRun | None, given: TrackedInput) -> tuple[Mapping[str, str], str | None]:
    if "sources" in given.profile:
        return dict(given.profile["sources"]), None
    file = str(given.profile.get("sources_file", ""))
    text = tracker.read_text(run.run_id, file) if run is not None and file else None
    if text is None:
        return {}, f"the list of file digests ({file or 'never recorded'}) is not there"
    return dict(json.loads(text)), None


def _has_file(tracker: Tracker, run: TrackedRun, digits: str) -> bool:
    files = (digest for given in run.inputs for digest in _files(tracker, run, given)[0].values())
    return any(digest.startswith(digits) for digest in files)

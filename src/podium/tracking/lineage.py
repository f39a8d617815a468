"""Lineage: from a model back to the digests of its data files, and from data forward to the models it fed.

Links are the keys that runs carry as tags, so a chain holds across experiments and pipeline runs. A link whose
other end is not recorded is shown as missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from podium.errors import InputError
from podium.tracking.base import (
    CHALLENGER,
    CHAMPION,
    TAG_DECISION,
    TAG_KEY,
    TAG_KIND,
    TAG_MODEL_DIGEST,
    TAG_MODEL_KEY,
    TAG_PARENT,
    TAG_TRIAL,
    TrackedInput,
    TrackedModel,
    TrackedRun,
    Tracker,
)

_SHOWN_FILES = 20
_HEX = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True)
class Node:
    """One result in a chain.

    Attributes:
        depth: steps from where the walk began.
        kind: model, decision, refit, trial, study, data, or another kind of result.
        key: key of the result; empty for a model version.
        details: lines for people.
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
    if version is not None:
        return _Back(tracker).from_model(version)
    run = tracker.run(what) if re.fullmatch(r"[0-9a-f]{32}", what) else None
    if run is not None and TAG_KEY in run.tags:
        return _Back(tracker).from_run(run)
    if _HEX.fullmatch(what):
        return _by_digest(tracker, what)
    raise InputError(
        f"{what!r} must be a registered model, a run that computed a result, a key, or the digest of a data file, but "
        f"{tracker.uri} has none of that name; keys and run ids are listed in the report of a run"
    )


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


class _Back:
    """A walk from a result to what it was made from."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.nodes: list[Node] = []
        self.seen: set[str] = set()

    def from_model(self, version: TrackedModel) -> list[Node]:
        """The version, the decision that registered it, and its refit with all that is behind it."""
        self.nodes.append(_model_node(version, 0))
        decision = version.tags.get(TAG_DECISION)
        if decision:
            self._leaf(decision, "decision", 1)
        key = version.tags.get(TAG_MODEL_KEY)
        run = self.tracker.run(version.run_id) if version.run_id else None
        if run is not None and run.tags.get(TAG_KEY) in (key, None) and key:
            self._run(run, key, 1)
        elif key:
            self._result("refit", key, 1, ())
        else:
            self._absent("refit", "", 1, f"version {version.version} carries no tag {TAG_MODEL_KEY}")
        return self.nodes

    def from_run(self, run: TrackedRun) -> list[Node]:
        """The result that `run` computed and all that is behind it."""
        self._run(run, run.tags[TAG_KEY], 0)
        return self.nodes

    def _result(self, name: str, key: str, depth: int, inputs: Iterable[TrackedInput]) -> None:
        if key in self.seen:
            self.nodes.append(Node(depth, name, key, f"{name} {key[:12]} (above)"))
            return
        run = _computed(self.tracker, key)
        if run is not None:
            self._run(run, key, depth)
            return
        self.seen.add(key)
        known = next((item for item in inputs if key.startswith(item.digest)), None)
        if known is None:
            self._absent(name, key, depth, f"no run at {self.tracker.uri} has {TAG_KEY} = {key}")
            return
        files, missing = _files(self.tracker, None, known)
        self.nodes.append(Node(depth, name, key, f"data {known.name} {key[:12]}", "", _about(known), files, missing))

    def _run(self, run: TrackedRun, key: str, depth: int) -> None:
        self.seen.add(key)
        kind = run.tags.get(TAG_KIND, "result")
        parents = _parents(run)
        if kind == "data":
            self._data(run, key, depth)
        else:
            self.nodes.append(_run_node(run, kind, key, depth))
            if not parents:
                self._absent("parent", "", depth + 1, f"run {run.run_id} names nothing that it was made from")
        if kind == "refit" and "study" in parents:
            depth += 1
            self._trial(run, parents["study"], depth)
        for name in sorted(parents, key=lambda name: (name == "data", name)):
            self._result(name, parents[name], depth + 1, run.inputs)

    def _trial(self, refit: TrackedRun, study: str, depth: int) -> None:
        number = refit.tags.get(TAG_TRIAL)
        if number is None:
            self._absent("trial", "", depth, f"run {refit.run_id} carries no tag {TAG_TRIAL}")
            return
        found = self.tracker.runs({TAG_KIND: "trial", f"{TAG_PARENT}study": study, TAG_TRIAL: number})
        if not found:
            self._absent("trial", "", depth, f"no run at {self.tracker.uri} is trial {number} of study {study[:12]}")
            return
        trial = _best(found)
        params = " ".join(f"{name}={value}" for name, value in sorted(trial.params.items()))
        scores = (f"score {trial.metrics['score']:.4f}",) if "score" in trial.metrics else ()
        title = f"trial {number} of study {study[:12]}"
        self.nodes.append(Node(depth, "trial", "", title, trial.run_id, (*scores, params)))

    def _data(self, run: TrackedRun, key: str, depth: int) -> None:
        given = next((item for item in run.inputs if key.startswith(item.digest)), None)
        if given is None:
            missing = f"run {run.run_id} has no recorded input, so the digests of its files are unknown"
            self.nodes.append(Node(depth, "data", key, f"data {key[:12]}", run.run_id, missing=missing))
            return
        files, lost = _files(self.tracker, run, given)
        title = f"data {given.name} {key[:12]}"
        self.nodes.append(Node(depth, "data", key, title, run.run_id, _about(given), files, lost))

    def _leaf(self, key: str, kind: str, depth: int) -> None:
        run = _computed(self.tracker, key)
        if run is None:
            self._absent(kind, key, depth, f"no run at {self.tracker.uri} has {TAG_KEY} = {key}")
        else:
            self.nodes.append(_run_node(run, kind, key, depth))

    def _absent(self, kind: str, key: str, depth: int, missing: str) -> None:
        self.nodes.append(Node(depth, kind, key, f"{kind} {key[:12]}".rstrip(), missing=missing))


def _forward(tracker: Tracker, key: str, steps: list[TrackedRun]) -> list[Node]:
    """The data with this key, every result made from it, and the versions registered of those."""
    nodes: list[Node] = []
    seen: set[str] = set()
    order = {"data": 0, "study": 1, "refit": 2}

    def visit(key: str, name: str, depth: int) -> None:
        if key in seen:
            return
        seen.add(key)
        made = [run for run in steps if run.tags[TAG_KEY] == key]
        if made and made[0].tags.get(TAG_KIND) == "data":
            nodes.extend(_Back(tracker).from_run(_best(made)))
        elif made:
            nodes.append(_run_node(_best(made), name, key, depth))
        else:
            missing = f"no run at {tracker.uri} has {TAG_KEY} = {key}"
            nodes.append(Node(depth, name, key, f"{name} {key[:12]}", missing=missing))
        if name == "refit":
            nodes.extend(_model_node(version, depth + 1) for version in tracker.versions(key))
        children = [run for run in steps if key in _parents(run).values()]
        for run in sorted(children, key=lambda run: order.get(run.tags.get(TAG_KIND, ""), len(order))):
            visit(run.tags[TAG_KEY], run.tags.get(TAG_KIND, "result"), depth + 1)

    visit(key, "data", 0)
    return nodes


def _by_digest(tracker: Tracker, digits: str) -> list[Node]:
    steps = tracker.steps()
    computed = {run.tags[TAG_KEY]: run for run in reversed(steps)}
    read = {key for run in steps for name, key in _parents(run).items() if name == "data"}
    keys = {key for key in (*computed, *read) if key.startswith(digits)}
    if not keys:
        data = [run for run in computed.values() if run.tags.get(TAG_KIND) == "data"]
        keys = {run.tags[TAG_KEY] for run in data if any(f.startswith(digits) for f in _digests(tracker, run))}
        if not keys:
            raise InputError(f"no key and no data file recorded at {tracker.uri} begins with {digits!r}")
        return [node for key in sorted(keys) for node in _forward(tracker, key, steps)]
    if len(keys) > 1:
        raise InputError(f"{digits!r} must name one result, but these keys begin with it: {', '.join(sorted(keys))}")
    key = keys.pop()
    run = computed.get(key)
    if run is None or run.tags.get(TAG_KIND) == "data":
        return _forward(tracker, key, steps)
    return _Back(tracker).from_run(_best([item for item in steps if item.tags[TAG_KEY] == key]))


def _version(tracker: Tracker, what: str) -> TrackedModel | None:
    name, at, alias = what.partition("@")
    if at:
        return tracker.registered(name, alias)
    name, slash, number = what.rpartition("/")
    if slash:
        return tracker.registered(name, number) if number.isdigit() else None
    return tracker.registered(what, CHAMPION) or tracker.registered(what, CHALLENGER)


def _computed(tracker: Tracker, key: str) -> TrackedRun | None:
    found = tracker.runs({TAG_KEY: key})
    return _best(found) if found else None


def _best(runs: list[TrackedRun]) -> TrackedRun:
    """The latest finished run; equal keys mean equal results."""
    return next((run for run in runs if run.status == "FINISHED"), runs[0])


def _parents(run: TrackedRun) -> dict[str, str]:
    return {name.removeprefix(TAG_PARENT): key for name, key in run.tags.items() if name.startswith(TAG_PARENT)}


def _files(tracker: Tracker, run: TrackedRun | None, given: TrackedInput) -> tuple[Mapping[str, str], str | None]:
    if "sources" in given.profile:
        return dict(given.profile["sources"]), None
    file = str(given.profile.get("sources_file", ""))
    text = tracker.read_text(run.run_id, file) if run is not None and file else None
    if text is None:
        return {}, f"the list of file digests ({file or 'never recorded'}) is not there"
    return dict(json.loads(text)), None


def _digests(tracker: Tracker, run: TrackedRun) -> list[str]:
    return [digest for given in run.inputs for digest in _files(tracker, run, given)[0].values()]


def _about(given: TrackedInput) -> tuple[str, ...]:
    rows = " ".join(f"{name}={count}" for name, count in dict(given.profile.get("rows", {})).items())
    return (f"source {given.source}", f"rows {rows}")


def _run_node(run: TrackedRun, kind: str, key: str, depth: int) -> Node:
    verdict = run.tags.get("podium.verdict")
    return Node(
        depth, kind, key, f"{kind} {key[:12]}: {run.name}", run.run_id, (f"verdict {verdict}",) if verdict else ()
    )


def _model_node(version: TrackedModel, depth: int) -> Node:
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    title = f"model {version.name} version {version.version}{aliases}"
    return Node(depth, "model", "", title, "", (f"digest {version.tags.get(TAG_MODEL_DIGEST, 'unknown')}",))

"""The contract of a tracker, the tags it sets, what it returns, and names and values in the form that MLflow takes."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from podium.errors import TrackingError
from podium.records import DataRecord, How, Incumbent, ModelRecord, Move, TrialRecord

# What results carry: their kind (data, study, trial, refit, ...), the full digest of their key, the keys of what they
# were made from (a prefix, then a name), and the number of the trial that a run is or that a refit was made from.
TAG_KIND, TAG_KEY, TAG_PARENT, TAG_TRIAL = "podium.kind", "podium.key", "podium.parent.", "podium.trial"
TAG_KFP_RUN = "podium.kfp.run_id"
"""Id of the Kubeflow run, on every run that it opens."""
TAG_JOB = "podium.job"
"""Uid of the Kubernetes Job of `podium run`, on every run that its pods open, one pod after the other."""
# On a model version and a logged model: the key of the refit, the digest of its files in the store, the metric of its
# study, and its value on the held-out rows.
TAG_MODEL_KEY, TAG_MODEL_DIGEST = "podium.model.key", "podium.model.digest"
TAG_METRIC, TAG_SCORE = "podium.metric", "podium.score"
# On a model version: the key of the decision that registered it, which deployable variant of the refit it holds, and
# the digest of the variant's files in the store.
TAG_DECISION, TAG_VARIANT, TAG_FILES = "podium.decision", "podium.variant", "podium.files.digest"
TAG_PROFILE = "podium.profile"
"""On a model version: the key of its profile, which is made after it was registered."""
TAG_CODE = "podium.trust_remote_code"
"""`true` on versions whose training was allowed to run the code that came with its backbone."""

MOVE = "podium.move."
"""On a registered model: prefix of the tags that hold the moves of its champion, in order of time."""
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"

MAX_NAME = 250
MAX_PARAM = 6000
MAX_TAG = 8000
MAX_DATASET_DIGEST = 36
"""Limits of MLflow 3 in characters (`mlflow.utils.validation`)."""

_FORBIDDEN = re.compile(r"[^/\w.\- ]")

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


def tidy_name(name: str) -> str:
    """`name` as MLflow allows it for a tag, parameter or metric; a changed name ends in digits that keep it unique."""
    tidy = _FORBIDDEN.sub("_", name)
    if posixpath.normpath(tidy) != tidy or tidy.startswith((".", "/")):
        tidy = tidy.replace("/", "_").lstrip(".")
    if tidy and tidy == name and len(name) <= MAX_NAME:
        return name
    return f"{tidy[: MAX_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def flatten(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and text of every leaf: nested mappings give dotted names, other structures JSON."""
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            yield f"{prefix}{name}", value
        else:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False, default=str)


class TrackedInput(NamedTuple):
    """A data set that a run read.

    `digest` has the first 36 digits of the data key, which is all that MLflow keeps; `profile` has rows, labels, and
    the digests of the source files or the name of the run's file that lists them.
    """

    name: str
    digest: str
    source: str
    profile: Mapping[str, Any]


class TrackedRun(NamedTuple):
    """A recorded run, with all its tags and the last value of each metric."""

    run_id: str
    name: str
    status: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    inputs: tuple[TrackedInput, ...]


class TrackedModel(NamedTuple):
    """A registered model version and the run it came from."""

    name: str
    version: str
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


class RegistryState(NamedTuple):
    """What a registry says of one model: the champion, and every move of that alias, oldest first."""

    incumbent: Incumbent | None = None
    moves: tuple[Move, ...] = ()


class Tracker:
    """Records the runs of a pipeline, its models and its lineage.

    This base class is the tracker of `tracking.mode=off`: ids are empty, there is no incumbent, nothing is registered,
    and asking for lineage or moving an alias raises `TrackingError`.

    Threads: every method may be called from any thread; there is no active run. A tracker must not be carried over a
    fork: make one in each process. Making one is cheap and touches nothing; the first call connects.

    Ownership: a run belongs to whoever opened it and stays open until `close`. A run that something else made (the
    MLflow plugin of Kubeflow Pipelines) can be attached to, and its maker closes it.

    Retries: a call that fails for a passing reason is repeated for a bounded time. Every method may be called again
    with the same arguments after a failure: nothing is recorded twice.

    Secrets: credentials inside a URI are taken out of every tag, parameter and message. Files are logged unchanged;
    use `redact` on text that may hold a URI.

    Raises (every method): `TrackingError` naming the URI, what was being done, and what to do.
    """

    @property
    def uri(self) -> str:
        """Where runs are recorded, without credentials; `off` when they are not."""
        return "off"

    def open_run(self, name: str, tags: Mapping[str, str], run_id: str | None = None) -> str:
        """Open the parent run of one pipeline run, and return its id.

        With `run_id`, attach instead: `run_id` may be the pipeline's run or any run nested in it (Kubeflow's plugin
        names the task's own run in `MLFLOW_RUN_ID`); the outermost run is used and given the tags.
        """
        return ""

    def open_step(self, parent: str, name: str, tags: Mapping[str, str], run_id: str | None = None) -> str:
        """Open a run nested in `parent`, in the parent's experiment; with `run_id`, attach to that one instead."""
        return ""

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Record parameters; nested mappings become dotted names, and values are cut at MLflow's limit.

        A parameter is written once: another value under the same name raises.
        """

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record figures at `step`."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags, replacing those of the same name; values are cut at MLflow's limit."""

    def log_file(self, run_id: str, path: Path, folder: str = "") -> None:
        """Attach a file, or all files of a directory, below `folder` of the run's artifacts."""

    def log_input(self, run_id: str, data: DataRecord, source: str) -> None:
        """Record that the run read `data`, which came from `source`: name, digest, rows, labels, file digests."""

    def log_trial(self, step_run_id: str, trial: TrialRecord) -> None:
        """Record a trial as a run nested in the study's step, and each of its folds nested in that.

        A trial is recorded once, where it ran. Logged again under the same step, it is brought up to date. One that an
        earlier step of the same study finished stays there, and this step is tagged `podium.continues`. One that an
        earlier step did not finish moves to this step.
        """

    def log_model(self, run_id: str, model: ModelRecord, uri: str) -> str:
        """Record a refitted model as a logged model of its run, and return the id of that.

        Metadata only: the weights stay in the store at `uri`. Its scores become metrics of the run and the model.
        """
        return ""

    def close(self, run_id: str, status: RunStatus) -> None:
        """End a run. One that was attached to stays open."""

    def incumbent(self, model_name: str) -> Incumbent | None:
        """The version that holds the alias `champion`, or None when there is none.

        Raises:
            TrackingError: the champion was not registered by Podium, so nothing can be compared with it.
        """
        return None

    def register(
        self,
        model_name: str,
        run_id: str,
        path: Path,
        model: ModelRecord,
        *,
        variant: str = "eager",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Register a variant of `model`, whose files are at `path`; returns the version, empty when tracking is off.

        The version loads with `mlflow.pyfunc`, and with `mlflow.transformers` unless it is an exported package; its
        `model/` holds the very files of `path`. A version that already holds this variant of the model is used again.
        It belongs to the refit's run `run_id`, or to none where that is not recorded here (the store outlived the
        database).
        """
        return ""

    def tag_version(self, model_name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a registered version, replacing those of the same name."""

    def download_model(self, model_name: str, version: str, folder: Path) -> Path:
        """Download the files of a registered model below `folder`; returns their directory."""
        _off()

    def set_challenger(self, model_name: str, version: str) -> None:
        """Give a version the alias `challenger`."""
        _off()

    def move_champion(
        self, model_name: str, version: str, *, how: How, by: str, reason: str, decision: str = ""
    ) -> Move:
        """Give a version the alias `champion`, and record who did it and why.

        A reader finds the old champion or the new one at every moment, also when the caller is killed on the way; the
        next move, or the next look at `moves`, completes what is then missing. The old champion becomes `previous`. A
        champion is no longer `challenger`. Moving it to the version that has it changes nothing. Of two callers at
        once the later one wins, and both moves are recorded. `by` is `user@host` or a run, `decision` the key of the
        decision that asks for it.
        """
        _off()

    def moves(self, model_name: str) -> list[Move]:
        """Every move of the alias `champion` that took place, oldest first."""
        return []

    def run(self, run_id: str) -> TrackedRun | None:
        """One run, or None when there is none of that id."""
        _off()

    def runs(self, tags: Mapping[str, str]) -> list[TrackedRun]:
        """Runs of all experiments that carry every one of these tags, latest first.

        A value ending in `*` matches by prefix.
        """
        _off()

    def steps(self) -> list[TrackedRun]:
        """Every run that computed a keyed result, latest first; trials and folds are left out."""
        _off()

    def registered(self, model_name: str, selector: str = CHAMPION) -> TrackedModel | None:
        """A version of a registered model, by alias or number; None when there is none."""
        _off()

    def champions(self) -> list[TrackedModel]:
        """The champion of every registered model that has one, by name."""
        _off()

    def versions(self, model_key: str) -> list[TrackedModel]:
        """Every registered version made from the refit with this key."""
        _off()

    def read_text(self, run_id: str, file: str) -> str | None:
        """A text file of a run's artifacts, or None when it is not there."""
        _off()


def _off() -> NoReturn:
    raise TrackingError("tracking.mode=off keeps no lineage, but it was asked for; run with tracking.mode=mlflow")

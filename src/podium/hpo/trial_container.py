"""Entry point of a trial's container: `python -m podium.hpo.trial_container --learning_rate=0.0003 --batch_size=16`.

Params come as arguments `--name=value`, or as variables `KUBEFLOW_TRAINER_OPT_<NAME>` with the name in capitals and `-`
as `_`, in which the OptimizationJob of Kubeflow Trainer hands them on (kubeflow/trainer KEP-3562). What is trained on
which data is a document in the study's ledger, whose place comes in variables: the command line of a Katib trial passes
through a shell unquoted and therefore holds only names and numbers.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from pydantic import ValidationError

from podium.config.entrants import ENTRANTS
from podium.config.parameters import AnyParameter
from podium.config.schema import EntrantConfig
from podium.errors import ConfigError, InputError, ModelError, PodiumError
from podium.execution.ending import sigterm_unwinds
from podium.execution.failures import describe, rebuild
from podium.hpo.engines import TrialFunction, TrialResult, end_of_trial
from podium.hpo.experiment import Params, Space
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.trial import CrossValidationTrial, metric_line
from podium.katib.search import params_from_texts
from podium.records import ArtifactRef, Frozen, TrialRecord
from podium.store.files import DocumentFolder
from podium.store.process import ProcessIdentity
from podium.store.store import ArtifactStore
from podium.text import hint

STORE_VARIABLE = "PODIUM_STORE"
LEDGER_VARIABLE = "PODIUM_LEDGER"
NAME_VARIABLE = "PODIUM_TRIAL"

_INSTRUCTIONS = "instructions.json"
_ERROR = "error.json"
_LOCAL = {"data", "backbone", "output", "cache"}
"""Fields of a training that are paths on the machine where it runs."""
_NOBODY = ProcessIdentity(host="engine", pid=0, started=0.0)
"""The holder of a trial that the engine begins for a process that has not started yet: any process may take it over."""

_log = logging.getLogger(__name__)


class TrialInstructions(Frozen):
    """What every trial of a study does in its pod; only the params differ.

    `training` is the spec of a training without its paths, `trial` the other fields of a CrossValidationTrial. The
    entrant says what is trained, such as where a pretrained model lies in the pod or on the hub, and `identity` what
    the study is about.
    """

    space: dict[str, AnyParameter]
    training: dict[str, Any]
    data: ArtifactRef
    entrant: EntrantConfig
    identity: dict[str, Any]
    trial: dict[str, Any]

    @classmethod
    def of(
        cls, trial: CrossValidationTrial, space: dict[str, AnyParameter], data: ArtifactRef, entrant: EntrantConfig
    ) -> Self:
        """The instructions to do in a pod what `trial` does on this machine."""
        return cls(
            space=space,
            training=trial.spec.model_dump(mode="json", exclude=_LOCAL),
            data=data,
            entrant=entrant,
            identity=ENTRANTS.get(entrant.kind).identity(entrant),
            trial={name: value for name, value in vars(trial).items() if name != "spec"},
        )

    @classmethod
    def read(cls, documents: DocumentFolder) -> Self:
        """The instructions of a study; a ConfigError where this version does not find or understand them."""
        try:
            return cls.model_validate_json(documents.get(_INSTRUCTIONS) or "")
        except ValidationError as error:
            raise ConfigError(
                f"{_INSTRUCTIONS} in {documents.place} cannot be read; are image and engine of one version? {error}"
            ) from error

    def write(self, documents: DocumentFolder) -> None:
        documents.put(_INSTRUCTIONS, self.model_dump_json(indent=1))


@dataclass(frozen=True)
class TrialDocuments:
    """The documents through which the engine and the process of one trial on another machine exchange what they know.

    The process keeps a ledger of this trial in them, and the error that would end the whole study, where it met one.
    The engine merges what it finds into the ledger of the study. Neither waits for the other, so that each may be
    killed and started again. Methods raise StoreError when the storage fails.
    """

    documents: DocumentFolder
    owner: ProcessIdentity | None = None
    """None for this process."""

    @property
    def record(self) -> TrialRecord | None:
        """The trial as its process wrote it; None before it began."""
        return next(iter(TrialLedger(self.documents).trials()), None)

    @property
    def has_ended(self) -> bool:
        record = self.record
        return record is not None and record.status != "running"

    @property
    def error(self) -> PodiumError | None:
        """The error of the process that would end every trial alike; None where it met none."""
        described: Mapping[str, str] = json.loads(self.documents.get(_ERROR) or "{}")
        return rebuild(described, None) if described else None

    def prepare(self, trial: TrialRecord) -> None:
        """Write what the study's ledger holds of a trial, for the process that is to continue it."""
        self.documents.put(_ERROR, "{}")
        if self.record is None:
            ledger = TrialLedger(self.documents, _NOBODY)
            merge(trial, ledger.begin(trial.number, trial.params, trial.labels, trial.rule), ledger)

    def execute(self, trial: TrialFunction, params: Params, number: int = 0) -> TrialRecord:
        """Execute the trial in this process, or continue what an earlier process left; one that ended is not repeated.

        A trial that was begun before keeps the params it has.

        Raises:
            PodiumError: an error that would end every trial alike; the engine finds it as `error`.
            StudyFailed: another process on this machine executes the trial.
        """
        ledger, found = TrialLedger(self.documents, self.owner), self.record
        if found is not None and found.status != "running":
            return found
        claim = ledger.begin(number, params) if found is None else ledger.take_over(found.number)
        try:
            return end_of_trial(claim, ledger, lambda: trial(claim, ledger))
        except PodiumError as error:
            self.documents.put(_ERROR, json.dumps(describe(error)))
            raise


def take_predictions(documents: TrialDocuments, claim: Claim, ledger: TrialLedger) -> None:
    """Move the held-out predictions that the process of a trial kept into a ledger that claimed the trial."""
    theirs, record = TrialLedger(documents.documents), documents.record
    if record is not None:
        for fold, file in theirs.predictions(record).items():
            ledger.keep_predictions(claim, fold, file)
        theirs.drop_predictions(record)


def merge(trial: TrialRecord, claim: Claim, ledger: TrialLedger) -> TrialRecord:
    """Enter into a ledger the reports and folds that `trial` has beyond the claimed record, which it continued."""
    record = claim.record
    if fresh := trial.reports[len(record.reports) :]:
        record = ledger.report(claim, *fresh)
    for fold, score in trial.fold_scores.items():
        if fold not in record.fold_scores:
            seconds = trial.fold_seconds.get(fold, 0.0)
            record = ledger.fold_finished(claim, int(fold), score, trial.fold_metrics.get(fold, {}), seconds)
    return record


def cross_validate_in_pod(
    instructions: TrialInstructions, store: ArtifactStore, name: str, claim: Claim, ledger: TrialLedger
) -> TrialResult:
    """Fetch data and entrant, and cross-validate as `CrossValidationTrial` does; `name` is that of the process.

    Raises:
        ModelError: the entrant in this pod is not that of the study.
    """
    from podium.execution.environment import training_environment

    entrant = instructions.entrant
    kind = ENTRANTS.get(entrant.kind)
    if kind.identity(entrant) != instructions.identity:
        raise ModelError(
            f"a trial must train the entrant of its study, but {entrant.path} leads to other files in this pod; put "
            "the same files into the image, or name a hub id with a revision"
        )
    # Named after the pod's trial: pods may share the store as a volume, and do not know their trial's number.
    output = store.cache(f"trial-{name}")
    spec = kind.spec.model_validate(
        {
            **instructions.training,
            "data": store.fetch(instructions.data),
            **kind.source(entrant),
            "output": output,
            "cache": store.cache("tokenised"),
        }
    )
    os.environ.update(training_environment(spec.threads, spec.seed))
    try:
        return CrossValidationTrial(spec, **instructions.trial)(claim, ledger)
    finally:
        with suppress(OSError):
            output.rmdir()


def params_given(arguments: Sequence[str], environment: Mapping[str, str], space: Space) -> Params:
    """The params of a trial from command line and environment; an argument takes precedence over a variable.

    Raises:
        ConfigError: an argument has another form, or a parameter is missing, unknown or outside its range.
    """
    names = list(space.parameters)
    variables = {"KUBEFLOW_TRAINER_OPT_" + name.upper().replace("-", "_"): name for name in names}
    texts = {name: environment[variable] for variable, name in variables.items() if variable in environment}
    for argument in arguments:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not equals:
            raise ConfigError(f"an argument is a parameter of the space, as --name=value, but got {argument!r}")
        if name not in names:
            raise ConfigError(f"--{name} must be a parameter of the space, but is not{hint(name, names)}")
        texts[name] = text
    return params_from_texts(space, texts)


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> TrialRecord:
    """Run the trial that arguments and environment describe, and write its result into its documents.

    Raises:
        PodiumError: see `TrialDocuments.execute`; a variable is missing, or the store cannot be used.
    """
    name = environment.get(NAME_VARIABLE) or environment.get("KATIB_TRIAL_NAME", "")
    uri, ledger = environment.get(STORE_VARIABLE, ""), environment.get(LEDGER_VARIABLE, "")
    for variable, value in {NAME_VARIABLE: name, STORE_VARIABLE: uri, LEDGER_VARIABLE: ledger}.items():
        if not value:
            raise InputError(f"the variable {variable} must be set, as the engine that starts trials does, but is not")
    store = ArtifactStore(uri)
    documents = store.documents(ledger)
    instructions = TrialInstructions.read(documents)
    params = params_given(arguments, environment, Space(parameters=instructions.space))
    own, rank = documents.below(name), environment.get("RANK", "0")
    trial = TrialDocuments(own)
    if rank != "0":
        # Of several processes that torchrun starts, rank 0 alone writes the trial's documents. Another one sees what an
        # earlier attempt finished, and what it writes itself stays in its process.
        copy = ArtifactStore(f"memory://{uuid.uuid4().hex}").documents("trial")
        for document in own.names():
            copy.put(document, own.get(document) or "")
        trial = TrialDocuments(copy, ProcessIdentity(host=f"rank {rank}", pid=0, started=0.0))
    with sigterm_unwinds():
        return trial.execute(partial(cross_validate_in_pod, instructions, store, f"{name}-{rank}"), params)


def main() -> int:
    """Exit code of the container: 0 for a trial with a score, 1 for one that failed, 2 for bad input."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        record = run(sys.argv[1:], os.environ)
    except PodiumError as error:
        _log.error("%s: %s", type(error).__name__, error)
        return error.exit_code
    if record.status == "failed":
        _log.error("the trial failed: %s", record.error)
        return 1
    if record.score is not None and record.metrics:
        # Printed again, because a collector sees only the output of its own pod, which may have been started anew.
        print(metric_line({name: observed.latest for name, observed in record.metrics.items()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

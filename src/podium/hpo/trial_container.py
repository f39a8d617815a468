"""Entry point of a trial's container: `python -m podium.hpo.trial_container --learning_rate=0.0003 --batch_size=16`.

Params come as arguments `--name=value`, or as variables `KUBEFLOW_TRAINER_OPT_<NAME>` with the name in capitals and `-`
as `_`, in which the OptimizationJob of Kubeflow Trainer hands them on (kubeflow/trainer KEP-3562). What is trained on
which data is a document in the study's ledger, whose place comes in variables: the command line of a Katib trial passes
through a shell unquoted and therefore holds only names and numbers.
"""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from podium.config.parameters import AnyParameter
from podium.config.schema import BackboneConfig
from podium.errors import ConfigError, InputError, ModelError, PodiumError
from podium.execution.ending import sigterm_unwinds
from podium.hpo.engines.base import TrialResult
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.metric_line import metric_line
from podium.hpo.space import Params, Space
from podium.hpo.trial_documents import TrialDocuments
from podium.katib.search import params_from_texts
from podium.records import ArtifactRef, Frozen, Scalar, TrialRecord
from podium.store.files import DocumentFolder
from podium.store.process import ProcessIdentity
from podium.store.store import ArtifactStore
from podium.text import hint

STORE_VARIABLE = "PODIUM_STORE"
LEDGER_VARIABLE = "PODIUM_LEDGER"
NAME_VARIABLE = "PODIUM_TRIAL"
OPTION_PREFIX = "KUBEFLOW_TRAINER_OPT_"
RANK_VARIABLE = "RANK"
"""Set by torchrun. Of several processes that train together, only the one of rank 0 writes the trial's documents."""

_DOCUMENT = "instructions.json"
_LOCAL = ("data", "backbone", "output", "cache")
"""Fields of a training that are paths on the machine where it runs."""

_log = logging.getLogger(__name__)


class TrialInstructions(Frozen):
    """What every trial of a study does in its pod; only the params differ.

    Attributes:
        space: the section `hpo.space`.
        training: a TrainingSpec without its paths.
        data: the data set, in the store.
        backbone: where the pretrained model is, in the pod or on the hub.
        backbone_digest: digest of the pretrained model that the study is about.
        trial: the other fields of a CrossValidationTrial.
    """

    space: dict[str, AnyParameter]
    training: dict[str, Any]
    data: ArtifactRef
    backbone: BackboneConfig
    backbone_digest: str
    trial: dict[str, Any]

    @classmethod
    def of(cls, trial: Any, space: Mapping[str, AnyParameter], data: ArtifactRef, backbone: BackboneConfig) -> Self:
        """The instructions to do in a pod what `trial`, a CrossValidationTrial, does on this machine."""
        from podium.models.backbone import backbone_digest

        return cls(
            space=dict(space),
            training=trial.spec.model_dump(mode="json", exclude=set(_LOCAL)),
            data=data,
            backbone=backbone,
            backbone_digest=backbone_digest(trial.spec.backbone),
            trial={name: value for name, value in vars(trial).items() if name != "spec"},
        )

    @classmethod
    def read(cls, documents: DocumentFolder) -> Self:
        """Read the instructions of a study.

        Raises:
            ConfigError: there are none, or this version does not understand them.
        """
        text = documents.get(_DOCUMENT)
        if text is None:
            raise ConfigError(f"{documents.place} must hold {_DOCUMENT}, which the engine writes, but does not")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ConfigError(
                f"{_DOCUMENT} in {documents.place} cannot be read; are image and engine of one version? {error}"
            ) from error

    def write(self, documents: DocumentFolder) -> None:
        """Write the instructions where the pods of the study find them."""
        documents.put(_DOCUMENT, self.model_dump_json(indent=1))


@dataclass(frozen=True)
class ContainerTrial:
    """Fetches data and backbone, and cross-validates. See `TrialFunction`."""

    instructions: TrialInstructions
    store: ArtifactStore
    name: str
    rank: str

    @property
    def event_fields(self) -> Mapping[str, Scalar]:
        return {}

    def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
        """Cross-validate, as `CrossValidationTrial` does.

        Raises:
            ModelError: the backbone in this pod is not that of the study.
        """
        from podium.execution.environment import training_environment
        from podium.hpo.trial import CrossValidationTrial
        from podium.training.spec import TrainingSpec

        # Named after the pod's trial: pods may share the store as a volume, and do not know their trial's number.
        output = self.store.cache(f"trial-{self.name}-{self.rank}")
        spec = TrainingSpec.model_validate(
            {
                **self.instructions.training,
                "data": self.store.fetch(self.instructions.data),
                "backbone": self._backbone(),
                "output": output,
                "cache": self.store.cache("tokenised"),
            }
        )
        os.environ.update(training_environment(spec.threads, spec.seed))
        import torch

        torch.set_num_threads(spec.threads)
        try:
            return CrossValidationTrial(spec, **self.instructions.trial)(claim, ledger)
        finally:
            with suppress(OSError):
                output.rmdir()

    def _backbone(self) -> Path:
        from podium.models.backbone import backbone_digest, locate_backbone

        backbone, digest = self.instructions.backbone, self.instructions.backbone_digest
        path = locate_backbone(backbone)
        found = backbone_digest(path)
        if found != digest:
            raise ModelError(
                f"a trial must train the backbone of its study, {digest[:12]}, but "
                f"{backbone.path} leads to {found[:12]} in this pod; put the same files into the image, or "
                "name a hub id with a revision"
            )
        return path


def params_given(arguments: Sequence[str], environment: Mapping[str, str], space: Space) -> Params:
    """The params of a trial from command line and environment; an argument takes precedence over a variable.

    Raises:
        ConfigError: an argument has another form, or a parameter is missing, unknown or outside its range.
    """
    names = list(space.parameters)
    variables = {OPTION_PREFIX + name.upper().replace("-", "_"): name for name in names}
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
    for variable, value in ((NAME_VARIABLE, name), (STORE_VARIABLE, uri), (LEDGER_VARIABLE, ledger)):
        if not value:
            raise InputError(f"the variable {variable} must be set, as the engine that starts trials does, but is not")
    store = ArtifactStore(uri)
    documents: DocumentFolder = store.documents(ledger)
    instructions = TrialInstructions.read(documents)
    params = params_given(arguments, environment, Space(parameters=instructions.space))
    trial, rank = TrialDocuments(documents.below(name)), environment.get(RANK_VARIABLE, "0")
    if rank != "0":
        trial = _copy_in_memory(documents.below(name), rank)
    with sigterm_unwinds():
        return trial.execute(ContainerTrial(instructions, store, name, rank), params)


def _copy_in_memory(documents: DocumentFolder, rank: str) -> TrialDocuments:
    """A copy of a trial's documents for a rank that does not write the result: what it writes stays in its process."""
    copy = ArtifactStore(f"memory://{uuid.uuid4().hex}").documents("trial")
    for document in documents.names():
        copy.put(document, documents.get(document) or "")
    return TrialDocuments(copy, ProcessIdentity(host=f"rank {rank}", pid=0, started=0.0))


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

"""What answers the rows of `podium infer`: a trained model, or a prompted one."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podium.devices.hardware import fingerprint, installed_versions
from podium.errors import InputError
from podium.inference.predictor import Predictor, PredictorSpec, load_predictor
from podium.inference.rows import Survey
from podium.inference.run import System
from podium.inference.trained import BATCH, TrainedModel
from podium.local.inference_data import OpenData
from podium.local.models import LocatedModel, locate
from podium.models.backbone import GENERATION
from podium.models.tokenizer import READING

_PROMPT = "which is asked with a prompt: add --backend local, and --template NAME for how"
_PACKAGES = ("podium", "torch", "transformers", "tokenizers", "onnxruntime", "numpy", "openai")


@dataclass(frozen=True)
class SystemCommand:
    """The model, and how it is asked.

    Attributes:
        model: as `podium.local.models.locate` takes it, or what the backend calls it.
        device: `cpu`, `cuda` or `auto`.
    """

    model: str
    store: str
    tracking_uri: str
    device: str = "auto"
    batch: int = BATCH
    trust_remote_code: bool = False


@dataclass(frozen=True)
class OpenSystem:
    """A model that was found, and what is known of it before it is loaded.

    Attributes:
        name: for run ids.
        said: what it is, for people.
        content_task: task by which the text column is found; None where a template reads the columns.
        labels: as far as they are known.
        system: makes what answers rows.
        recorded: further entries of `run.json`.
        files: further files of the run directory, by name.
        timed: whether a dry run may ask rows to see how long they take.
        price: of prompt tokens and output tokens, with its currency; None where none is declared.
        longest_output: tokens of an answer at most.
    """

    name: str
    said: str
    content_task: str | None
    labels: Sequence[str]
    system: Callable[[OpenData, Survey], System]
    device: str
    recorded: dict[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    timed: bool = True
    price: Callable[[int, int], str] | None = None
    longest_output: int = 0

    def environment(self) -> dict[str, Any]:
        """What the answers may depend on beside the key: machine and versions."""
        return {
            "hardware": fingerprint(self.device, None),
            "python": sys.version.split()[0],
            "platform": platform.platform(),
            "packages": installed_versions(_PACKAGES),
        }


def open_system(command: SystemCommand, directory: Path, scratch: Path) -> OpenSystem:
    """Find the model of a command.

    Raises:
        InputError: there is none of this name, or it cannot be asked so.
    """
    if command.model.endswith(".gguf"):
        raise InputError(f"{command.model} is a causal language model, {_PROMPT}")
    files = locate(command.model, directory, command.store, command.tracking_uri, scratch)
    if files.facts.kind == GENERATION:
        raise InputError(f"{command.model} is a causal language model, {_PROMPT}")
    system = _trained(files, command.device, command.batch, command.trust_remote_code)
    return OpenSystem(
        name=files.name,
        said=f"{files.said}, {files.facts.kind}",
        content_task=files.facts.kind,
        labels=system.labels,
        system=lambda data, survey: system,
        device=command.device,
        recorded={"variant": files.variant},
    )


def _trained(files: LocatedModel, device: str, batch: int, trust_remote_code: bool) -> TrainedModel:
    """The model as the system that answers rows; it is loaded when the first row is asked.

    Raises:
        InputError: the device is not there.
    """
    hardware = fingerprint(device, None)
    spec = PredictorSpec(
        model_dir=files.path,
        variant=files.variant,
        task=files.facts.kind,
        labels=None,
        trust_remote_code=trust_remote_code or files.trust_remote_code,
        device=hardware["device"],
        threads=int(hardware["threads"]),
    )
    identity = {
        "model": files.digest,
        "variant": files.variant,
        "trust_remote_code": spec.trust_remote_code,
        "device": spec.device,
        "reading": READING,
    }
    load: Callable[[], Predictor] = lambda: load_predictor(spec)  # noqa: E731
    return TrainedModel(load, files.facts.kind, files.facts.labels, identity, batch)

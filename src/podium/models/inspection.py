"""Inspection of a model directory: its kind and labels, read from small files before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.errors import ModelError
from podium.models.backbone import check_weights
from podium.tasks import TASKS

GENERATION = "generation"
"""The kind of causal language models; other models are of the kind of their task."""

_GENERATES = ("ForCausalLM", "LMHeadModel")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


@dataclass(frozen=True)
class ModelFacts:
    """A model that can be measured.

    Attributes:
        kind: name of the task, or `GENERATION`.
        package: whether it is an exported package, which runs without torch.
        labels: their names in order; empty for `GENERATION`, and where the model has none but numbers.
    """

    kind: str
    package: bool
    labels: tuple[str, ...] = ()


def inspect_model(path: Path) -> ModelFacts:
    """Kind and labels of a model directory or exported package.

    Raises ModelError if it is none, lacks files, is damaged, or has no head that answers anything.
    """
    check_model_files(path)
    if (path / "model.onnx").is_file():
        about = _json(path / "podium.json")
        task, labels = about.get("task"), about.get("labels")
        if task not in TASKS.names() or not isinstance(labels, list) or not (path / "tokenizer.json").is_file():
            raise ModelError(
                f"a package holds model.onnx, tokenizer.json and podium.json with its task, but not {path}"
            )
        return ModelFacts(task, package=True, labels=tuple(labels))
    config = _json(path / "config.json")
    check_weights(path)
    _check_safetensors(path)
    if not any(any(path.glob(name)) for name in _TOKENIZERS):
        raise ModelError(f"a model is measured from text on, but {path} has no tokenizer; save it beside the weights")
    names = config.get("architectures") or []
    for name in names:
        if name.endswith(_GENERATES):
            return ModelFacts(GENERATION, package=False)
        for task in TASKS.all():
            if task.fits(name, config):
                return ModelFacts(task.name, package=False, labels=_labels(config))
    raise ModelError(
        "a model to measure is a sequence classifier, a token classifier or a causal language model, but "
        f"{path / 'config.json'} names {', '.join(names) or 'no architecture'}; train it for one of these first"
    )


def check_model_files(path: Path) -> None:
    """Raise ModelError for a directory that is clearly no model or exported package, before anything is loaded."""
    if not any((path / name).is_file() for name in ("config.json", "model.onnx")):
        raise ModelError(
            "a model to benchmark is a directory with config.json, safetensors and tokenizer, or an exported package, "
            f"but {path} " + ("has neither config.json nor model.onnx" if path.is_dir() else "is no directory")
        )


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    named = config.get("id2label")
    if not isinstance(named, dict):
        return ()
    labels = tuple(str(named[number]) for number in sorted(named, key=int))
    numbered = all(label == f"LABEL_{number}" for number, label in enumerate(labels))
    return () if numbered else labels


def _check_safetensors(path: Path) -> None:
    """Read the header of every weights file: it says how long the file must be."""
    from safetensors import SafetensorError, safe_open

    for file in sorted(path.glob("*.safetensors")):
        try:
            with safe_open(file, framework="np"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{file} is damaged or cut off: {error}; copy or download it again") from error


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} must be JSON that describes the model, but: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file} must be a JSON object, but it holds {type(found).__name__}")
    return found

"""Model directories: where pretrained models lie and what they are made of, and what a model to measure is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.config.benchmark import VariantName
from podium.errors import InputError, ModelError
from podium.keys import digest_file, digest_manifest
from podium.tasks import TASKS
from podium.text import foreign, redact

TOKENIZER_FILES = (
    "config.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "*.py",
)
"""Files that shape tokenisation (`config.json` names the tokenizer's class where nothing else does)."""

FILES = (*TOKENIZER_FILES, "*.safetensors", "*.safetensors.index.json")
"""Files that shape a training; a model card or a `.gitattributes` does not."""

GENERATION = "generation"
"""The kind of causal language models; other models are of the kind of their task."""

_TORCH: tuple[VariantName, ...] = ("eager", "bf16", "compile")
_PACKAGES: dict[str, tuple[str, str, tuple[VariantName, ...]]] = {
    "model.onnx": ("podium.json", "tokenizer.json", ("onnx", "onnx-int8")),
    "linear.json": ("linear.json", "model.safetensors", ("eager",)),
    "prompt.json": ("prompt.json", "config.json", ("eager", "bf16")),
}
"""By the file that tells a package: the file with its task and labels, another one, and the variants it can be."""

_GENERATES = ("ForCausalLM", "LMHeadModel")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def locate_backbone(place: str, revision: str | None = None, patterns: tuple[str, ...] = FILES) -> Path:
    """The local directory of a backbone: a path, `pkg:NAME/PATH`, or a URI or hub id, which are fetched.

    Of the hub and of a URI the files that `patterns` name are fetched: those that shape a training, with weights as
    safetensors. Where it is empty, a URI is fetched whole. Raises ModelError if there is no such directory, or it
    cannot be fetched.
    """
    from podium.config.paths import locate

    if "://" in place or place.startswith(("pkg:", "/", "~", ".")):
        try:
            path = locate(place, patterns)
        except InputError as error:
            raise ModelError(f"backbone {redact(place)!r} must be a directory with a model, but: {error}") from error
        if not path.is_dir():
            raise ModelError(f"a backbone must be a directory, but {place!r} leads to the file {path}")
        return _inside(path)
    if not _HUB_ID.fullmatch(place):
        raise ModelError(f"a backbone must be a directory, pkg:NAME/PATH or a hub id, but got {place!r}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(place, revision=revision, allow_patterns=list(patterns or FILES)))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"backbone {place!r} must be in the Hugging Face cache or reachable on the hub, but: {reason} "
            "Check the id and the network, or give a directory"
        ) from error


def _inside(path: Path) -> Path:
    """The snapshot in a folder of the Hugging Face cache, the network in one of sentence-transformers, or `path`."""
    held, modules = path / "snapshots", path / "modules.json"
    if (path / "config.json").is_file():
        return path
    if modules.is_file():
        first = json.loads(modules.read_text(encoding="utf-8"))[0]
        return path / str(first["path"])
    if not held.is_dir():
        return path
    main, found = path / "refs" / "main", sorted(one for one in held.iterdir() if one.is_dir())
    named = held / main.read_text().strip() if main.is_file() else None
    if named in found:
        return named
    if len(found) == 1:
        return found[0]
    raise ModelError(f"{path} must have one snapshot, or say in refs/main which is meant; give one of {held}/*")


def backbone_digest(path: Path, patterns: tuple[str, ...] = FILES) -> str:
    """One digest for the files of a backbone that shape a training, or that `patterns` name."""
    return digest_manifest({file.name: digest_file(file) for file in _matching(path, patterns)})


def tokenizer_digest(path: Path) -> str:
    """One digest for the files of a backbone that shape tokenisation."""
    return digest_manifest({file.name: digest_file(file) for file in _matching(path, TOKENIZER_FILES)})


def _matching(path: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({file for pattern in patterns for file in path.glob(pattern) if file.is_file()})


def load_config(path: Path, trust_remote_code: bool = False) -> Any:
    """The transformers configuration of a backbone.

    Raises ModelError if it is missing, unreadable, of an unknown type, or needs code that is not trusted.
    """
    from transformers import AutoConfig

    if not (path / "config.json").is_file():
        raise ModelError(f"a backbone must have a config.json, but {content_of(path)}")
    try:
        return AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"a backbone must not run its own code unless trusted, but {path} needs the code it names in auto_map; "
                "read that code, then set trust_remote_code=true for this backbone, or give --trust-remote-code"
            ) from error
        raise ModelError(f"{path / 'config.json'} must describe a transformers model, but: {foreign(error)}") from error


def check_weights(path: Path) -> None:
    """Raise ModelError if there are no safetensors weights, without reading them."""
    if any(_matching(path, ("*.safetensors",))):
        return
    pickled = [file.name for file in _matching(path, ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack"))]
    if pickled:
        raise ModelError(
            f"weights must be safetensors, but {path} has only {', '.join(pickled)}, which can run code when loaded; "
            "if you trust it, convert it once: load it with transformers and call model.save_pretrained(DIRECTORY)"
        )
    raise ModelError(f"a backbone must have weights (*.safetensors), but {content_of(path)}")


def content_of(path: Path) -> str:
    """What a directory that is no model holds, for messages; of an adapter, how a model is made of it."""
    if not path.is_dir():
        return f"{path} is not a directory"
    names = sorted(file.name for file in path.iterdir())
    return _adapter(path) or (f"{path} has only {', '.join(names[:8])}" if names else f"{path} is empty")


def _adapter(path: Path) -> str:
    """What an adapter alone is, and how a model is made of it; empty for any other directory."""
    if not (path / "adapter_config.json").is_file():
        return ""
    base = _json(path / "adapter_config.json").get("base_model_name_or_path")
    return (
        f"{path} is an adapter of peft for {base}; load it with peft's AutoPeftModel, then merge_and_unload() and "
        "save_pretrained(DIRECTORY), and save the tokenizer beside it"
    )


@dataclass(frozen=True)
class ModelFacts:
    """A model that can be measured.

    Attributes:
        kind: name of the task, or `GENERATION`.
        variants: the deployable forms that its files can be, the usual one first.
        labels: their names in order; empty for `GENERATION`, and where the model has none but numbers.
    """

    kind: str
    variants: tuple[VariantName, ...]
    labels: tuple[str, ...] = ()


def inspect_model(path: Path) -> ModelFacts:
    """Kind and labels of a model directory or package.

    Raises ModelError if it is none, lacks files, is damaged, or has no head that answers anything.
    """
    check_model_files(path)
    for first, (about_file, other, variants) in _PACKAGES.items():
        if (path / first).is_file():
            about = _json(path / about_file)
            task, labels = about.get("task"), about.get("labels")
            if task not in TASKS.names() or not isinstance(labels, list) or not (path / other).is_file():
                files = ", ".join(dict.fromkeys((first, other, about_file)))
                raise ModelError(f"a package holds {files}, with task and labels in {about_file}, but not {path}")
            return ModelFacts(task, variants, labels=tuple(labels))
    config = _json(path / "config.json")
    check_weights(path)
    _check_safetensors(path)
    if not any(any(path.glob(name)) for name in _TOKENIZERS):
        raise ModelError(f"a model is measured from text on, but {path} has no tokenizer; save it beside the weights")
    names = config.get("architectures") or []
    for name in names:
        if name.endswith(_GENERATES):
            return ModelFacts(GENERATION, _TORCH)
        for task in TASKS.all():
            if task.fits(name, config):
                return ModelFacts(task.name, _TORCH, labels=_labels(config))
    raise ModelError(
        "a model to measure is a sequence classifier, a token classifier or a causal language model, but "
        f"{path / 'config.json'} names {', '.join(names) or 'no architecture'}; train it for one of these first"
    )


def is_package(path: Path) -> bool:
    """Whether a model directory is a package, and not what transformers loads."""
    return any((path / name).is_file() for name in _PACKAGES)


def check_model_files(path: Path) -> None:
    """Raise ModelError for a directory that is clearly no model or package, before anything is loaded."""
    names = ("config.json", *_PACKAGES)
    if not any((path / name).is_file() for name in names):
        held = f"{path} " + (f"has none of {', '.join(names)}" if path.is_dir() else "is no directory")
        raise ModelError(
            "a model to benchmark is a directory with config.json, safetensors and tokenizer, or a package, "
            f"but {_adapter(path) or held}"
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

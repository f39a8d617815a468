"""Causal language models as directories of safetensors, also where they come as one GGUF file.

A GGUF file is dequantised once, to bf16, into the cache of the user, by the digest of the file: that takes about a
minute, and loading the directory takes less than a second.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from podium.errors import InputError, ModelError
from podium.keys import digest_file
from podium.models.backbone import FILES, backbone_digest, check_weights, locate_backbone
from podium.text import redact

CAUSAL_FILES = (*FILES, "chat_template*", "generation_config.json")
"""Files that shape what a causal language model answers."""

_VERSION = 1
"""Raised when the same file would be converted otherwise."""


def locate_causal(place: str, revision: str | None = None) -> Path:
    """What a place names: the directory of a causal language model, or a GGUF file.

    A directory without `config.json` and with one GGUF file means that file.

    Raises:
        ModelError: it is not there, or cannot be fetched.
    """
    from podium.config.paths import locate

    if place.endswith(".gguf"):
        try:
            return locate(place)
        except InputError as error:
            raise ModelError(f"model {redact(place)!r} must be a GGUF file, but: {error}") from error
    path = locate_backbone(place, revision, CAUSAL_FILES)
    files = sorted(path.glob("*.gguf"))
    if (path / "config.json").is_file() or not files:
        return path
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ModelError(f"one GGUF file must be meant, but {path} has {names}; name one of them")
    return files[0]


def causal_digest(path: Path) -> str:
    """One digest for what `locate_causal` found."""
    return digest_file(path) if path.is_file() else backbone_digest(path, CAUSAL_FILES)


def causal_directory(path: Path) -> Path:
    """The directory with safetensors and tokenizer of what `locate_causal` found; a GGUF file is converted first.

    Raises:
        ModelError: there are no safetensors, or the file cannot be converted.
    """
    if path.is_dir():
        check_weights(path)
        return path
    from filelock import FileLock

    from podium.remote.fetch import cache_home

    cache = cache_home() / "gguf"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"{digest_file(path)[:32]}-{_VERSION}"
    with FileLock(cache / f"{target.name}.lock"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(prefix=".partial-", dir=cache) as partial:
                _convert(path, Path(partial) / "model")
                shutil.move(Path(partial) / "model", target)
    return target


def _convert(file: Path, folder: Path) -> None:
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    options: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, **options)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            file.parent,
            dtype=torch.bfloat16,
            quantization_config=transformers.GgufConfig(dequantize=True),
            **options,
        )
    # The reader raises errors of many classes for a file that is cut off or of an unknown architecture.
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise ModelError(f"{file} must be a GGUF file that transformers reads, but: {error}") from error
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for one in folder.iterdir():
        one.chmod(0o644)

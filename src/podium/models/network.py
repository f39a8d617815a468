"""The network of a training: a pretrained backbone with a fresh head for the task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from podium.errors import ModelError
from podium.models.backbone import check_weights, load_config
from podium.models.prompted.positions import longest_input
from podium.models.tokenizer import load_tokenizer
from podium.tasks import TASKS
from podium.tasks.base import Task
from podium.text import foreign


def auto_class(task: Task) -> Any:
    """The class of transformers that loads a model with the head of a task."""
    return getattr(transformers, f"AutoModel{task.head}")


def check_backbone(path: Path, task: str, trust_remote_code: bool = False) -> None:
    """Load a backbone once as a training would, with a head of two labels.

    Raises ModelError if it cannot be loaded or does not fit the task: see `load_model` and `load_tokenizer`.
    """
    load_config(path, trust_remote_code)
    check_weights(path)
    tokenizer = load_tokenizer(path, task, trust_remote_code)
    load_model(path, task, ("A", "B"), tokenizer, trust_remote_code=trust_remote_code)


def load_model(
    path: Path,
    task: str,
    labels: Sequence[str],
    tokenizer: Any,
    *,
    dropout: float | None = None,
    trust_remote_code: bool = False,
    dtype: torch.dtype = torch.float32,
) -> PreTrainedModel:
    """Load a backbone with a head of `len(labels)` outputs, drawn from torch's global generator.

    A head that comes with the backbone is kept where it is for these labels by name, see `keeps_head`.
    `dropout` replaces every dropout rate of the architecture; None keeps them. Raises ModelError for no head for the
    task, no safetensors weights, weights that are damaged or of another architecture, a tokenizer with more tokens than
    embeddings, or no dropout to set.
    """
    config = load_config(path, trust_remote_code)
    head = auto_class(TASKS.get(task))
    if type(config) not in head._model_mapping and head.__name__ not in (getattr(config, "auto_map", None) or {}):
        raise ModelError(
            f"a backbone must have a {task} head in transformers, but {config.model_type!r} has none ({path})"
        )
    check_weights(path)
    kept, known = keeps_head(config, task, labels), _labels_of(config)
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.problem_type = TASKS.get(task).problem_type
    # A decoder reads its answer at the last token that is no padding, so it has to know the padding.
    config.pad_token_id = tokenizer.pad_token_id
    if dropout is not None:
        set_dropout(config, dropout)
    try:
        model, loaded = head.from_pretrained(
            path,
            config=config,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            dtype=dtype,
        )
    # A damaged file surfaces as SafetensorError, OSError, ValueError or RuntimeError, depending on where it is cut.
    except Exception as error:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            raise
        raise ModelError(
            f"the weights in {path} must be loadable, but: {foreign(error)}; download them again"
        ) from error
    _check_loaded(path, model, loaded, tokenizer)
    _fit_head(model, labels, known if kept else (), loaded)
    return model


def keeps_head(config: Any, task: str, labels: Sequence[str]) -> bool:
    """Whether the model that a configuration describes has a head for this task and for labels of these names."""
    kind, saved = TASKS.get(task), getattr(config, "architectures", None) or []
    return sorted(_labels_of(config)) == sorted(labels) and any(kind.fits(name, config.to_dict()) for name in saved)


def _labels_of(config: Any) -> list[str]:
    names = getattr(config, "id2label", None) or {}
    return [str(names[number]) for number in sorted(names)]


def _fit_head(model: PreTrainedModel, labels: Sequence[str], known: Sequence[str], loaded: dict[str, Any]) -> None:
    """Put the output layer that came with a backbone into the order of `labels`, or draw it again.

    It is drawn as `from_pretrained` does where the layer is missing, or has another size.

    Args:
        known: the labels of that layer, in its order; empty where it is for others.
    """
    prefix = f"{model.base_model_prefix}."
    names = [name for name, _ in model.named_parameters()]
    drawn = {*loaded["missing_keys"], *(name for name, *_ in loaded["mismatched_keys"])}
    outputs = {
        name: value
        for name, value in model.named_parameters()
        if not name.startswith(prefix) and value.shape[:1] == (len(labels),) and name not in drawn
    }
    if not outputs or not any(name.startswith(prefix) for name in names):
        return
    if known:
        order = [known.index(label) for label in labels]
        for value in outputs.values():
            value.data = value.data[order]
        return
    # transformers draws what is not marked as initialised, and looks into the modules that are not marked either.
    for name, value in model.named_parameters():
        value._is_hf_initialized = name not in outputs
    for name, module in model.named_modules():
        module._is_hf_initialized = not any(one.startswith(f"{name}." if name else "") for one in outputs)
    model.initialize_weights()


def with_lora(model: PreTrainedModel, task: str, rank: int, alpha: int) -> Any:
    """The model with low-rank adapters on every linear layer; only these and the head of the task are trained.

    Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021. `merge_and_unload` of the result gives a plain
    model again. Adapters are drawn from torch's global generator.

    Raises:
        ModelError: the architecture has no layer that takes an adapter.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    kind = TaskType.TOKEN_CLS if TASKS.get(task).words else TaskType.SEQ_CLS
    settings = LoraConfig(task_type=kind, r=rank, lora_alpha=alpha, target_modules="all-linear")
    try:
        return get_peft_model(model, settings)
    except ValueError as error:
        raise ModelError(
            f"training.adapter=lora needs linear layers, but {model.config.model_type!r} takes no adapter: "
            f"{foreign(error)}"
        ) from error


def has_adapters(model: Any) -> bool:
    """Whether a model comes from `with_lora` and is not merged yet."""
    return hasattr(model, "merge_and_unload")


def set_dropout(config: Any, rate: float) -> None:
    """Set every dropout rate of a configuration, under whatever names the architecture has for them.

    Rates that are null stay null, since null makes the model use another rate (as in `classifier_dropout` of BERT).
    Raises ModelError if the architecture has no dropout rate.
    """
    names = [
        name
        for name, value in config.to_dict().items()
        if ("dropout" in name or name.endswith("_pdrop")) and type(value) in (int, float)
    ]
    if not names:
        raise ModelError(
            f"training.dropout needs an architecture with dropout, but {config.model_type!r} has none; "
            "set training.dropout=null and take dropout out of the search space"
        )
    for name in names:
        setattr(config, name, rate)


def check_length(model: PreTrainedModel, tokenizer: Any, max_length: int) -> None:
    """Raise ModelError if the model does not have a position for each of `max_length` tokens."""
    limit = longest_input(model, tokenizer)
    if limit is not None and max_length > limit:
        raise ModelError(
            f"training.max_length <= {limit} must hold for this backbone ({model.config.model_type}), "
            f"but got {max_length}; lower training.max_length"
        )


def _check_loaded(path: Path, model: PreTrainedModel, loaded: dict[str, Any], tokenizer: Any) -> None:
    prefix = f"{model.base_model_prefix}."
    body = {name for name, _ in model.named_parameters() if name.startswith(prefix)}
    odd = sorted(name for name, *_ in loaded["mismatched_keys"] if name in body)
    if odd:
        raise ModelError(f"the weights in {path} must have the shapes its config.json gives, but {odd[0]} does not")
    missing = body & set(loaded["missing_keys"])
    if body and len(missing) > len(body) / 2:
        raise ModelError(
            f"the weights in {path} must belong to its architecture ({model.config.model_type}), "
            f"but {len(missing)} of {len(body)} tensors are not in them (such as {min(missing)})"
        )
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"a tokenizer must fit its model's embeddings, but {path} has {len(tokenizer)} tokens and {rows} rows; "
            "use the tokenizer the model was trained with"
        )

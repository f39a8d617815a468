"""How fast a transformer trains here: a few steps on real rows, before anything is planned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import cycle
from typing import Any

import numpy as np
import torch
from transformers import set_seed

from podium.models.network import load_model, with_lora
from podium.models.prompted.positions import longest_input
from podium.models.tokenizer import load_tokenizer
from podium.records.plan import Pace
from podium.tasks import TASKS
from podium.training.launch import TrainingSpec
from podium.training.rows import open_data

SAMPLE = 2000
"""Rows whose lengths are counted."""
TOKENS, ROWS = 64, 8
"""Where rows are cut whose training is timed, and how many make a batch on a processor; others follow in proportion."""
MOST_TOKENS = 512
"""Where lengths stop being counted."""
SECONDS = 2.0
"""How long a kind of step is timed at least, after one that warms up."""
GAIN = 1.15
"""How much faster bf16 has to be on a processor to be chosen, since it rounds more."""

Step = Callable[[dict[str, torch.Tensor]], object]


def measure(spec: TrainingSpec) -> Pace:
    """The pace of a training with the threads of the spec, and the lengths of its rows; takes some seconds.

    Raises:
        DataError, ModelError: the data or the backbone cannot be used.
        OutOfMemory: it does not fit into memory.
    """
    torch.set_num_threads(spec.threads)
    set_seed(spec.seed)
    task, development, started = TASKS.get(spec.task), open_data(spec).development, time.monotonic()
    tokenizer = load_tokenizer(spec.backbone, spec.task, spec.trust_remote_code)
    model: Any = load_model(spec.backbone, spec.task, spec.labels, tokenizer, trust_remote_code=spec.trust_remote_code)
    longest = longest_input(model, tokenizer)
    if spec.config.adapter == "lora":
        model = with_lora(model, spec.task, spec.config.lora_rank, spec.config.lora_alpha)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    start_seconds = time.monotonic() - started

    chosen = np.random.default_rng(spec.seed).permutation(len(development))[:SAMPLE]
    rows = development.select(chosen)

    def encoded(part: Any, length: int) -> dict[str, list[Any]]:
        return task.encode(tokenizer, part[task.content], part[task.target], len(spec.labels), length)

    counted = encoded(rows, min(MOST_TOKENS, longest or MOST_TOKENS))
    wanted = spec.config.batch_size if device.type == "cuda" else ROWS
    size = min(wanted, len(rows))
    timed = encoded(rows.select(range(min(4 * size, len(rows)))), min(TOKENS, longest or TOKENS))
    batches = _batches(timed, size, task.collator(tokenizer), device)
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-6)

    def train(precision: str) -> Step:
        def step(batch: dict[str, torch.Tensor]) -> None:
            with _autocast(device, precision):
                loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    def predict(batch: dict[str, torch.Tensor]) -> None:
        with torch.no_grad(), _autocast(device, precision):
            model(**batch)

    model.train()
    precision, per_step = "fp32", _timed(train("fp32"), batches)
    if _has_bf16(device):
        in_bf16 = _timed(train("bf16"), batches)
        if device.type == "cuda" or in_bf16 * GAIN <= per_step:
            precision, per_step = "bf16", in_bf16
    model.eval()
    return Pace(
        start_seconds=start_seconds,
        train_seconds=per_step / size,
        predict_seconds=_timed(predict, batches) / size,
        in_epochs=True,
        tokens=float(np.mean(timed["length"])),
        lengths=tuple(int(value) for value in np.percentile(counted["length"], range(101), method="higher")),
        longest=longest,
        precision=precision,
        unknown=unknown_share(tokenizer, counted["input_ids"]),
    )


def unknown_share(tokenizer: Any, rows: Sequence[Sequence[int]]) -> float:
    """Share of the tokens of rows that stand for text which the tokenizer has no token for."""
    unknown = tokenizer.unk_token_id
    if unknown in (None, tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id):
        return 0.0  # text of any kind has tokens, and the name is a leftover
    return float(np.mean(np.concatenate([np.asarray(row) for row in rows]) == unknown))


def _batches(encoded: dict[str, list[Any]], size: int, collator: Any, device: torch.device) -> Sequence[Any]:
    """Whole batches of the first rows, of like lengths as in a training."""
    order = np.argsort(encoded["length"], kind="stable")
    names = [name for name in encoded if name not in ("length", "words")]
    features = [{name: encoded[name][row] for name in names} for row in order]
    starts = range(0, len(features) - size + 1, size)
    return [
        {name: value.to(device) for name, value in collator(features[start : start + size]).items()} for start in starts
    ]


def _timed(step: Step, batches: Sequence[Any]) -> float:
    """Seconds per batch, over every batch equally often, after one batch that warms up."""
    step(batches[-1])
    started, count = time.monotonic(), 0
    for batch in cycle(batches):
        step(batch)
        count += 1
        if count % len(batches) == 0 and time.monotonic() - started >= SECONDS:
            break
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.monotonic() - started) / count


def _autocast(device: torch.device, precision: str) -> Any:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

"""What tests of several packages share: waiting without a bound that a busy machine could break, and a toy model."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

PATIENCE_SECONDS = 300.0
"""How long a test waits for what must happen; only a test that fails takes so long."""


def eventually(happened: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until `happened()` is true; an AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {seconds:g} s"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def assert_gone(*pids: int) -> None:
    """Wait until none of the processes runs."""
    eventually(lambda: not any(map(alive, pids)))


def save_encoder(folder: Path, texts: Iterable[str]) -> Path:
    """A backbone for what does not depend on the weights: a random BERT a hundred times as small as BERT-tiny.

    Its weights are spread so widely that texts differ in their answers, and it makes tokens of the words of `texts`.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    words = trainers.WordPieceTrainer(vocab_size=800, special_tokens=[*special.values()], show_progress=False)
    tokenizer.train_from_iterator(texts, words)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    size = tokenizer.get_vocab_size()
    torch.manual_seed(1)
    config = BertConfig(vocab_size=size, max_position_embeddings=128, initializer_range=0.3, **shape)
    BertModel(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **special).save_pretrained(folder)
    return folder


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """An empty file system of `size`, such as 1m; a test without the right to mount one is skipped."""
    place.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)

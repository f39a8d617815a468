"""Runs a causal language model with torch and transformers: it decides between options, or generates.

It imports nothing of Podium, since it is deployed with prompted models: this code is checked, measured and served.

Rows go through the model sorted by length, in batches bounded by their tokens. What all prompts of a call begin with is
computed once, and its key-value cache is copied to every batch. All options of a row are scored in the same pass: they
follow the prompt side by side, and an attention mask hides them from each other, so that their order changes nothing.
"""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from .chat import Chat
from .generating import Generated, Generation
from .positions import longest_input
from .precision import PRECISIONS, fastest_precision

_LEAST_PREFIX = 16
"""Tokens from which on a shared beginning is worth a cache of its own."""
_TOKENS = {"cpu": 2048, "cuda": 32768}
"""Tokens of a batch, by device."""
_ENOUGH = {"cpu": 256, "cuda": 8192}
"""Tokens of a batch, by device, from which on more rows do not make it faster, and padding makes it slower."""
_PADDED = 1.15
"""How many tokens such a batch may have with its padding, over those without."""
_SCORES = 1 << 27
"""Numbers of a batch's scores over the vocabulary at most."""


class CausalModel:
    """A causal language model and its tokenizer, loaded and ready; used by one thread at a time.

    Attributes:
        precision: `fp32` or `bf16`.
        longest: tokens that prompt and answer may have together; None for no limit.
        chat: makes its prompts.
    """

    def __init__(
        self,
        folder: Path,
        precision: str = "auto",
        device: str = "cpu",
        trust_remote_code: bool = False,
        bits: int = 16,
    ) -> None:
        """Load a model from safetensors files.

        Args:
            precision: `auto` takes what `fastest_precision` finds.
            bits: 4 or 8 quantise the weights on a GPU.

        Raises:
            OSError, ValueError: the files are missing or damaged, or hold no causal language model.
        """
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trust_remote_code}
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
        config = transformers.AutoConfig.from_pretrained(folder, **options)
        text = config.get_text_config()
        self.precision = fastest_precision(device, text.hidden_size) if precision == "auto" else precision
        if bits != 16:
            options["quantization_config"] = transformers.BitsAndBytesConfig(
                load_in_4bit=bits == 4, load_in_8bit=bits == 8, bnb_4bit_compute_dtype=PRECISIONS[self.precision]
            )
            options["device_map"] = {"": device}
        self.model, loading = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=PRECISIONS[self.precision], use_safetensors=True, output_loading_info=True, **options
        )
        missing = sorted(loading["missing_keys"]) + sorted(str(one) for one in loading["mismatched_keys"])
        if missing:
            raise ValueError(f"the model must have every weight, but {folder} lacks {', '.join(missing[:3])}")
        self.model.eval()
        if bits == 16:
            self.model.to(device)
        if "position_ids" not in inspect.signature(self.model.forward).parameters:
            raise ValueError(f"a prompted model must take position_ids, but {type(self.model).__name__} does not")
        if odd := _other_layers(config):
            raise ValueError(
                f"every layer of a prompted model must have full or sliding attention, but {folder} has {odd}; "
                "serve it, for example with vLLM, and use the backend openai"
            )
        self.device = torch.device(device)
        self.longest = longest_input(self.model)
        self._window: int | None = getattr(text, "sliding_window", None)
        self._layers: Sequence[str] = getattr(text, "layer_types", None) or ()
        self.chat = Chat(self.tokenizer)
        stops = self.model.generation_config.eos_token_id
        self.stops = {self.tokenizer.eos_token_id, self.chat.end[0], *(stops if isinstance(stops, list) else [stops])}
        self._prefix: tuple[tuple[int, ...], Any] = ((), None)

    def multiplied_weights(self) -> int:
        """Weights that every token is multiplied with: all but a table of input embeddings that does nothing else."""
        table, scores = self.model.get_input_embeddings(), self.model.get_output_embeddings()
        total = sum(weight.numel() for weight in self.model.parameters())
        looked_up = table.weight.numel() if scores is None or scores.weight is not table.weight else 0
        return int(total - looked_up)

    # Deciding

    def decide(
        self, prompts: Sequence[Sequence[int]], options: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[int], NDArray[np.float64], float]]:
        """Log-likelihood of every option behind every prompt, summed over the tokens of the option.

        Yields, batch by batch: numbers of the prompts, an array of shape (prompts, options), and the seconds it took.
        """
        block = _Block(options, self.device)
        started = time.perf_counter()
        cache, prefix = self.shared(prompts)
        for rows in self.batches(prompts, prefix, len(block.ids), len(block.ids) + 1):
            found = self._halved(lambda part: self._score([prompts[row] for row in part], prefix, cache, block), rows)
            yield rows, found, time.perf_counter() - started
            started = time.perf_counter()

    def _score(self, prompts: Sequence[Sequence[int]], prefix: int, cache: Any, block: _Block) -> NDArray[np.float64]:
        ids, real = self.padded(prompts, prefix)
        count, size = ids.shape
        ends = torch.tensor([len(one) for one in prompts], device=self.device)
        ids = torch.cat([ids, block.ids.expand(count, -1)], dim=1)
        own = (real.cumsum(dim=1) - 1).clamp(min=0) + prefix
        positions = torch.cat([own, ends[:, None] + block.depths], dim=1)
        total = size + len(block.ids)
        seen = torch.zeros(count, total, total, dtype=torch.bool, device=self.device)
        seen[:, :, :size] = real[:, None, :]
        seen[:, :size, :size] &= torch.ones(size, size, dtype=torch.bool, device=self.device).tril()
        seen[:, size:, size:] = block.mask
        seen = torch.cat([seen.new_ones(count, total, prefix), seen], dim=2)
        keys = torch.cat([torch.arange(prefix, device=self.device).expand(count, -1), positions], dim=1)
        with torch.inference_mode():
            scores = self.model(
                input_ids=ids,
                attention_mask=self._masks(seen, positions, keys),
                position_ids=positions,
                past_key_values=self.copied(cache, count),
                use_cache=cache is not None,
                logits_to_keep=len(block.ids) + 1,
            ).logits
            logs = scores.float().log_softmax(dim=-1)
            each = logs[:, block.sources, block.targets].double()
            sums = torch.zeros(count, block.count, dtype=torch.float64, device=self.device)
            return sums.index_add_(1, block.owners, each).cpu().numpy()  # type: ignore[no-any-return]

    def _masks(self, seen: torch.Tensor, positions: torch.Tensor, keys: torch.Tensor) -> Any:
        """The mask of the attention, by kind of layer where the model has several."""

        def additive(allowed: torch.Tensor) -> torch.Tensor:
            lowest = torch.finfo(self.model.dtype).min
            return torch.zeros(allowed.shape, dtype=self.model.dtype, device=self.device).masked_fill(~allowed, lowest)

        full = seen[:, None]
        if self._window is None:
            return additive(full)
        near = full & (positions[:, None, :, None] - keys[:, None, None, :] < self._window)
        if not self._layers:
            return additive(near)
        kinds = {"full_attention": full, "sliding_attention": near}
        return {kind: additive(kinds[kind]) for kind in set(self._layers)}

    # Generating

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        temperature: float,
        seeds: Sequence[int],
        start: str | None = None,
    ) -> Iterator[tuple[list[int], list[Generated]]]:
        """Continue every prompt up to the end of the turn, or to `max_new_tokens`.

        Args:
            temperature: 0 takes the likeliest token each time.
            seeds: of the sampling, one per prompt.
            start: `{` or `[` ends an answer with the first whole JSON value that begins so.

        Yields: numbers of prompts that have ended, and what was generated for each.
        """
        yield from Generation(self, prompts, max_new_tokens, temperature, seeds, start)

    def continued(self, ids: torch.Tensor, real: torch.Tensor, cache: Any) -> torch.Tensor:
        """Read tokens behind those in a cache, which then has them, too; scores of the next, shape (rows, vocabulary).

        Args:
            ids: shape (rows, tokens).
            real: which tokens are no padding, of those in the cache and then of these, shape (rows, all tokens).
        """
        keys = (real.cumsum(dim=1) - 1).clamp(min=0)
        positions = keys[:, -ids.shape[1] :]
        # A window counts tokens of the row, and the masks that the model makes itself count padding.
        mask = real.long() if self._window is None else self._masks(_seen(real, ids.shape[1]), positions, keys)
        scores: torch.Tensor = self.model(
            input_ids=ids.to(self.device),
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        return scores

    @cached_property
    def closing(self) -> set[int]:
        """Tokens with which a JSON value may end."""
        return {
            number for token, number in self.tokenizer.get_vocab().items() if "}" in str(token) or "]" in str(token)
        } - self.stops

    # Batches

    def batches(self, prompts: Sequence[Sequence[int]], prefix: int, more: int, scored: int) -> Iterator[list[int]]:
        """Numbers of prompts, longest first, so that a batch holds little padding and a lack of memory shows at once.

        A batch that is large enough ends before rows that need much padding.

        Args:
            more: tokens that come to every prompt.
            scored: positions of every prompt whose scores over the vocabulary are computed.
        """
        order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
        tokens = _TOKENS[self.device.type]
        most = max(1, _SCORES // (scored * self.model.config.get_text_config().vocab_size))
        at = 0
        while at < len(order):
            longest = len(prompts[order[at]]) - prefix + more
            size = max(1, min(most, tokens // longest))
            size = self._unpadded([len(prompts[row]) - prefix + more for row in order[at : at + size]])
            yield order[at : at + size]
            at += size

    def _unpadded(self, sizes: Sequence[int]) -> int:
        """How many of the first rows, longest first, make a batch with little padding."""
        real = 0
        for count, size in enumerate(sizes):
            if real >= _ENOUGH[self.device.type] and sizes[0] * (count + 1) > _PADDED * (real + size):
                return count
            real += size
        return len(sizes)

    def _halved(self, run: Callable[[list[int]], NDArray[np.float64]], rows: list[int]) -> NDArray[np.float64]:
        """What `run` gives for the rows, in smaller parts where they do not fit the memory of the device."""
        try:
            return run(rows)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
        torch.cuda.empty_cache()
        middle = len(rows) // 2
        parts = [self._halved(run, part) for part in (rows[:middle], rows[middle:])]
        return np.concatenate(parts)

    def padded(self, prompts: Sequence[Sequence[int]], prefix: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Token numbers behind the prefix, padded on the left, and where they are no padding, shape (rows, tokens)."""
        size = max(map(len, prompts)) - prefix
        ids = torch.zeros(len(prompts), size, dtype=torch.long)
        real = torch.zeros(len(prompts), size, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            own = torch.tensor(prompt[prefix:])
            ids[row, size - len(own) :], real[row, size - len(own) :] = own, True
        return ids.to(self.device), real.to(self.device)

    def shared(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, int]:
        """The key-value cache of what all prompts begin with, and its tokens; None and 0 where that is too short.

        It is kept for further calls. The last token of a prompt is never part of it. The cache keeps all tokens, also
        for layers with a sliding window, which is a matter of their masks then.
        """
        if not prompts:
            return None, 0
        low, high = min(map(list, prompts)), max(map(list, prompts))
        limit = min(map(len, prompts)) - 1
        size = next((at for at in range(min(limit, len(low), len(high))) if low[at] != high[at]), limit)
        kept, cache = self._prefix
        known = len(kept) if tuple(low[: len(kept)]) == kept and len(kept) <= size else 0
        # A longer one costs its tokens once, and saves the tokens behind the known one in every prompt.
        if known and (size - known) * len(prompts) <= size:
            return cache, known
        if len(prompts) < 2 or size < _LEAST_PREFIX:
            return None, 0
        cache = transformers.DynamicCache()
        with torch.inference_mode():
            ids = torch.tensor([low[:size]], device=self.device)
            self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        self._prefix = (tuple(low[:size]), cache)
        return cache, size

    @staticmethod
    def copied(cache: Any, count: int) -> Any:
        """A cache of its own for that many rows that begin with the same tokens; None for none."""
        if cache is None:
            return None
        own = copy.deepcopy(cache)
        own.batch_repeat_interleave(count)
        return own


class _Block:
    """All options side by side, as they follow a prompt; the last token of each is predicted and never read.

    Attributes:
        ids: token numbers that are read, of all options.
        depths: place of each in its option.
        mask: which of them sees which, shape (tokens, tokens).
        sources: for each token to predict, the position whose scores predict it: 0 is the end of the prompt.
        targets: the tokens to predict.
        owners: number of the option of each.
    """

    def __init__(self, options: Sequence[Sequence[int]], device: torch.device) -> None:
        self.count = len(options)
        ids, depths, read_by, sources, targets, owners = ([] for _ in range(6))  # type: ignore[var-annotated]
        for number, option in enumerate(options):
            sources += [0, *range(len(ids) + 1, len(ids) + len(option))]
            ids += option[:-1]
            depths += range(len(option) - 1)
            read_by += [number] * (len(option) - 1)
            targets += option
            owners += [number] * len(option)
        tensors = (
            torch.tensor(one, dtype=torch.long, device=device) for one in (ids, depths, sources, targets, owners)
        )
        self.ids, self.depths, self.sources, self.targets, self.owners = tensors
        own = torch.tensor(read_by, dtype=torch.long, device=device)
        self.mask = (own[:, None] == own[None, :]) & (self.depths[:, None] >= self.depths[None, :])


def _seen(real: torch.Tensor, count: int) -> torch.Tensor:
    """What the last `count` tokens see of all before them and of themselves, shape (rows, count, tokens)."""
    places = torch.arange(real.shape[1], device=real.device)
    return real[:, None, :] & (places <= places[-count:, None])


def _other_layers(config: Any) -> str:
    """Kinds of layers whose state cannot be masked or joined, such as recurrent ones; empty if there are none.

    They would mix what stands side by side in one pass.
    """
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    states = {type(layer).__name__ for layer in transformers.DynamicCache(config=config).layers}
    return ", ".join(sorted(kinds | states - {"DynamicLayer", "DynamicSlidingWindowLayer", "DummyLayer"}))

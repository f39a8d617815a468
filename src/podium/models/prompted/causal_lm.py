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
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from .chat import Chat
from .positions import longest_input
from .precision import PRECISIONS, fastest_precision
from .replies import is_whole

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


class Generated(NamedTuple):
    """What was generated for a prompt: the text with its special tokens, their number, and whether it was cut off."""

    text: str
    tokens: int
    cut: bool


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
        self._device = torch.device(device)
        self.longest = longest_input(self.model)
        self._window: int | None = getattr(text, "sliding_window", None)
        self._layers: Sequence[str] = getattr(text, "layer_types", None) or ()
        self.chat = Chat(self.tokenizer)
        stops = self.model.generation_config.eos_token_id
        self._stops = {self.tokenizer.eos_token_id, self.chat.end[0], *(stops if isinstance(stops, list) else [stops])}
        self._prefix: tuple[tuple[int, ...], Any] = ((), None)

    def share(self, prompts: Sequence[Sequence[int]]) -> None:
        """Compute what these prompts begin with, so that calls with one prompt need not do it again."""
        self._shared(prompts)

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
        block = _Block(options, self._device)
        started = time.perf_counter()
        cache, prefix = self._shared(prompts)
        for rows in self._batches(prompts, prefix, len(block.ids), len(block.ids) + 1, tight=True):
            found = self._halved(lambda part: self._score([prompts[row] for row in part], prefix, cache, block), rows)
            yield rows, found, time.perf_counter() - started
            started = time.perf_counter()

    def _score(self, prompts: Sequence[Sequence[int]], prefix: int, cache: Any, block: _Block) -> NDArray[np.float64]:
        count, size = len(prompts), max(map(len, prompts)) - prefix
        ids, real = self._padded(prompts, prefix, size)
        ends = torch.tensor([len(one) for one in prompts], device=self._device)
        ids = torch.cat([ids, block.ids.expand(count, -1)], dim=1)
        own = (real.cumsum(dim=1) - 1).clamp(min=0) + prefix
        positions = torch.cat([own, ends[:, None] + block.depths], dim=1)
        total = size + len(block.ids)
        seen = torch.zeros(count, total, total, dtype=torch.bool, device=self._device)
        seen[:, :, :size] = real[:, None, :]
        seen[:, :size, :size] &= torch.ones(size, size, dtype=torch.bool, device=self._device).tril()
        seen[:, size:, size:] = block.mask
        seen = torch.cat([seen.new_ones(count, total, prefix), seen], dim=2)
        keys = torch.cat([torch.arange(prefix, device=self._device).expand(count, -1), positions], dim=1)
        with torch.inference_mode():
            scores = self.model(
                input_ids=ids,
                attention_mask=self._masks(seen, positions, keys),
                position_ids=positions,
                past_key_values=self._copied(cache, count),
                use_cache=cache is not None,
                logits_to_keep=len(block.ids) + 1,
            ).logits
            logs = scores.float().log_softmax(dim=-1)
            each = logs[:, block.sources, block.targets].double()
            sums = torch.zeros(count, block.count, dtype=torch.float64, device=self._device)
            return sums.index_add_(1, block.owners, each).cpu().numpy()  # type: ignore[no-any-return]

    def _masks(self, seen: torch.Tensor, positions: torch.Tensor, keys: torch.Tensor) -> Any:
        """The mask of the attention, by kind of layer where the model has several."""

        def additive(allowed: torch.Tensor) -> torch.Tensor:
            lowest = torch.finfo(self.model.dtype).min
            return torch.zeros(allowed.shape, dtype=self.model.dtype, device=self._device).masked_fill(~allowed, lowest)

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
    ) -> Iterator[tuple[list[int], list[Generated], float]]:
        """Continue every prompt up to the end of the turn, or to `max_new_tokens`.

        Args:
            temperature: 0 takes the likeliest token each time.
            seeds: of the sampling, one per prompt.
            start: `{` or `[` ends an answer with the first whole JSON value that begins so.

        Yields, batch by batch: numbers of the prompts, what was generated for each, and the seconds it took.
        """
        started = time.perf_counter()
        cache, prefix = self._shared(prompts)
        common = (prefix, cache, max_new_tokens, temperature, start)
        for rows in self._batches(prompts, prefix, max_new_tokens, 1):
            found = self._halved(
                lambda part: self._continued([prompts[row] for row in part], [seeds[row] for row in part], *common),
                rows,
            )
            yield rows, found, time.perf_counter() - started
            started = time.perf_counter()

    def _continued(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        prefix: int,
        cache: Any,
        max_new_tokens: int,
        temperature: float,
        start: str | None,
    ) -> list[Generated]:
        ids, real = self._padded(prompts, prefix, max(map(len, prompts)) - prefix)
        mask = torch.cat([real.new_ones(len(prompts), prefix), real], dim=1)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, prefix:]
        past = self._copied(cache, len(prompts)) or transformers.DynamicCache(config=self.model.config)
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        active, written = list(range(len(prompts))), [list[int]() for _ in prompts]
        whole = set[int]()
        with torch.inference_mode():
            for step in range(max_new_tokens):
                scores = (
                    self.model(
                        input_ids=ids,
                        attention_mask=mask.long(),
                        position_ids=positions,
                        past_key_values=past,
                        use_cache=True,
                        logits_to_keep=1,
                    )
                    .logits[:, -1]
                    .float()
                )
                chosen = _chosen(scores, temperature, [draws[row] for row in active])
                going = []
                for place, (row, token) in enumerate(zip(active, chosen, strict=True)):
                    written[row].append(token)
                    if token in self._closing and start and is_whole(self.tokenizer.decode(written[row]), start):
                        whole.add(row)
                    elif token not in self._stops:
                        going.append(place)
                if not going or step + 1 == max_new_tokens:
                    break
                if len(going) < len(active):
                    kept = torch.tensor(going, device=self._device)
                    past.batch_select_indices(kept)
                    mask, positions = mask[kept], positions[kept]
                    active, chosen = [active[place] for place in going], [chosen[place] for place in going]
                ids = torch.tensor(chosen, device=self._device)[:, None]
                mask = torch.cat([mask, mask.new_ones(len(active), 1)], dim=1)
                positions = positions[:, -1:] + 1
        return [self._generated(tokens, row in whole) for row, tokens in enumerate(written)]

    def _generated(self, tokens: list[int], whole: bool) -> Generated:
        stopped = tokens[-1] in self._stops
        text = self.tokenizer.decode(tokens[:-1] if stopped else tokens)
        return Generated(text, len(tokens), not stopped and not whole)

    @cached_property
    def _closing(self) -> set[int]:
        """Tokens with which a JSON value may end."""
        return {
            number for token, number in self.tokenizer.get_vocab().items() if "}" in str(token) or "]" in str(token)
        } - self._stops

    # Batches

    def _batches(
        self, prompts: Sequence[Sequence[int]], prefix: int, more: int, scored: int, tight: bool = False
    ) -> Iterator[list[int]]:
        """Numbers of prompts, longest first, so that a batch holds little padding and a lack of memory shows at once.

        Args:
            more: tokens that come to every prompt.
            scored: positions of every prompt whose scores over the vocabulary are computed.
            tight: whether a batch that is large enough ends before rows that need much padding. Where text is written,
                every step reads all weights once for a batch, so that more rows are worth their padding.
        """
        order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
        tokens = _TOKENS[self._device.type]
        most = max(1, _SCORES // (scored * self.model.config.get_text_config().vocab_size))
        at = 0
        while at < len(order):
            longest = len(prompts[order[at]]) - prefix + more
            size = max(1, min(most, tokens // longest))
            if tight:
                size = self._unpadded([len(prompts[row]) - prefix + more for row in order[at : at + size]])
            yield order[at : at + size]
            at += size

    def _unpadded(self, sizes: Sequence[int]) -> int:
        """How many of the first rows, longest first, make a batch with little padding."""
        real = 0
        for count, size in enumerate(sizes):
            if real >= _ENOUGH[self._device.type] and sizes[0] * (count + 1) > _PADDED * (real + size):
                return count
            real += size
        return len(sizes)

    def _halved(self, run: Any, rows: list[int]) -> Any:
        """What `run` gives for the rows, in smaller parts where they do not fit the memory of the device."""
        try:
            return run(rows)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
        torch.cuda.empty_cache()
        middle = len(rows) // 2
        parts = [self._halved(run, part) for part in (rows[:middle], rows[middle:])]
        return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else [*parts[0], *parts[1]]

    def _padded(self, prompts: Sequence[Sequence[int]], prefix: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Token numbers behind the prefix, padded on the left to `size`, and where they are no padding."""
        ids = torch.zeros(len(prompts), size, dtype=torch.long)
        real = torch.zeros(len(prompts), size, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            own = torch.tensor(prompt[prefix:])
            ids[row, size - len(own) :], real[row, size - len(own) :] = own, True
        return ids.to(self._device), real.to(self._device)

    def _shared(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, int]:
        """The key-value cache of what all prompts begin with, and its tokens; None and 0 where that is too short.

        The last token of a prompt is never part of it. Sliding windows forget the beginning, so nothing is shared.
        """
        if not prompts or self._window is not None:
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
        cache = transformers.DynamicCache(config=self.model.config)
        with torch.inference_mode():
            ids = torch.tensor([low[:size]], device=self._device)
            self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        self._prefix = (tuple(low[:size]), cache)
        return cache, size

    @staticmethod
    def _copied(cache: Any, count: int) -> Any:
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


def _chosen(scores: torch.Tensor, temperature: float, draws: Sequence[torch.Generator]) -> list[int]:
    """The next token of each row."""
    if temperature == 0:
        found: list[int] = scores.argmax(dim=-1).tolist()
        return found
    likely = (scores / temperature).softmax(dim=-1).cpu()
    return [int(torch.multinomial(row, 1, generator=draw)) for row, draw in zip(likely, draws, strict=True)]

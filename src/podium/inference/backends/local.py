"""A causal language model of transformers in this process, or one per device."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from hashlib import sha256
from queue import SimpleQueue
from typing import Any, ClassVar

import numpy as np

from podium.errors import ConfigError, ModelError, OutOfMemory
from podium.inference.backends.base import Backend, Message, Reply, Request
from podium.inference.decide import normalised
from podium.models.gguf import causal_digest, causal_directory, locate_causal
from podium.models.precision import decided_precision
from podium.models.prompted.replies import schema_start, split_reasoning


class Local(Backend):
    """Decides by the likelihoods of the options, and generates; it enforces no schema.

    An answer under a schema ends with the first whole JSON value that the model writes.
    A request with options is decided from the probability of every option as the whole answer, summed over its tokens
    and the one that ends it, and normalised over the options. They are scored independently of each other.
    """

    name: ClassVar[str] = "local"
    decides = True
    generates = True
    enforces_schema = False

    def __init__(
        self,
        *,
        model: str,
        revision: str | None = None,
        precision: str = "auto",
        devices: Sequence[str] = (),
        bits: int = 16,
        trust_remote_code: bool = False,
        threads: int | None = None,
    ) -> None:
        """Load a model onto every device.

        Args:
            model: directory, GGUF file, URI, hub id or `pkg:NAME/PATH`.
            precision: `fp32` or `bf16`; `auto` takes the faster one, found by a short probe once on this machine.
            devices: as torch names them; empty takes all GPUs, or the CPU where there is none. Rows are shared out.
            bits: 4 or 8 quantise the weights on GPUs.
            threads: compute threads on a CPU; None leaves them as they are.

        Raises:
            ConfigError: the weights cannot be quantised here.
            ModelError: the model is not there, or is no causal language model.
        """
        import torch
        import transformers

        from podium.models.prompted.causal_lm import CausalModel

        transformers.utils.logging.disable_progress_bar()
        gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        chosen = list(devices) or gpus or ["cpu"]
        if bits != 16 and any(device.startswith("cpu") for device in chosen):
            raise ConfigError(f"weights of {bits} bits need a GPU, but the device is {', '.join(chosen)}; use 16 bits")
        if threads is not None:
            torch.set_num_threads(threads)
        place = locate_causal(model, revision)
        folder = causal_directory(place)
        if precision == "auto":
            precision = decided_precision(chosen[0].partition(":")[0])
        try:
            self._models = [CausalModel(folder, precision, device, trust_remote_code, bits) for device in chosen]
        except (OSError, ValueError, ImportError) as error:
            raise ModelError(f"{model} must be a causal language model, but: {error}") from error
        first = self._models[0]
        self._identity = {
            "backend": self.name,
            "version": 2,
            "weights": causal_digest(place),
            "precision": first.precision,
            "bits": bits,
            "device": chosen[0].partition(":")[0],
            "chat_template": sha256(str(first.tokenizer.chat_template or "").encode()).hexdigest(),
        }

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[str, Reply]]:
        if len(self._models) == 1:
            yield from self._answered(self._models[0], requests)
            return
        # Every device gets rows of all lengths.
        order = sorted(requests, key=lambda one: sum(len(message.content) for message in one.messages))
        results: SimpleQueue[Any] = SimpleQueue()

        def work(model: Any, part: Sequence[Request]) -> None:
            try:
                for item in self._answered(model, part):
                    results.put(item)
                results.put(None)
            except BaseException as error:
                results.put(error)

        parts = [order[number :: len(self._models)] for number in range(len(self._models))]
        for model, part in zip(self._models, parts, strict=True):
            threading.Thread(target=work, args=(model, part), daemon=True).start()
        left = len(parts)
        while left:
            item = results.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                left -= 1
            else:
                yield item

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(self._models[0].chat.prompt([one.model_dump() for one in messages]))

    def identity(self) -> dict[str, Any]:
        return dict(self._identity)

    def close(self) -> None:
        self._models = []

    def _answered(self, model: Any, requests: Sequence[Request]) -> Iterator[tuple[str, Reply]]:
        groups: dict[Any, list[Request]] = {}
        for request in requests:
            start = schema_start(request.schema)
            kind = request.options or (request.max_new_tokens, request.temperature, start)
            groups.setdefault(kind, []).append(request)
        for group in groups.values():
            yield from self._group(model, group)

    def _group(self, model: Any, requests: Sequence[Request]) -> Iterator[tuple[str, Reply]]:
        """Replies to requests with the same options, or the same way to generate."""
        import torch

        first = requests[0]
        prompts, fitting = [], []
        options: list[list[int]] = []
        for request in requests:
            prompt = model.chat.prompt([one.model_dump() for one in request.messages], decide=bool(first.options))
            if first.options and not options:
                options = [model.chat.option(prompt, option) for option in first.options]
            more = max(map(len, options)) if options else first.max_new_tokens
            if model.longest is not None and len(prompt) + more > model.longest:
                error = f"prompt and answer must fit {model.longest} tokens, but need {len(prompt)} + {more}"
                yield request.id, Reply(outcome="too-long", prompt_tokens=len(prompt), error=error)
            else:
                prompts.append(prompt)
                fitting.append(request)
        sizes = [len(prompt) for prompt in prompts]
        try:
            if options:
                for rows, found, seconds in model.decide(prompts, options):
                    logs, shares = normalised(found), _shares(seconds, [sizes[row] for row in rows])
                    for place, row in enumerate(rows):
                        yield fitting[row].id, _decision(first.options, logs[place], sizes[row], options, shares[place])
                return
            seeds = [_seed(one) for one in fitting]
            limit, start = first.max_new_tokens, schema_start(first.schema)
            for rows, texts in model.generate(prompts, limit, first.temperature, seeds, start):
                for row, text in zip(rows, texts, strict=True):
                    yield fitting[row].id, _text(model, text, sizes[row])
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory(
                f"one row must fit into memory, but it ran out with {max(sizes)} tokens; shorten the prompts, or use "
                "fewer bits"
            ) from error


def _decision(options: Sequence[str], logs: Any, size: int, tokens: Sequence[Sequence[int]], seconds: float) -> Reply:
    likely = np.exp(logs)
    return Reply(
        outcome="ok",
        text=options[int(logs.argmax())],
        probabilities=tuple((likely / likely.sum()).tolist()),
        prompt_tokens=size,
        output_tokens=sum(map(len, tokens)),
        seconds=seconds,
    )


def _text(model: Any, found: Any, size: int) -> Reply:
    answer, reasoning = split_reasoning(found.text)
    return Reply(
        outcome="truncated" if found.cut else "ok",
        text=model.chat.without_special(answer),
        reasoning=reasoning,
        prompt_tokens=size,
        output_tokens=found.tokens,
        seconds=found.seconds,
    )


def _shares(seconds: float, tokens: Sequence[int]) -> list[float]:
    return [seconds * one / max(sum(tokens), 1) for one in tokens]


def _seed(request: Request) -> int:
    return int.from_bytes(sha256(f"{request.seed}:{request.id}".encode()).digest()[:7], "big")

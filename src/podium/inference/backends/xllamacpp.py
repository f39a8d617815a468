"""A GGUF file run by llama.cpp in this process: as small as the file, and answers under a schema always fit it.

It needs the extra `xllamacpp`. llama.cpp's own server is asked by function calls; only tokens are counted over its
port, which takes a key that is made anew for each process.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib import metadata
from typing import Any, ClassVar
from urllib.request import Request as Post
from urllib.request import urlopen

from podium.devices.hardware import available_cores
from podium.errors import ModelError
from podium.inference.backends.base import Message, Reply, Request
from podium.inference.backends.openai import InvalidAnswerError, OpenAI
from podium.models.gguf import causal_digest, locate_causal

_QUIET = -1


class Xllamacpp(OpenAI):
    """Decides by the likelihoods of the options, as the backend `local` does, and generates.

    A grammar of the tokens of an option makes llama.cpp write it, and the log-probabilities that come with the reply
    are those before the grammar; with that of the end they sum up to the likelihood of the option. What the prompt
    takes is computed once for all options.
    """

    name: ClassVar[str] = "xllamacpp"
    enforces_schema = True
    connects: ClassVar[bool] = False

    def __init__(
        self,
        *,
        model: str,
        revision: str | None = None,
        concurrency: int = 4,
        context: int = 2048,
        threads: int | None = None,
        layers_on_gpu: int = -1,
    ) -> None:
        """Load a model.

        Args:
            model: GGUF file, URI of one, or `pkg:NAME/PATH`.
            concurrency: requests that are computed together.
            context: tokens that a prompt and its answer may have together.
            threads: compute threads; None takes all cores but one, since llama.cpp's threads wait for each other by
                spinning: on cores that others use as well it was nine times slower with all of two than with one.
            layers_on_gpu: -1 puts all on a GPU, where there is one that the wheel was built for.

        Raises:
            ModelError: llama.cpp is not installed, or cannot load the file.
        """
        super().__init__(model=model, concurrency=concurrency, logprobs=True)
        try:
            import xllamacpp
        except ImportError as error:
            raise ModelError("backend xllamacpp needs llama.cpp; pip install 'podium[xllamacpp]'") from error
        place = locate_causal(model, revision)
        if not place.is_file():
            raise ModelError(f"backend xllamacpp runs GGUF files, but {place} is a directory; use --backend local")
        key = secrets.token_hex(16)
        params = xllamacpp.CommonParams()
        params.model.path, params.verbosity, params.warmup = str(place), _QUIET, False
        params.n_ctx, params.n_parallel, params.n_gpu_layers = context * concurrency, concurrency, layers_on_gpu
        params.api_keys = [key]
        threads = threads or max(1, available_cores() - 1)
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        try:
            self._server: Any = xllamacpp.Server(params)
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{place} must be a model that llama.cpp runs, but: {error}") from error
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        self._tokens: dict[str, tuple[int, ...]] = {}
        self._identity = {
            "backend": self.name,
            "weights": causal_digest(place),
            "version": metadata.version("xllamacpp"),
            "context": context,
        }

    def identity(self) -> dict[str, Any]:
        return dict(self._identity)

    def count_tokens(self, messages: Sequence[Message]) -> int:  # type: ignore[override]
        prompt = self._post("/apply-template", {"messages": [one.model_dump() for one in messages]})["prompt"]
        return len(self._post("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"])

    def close(self) -> None:
        self._server = None

    def body(self, request: Request) -> dict[str, Any]:
        seed = int.from_bytes(sha256(f"{request.seed}:{request.id}".encode()).digest()[:4], "big")
        return {**super().body(request), "seed": seed, "cache_prompt": True}

    def _reply(self, request: Request, stop: threading.Event) -> Reply:
        began = time.perf_counter()
        try:
            found = self._decided(request) if request.options else self.read(self._asked(self.body(request)), request)
        except _TooLong as error:
            found = Reply(outcome="too-long", error=str(error))
        except (InvalidAnswerError, ValueError) as error:
            found = Reply(outcome="permanent", error=str(error))
        return found.model_copy(update={"seconds": time.perf_counter() - began})

    def _decided(self, request: Request) -> Reply:
        likelihoods, written, prompt = [], 0, 0
        for option in request.options:
            tokens = self._option(option)
            grammar = "root ::= " + " ".join(f"<[{token}]>" for token in tokens)
            more = {"grammar": grammar, "max_tokens": len(tokens) + 1, "top_logprobs": 1, "temperature": 0.0}
            completion = self._asked({**self.body(request), **more})
            content = completion.choices[0].logprobs.content
            if len(content) != len(tokens) + 1:  # the last one ends the turn
                raise InvalidAnswerError(f"llama.cpp must write {option!r} and end, but wrote {len(content)} tokens")
            likelihoods.append(sum(one.logprob for one in content))
            written, prompt = written + len(content), completion.usage.prompt_tokens
        highest = max(likelihoods)
        likely = [math.exp(one - highest) for one in likelihoods]
        return Reply(
            outcome="ok",
            text=request.options[likelihoods.index(highest)],
            probabilities=tuple(one / sum(likely) for one in likely),
            prompt_tokens=prompt,
            output_tokens=written,
        )

    def _option(self, option: str) -> tuple[int, ...]:
        if option not in self._tokens:
            self._tokens[option] = tuple(self._post("/tokenize", {"content": option, "add_special": False})["tokens"])
        return self._tokens[option]

    def _asked(self, body: Mapping[str, Any]) -> Any:
        from openai.types.chat import ChatCompletion

        said = self._server.handle_chat_completions(body)
        error = said.get("error")
        if error is None:
            return ChatCompletion.construct(**said)
        if error.get("type") == "exceed_context_size_error":
            raise _TooLong(f"prompt and answer must fit {error['n_ctx']} tokens, but need {error['n_prompt_tokens']}")
        raise InvalidAnswerError(error.get("message") or repr(error))

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        post = Post(self._server.listening_address + path, json.dumps(body).encode(), self._headers)
        with urlopen(post, timeout=60) as answer:
            return json.load(answer)


class _TooLong(Exception):
    """A prompt does not fit the context."""

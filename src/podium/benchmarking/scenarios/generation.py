"""Scenario `generation`: how fast a causal language model generates, one request at a time."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import cycle, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from podium.benchmarking.bench import WARM_UP_SHARE, Bench, Call, quiet
from podium.benchmarking.calls import Samples
from podium.benchmarking.scenarios import Measured, Scenario
from podium.benchmarking.scenarios.classifiers import QUANTILES, least_per_process
from podium.benchmarking.statistics import mean_interval, quantile_figures
from podium.config.section import Positive, Section
from podium.inference.predictor import LoadedModel
from podium.records import Figure, Scalar, ScenarioResult

if TYPE_CHECKING:
    from podium.inference.torch_predictor import Generator

_NS_PER_MS = 1e6
_NS_PER_S = 1e9
_WARM_UP_TOKENS = 2


class GenerationSettings(Section):
    """Tokens of a request."""

    prompt_tokens: Positive = Field(default=128, description="Causal models: prompts are cut to so many tokens.")
    output_tokens: int = Field(
        default=32, ge=2, description="Causal models: tokens generated per prompt; two are needed to time between them."
    )


class GenerationSamples(Samples):
    """Raw samples of one process.

    Attributes:
        first_token_ns: time from prompt text to the first token on the host, of each request.
        inter_token_ns: times between the tokens of each request.
    """

    first_token_ns: list[int]
    inter_token_ns: list[list[int]]
    prompt_tokens: list[int]

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens by the time of their whole requests."""
        requests = zip(self.first_token_ns, self.inter_token_ns, strict=True)
        seconds = sum(first + sum(gaps) for first, gaps in requests) / _NS_PER_S
        return sum(1 + len(gaps) for gaps in self.inter_token_ns) / seconds


class Generation(Scenario[GenerationSamples, GenerationSettings]):
    """Time to the first token, between tokens, per output token, and tokens per second."""

    name = "generation"
    title = "Generation"
    explanation = "One request at a time, greedy, from prompt text to token numbers."
    Settings = GenerationSettings
    Samples = GenerationSamples
    shares_process = True
    language_model = True
    least_repetitions = 2

    def predictor_class(self, variant: str, folder: Path) -> type[LoadedModel]:
        from podium.inference.torch_predictor import Generator

        return Generator

    def warm_up_call(self, bench: Bench) -> Call:
        """Generate two tokens; ModelError if the model has fewer positions than a request needs."""
        generator: Generator = bench.predictor
        settings = self.settings(bench.call.config)
        generator.check_positions(settings.prompt_tokens, settings.output_tokens)
        return lambda rows: generator.generate(str(rows[0]), settings.prompt_tokens, _WARM_UP_TOKENS)

    def measure(self, bench: Bench) -> GenerationSamples:
        """Answer one prompt after another for `max_seconds`, but at least as many as a median needs."""
        generator: Generator = bench.predictor
        settings, prompts = self.settings(bench.call.config), [str(row) for row in bench.call.rows]
        least = least_per_process(bench.call.config.repetitions)
        left = (1 - WARM_UP_SHARE) * bench.call.config.max_seconds
        asked: list[str] = []
        moments: list[list[int]] = []
        bench.next_turn(self.name)
        with quiet():
            began = bench.spent_seconds
            for prompt in cycle(prompts):
                if len(moments) >= least and (len(moments) >= len(prompts) or bench.spent_seconds - began >= left):
                    break
                asked.append(prompt)
                moments.append(generator.generate(prompt, settings.prompt_tokens, settings.output_tokens))
        return GenerationSamples(
            first_token_ns=[each[1] - each[0] for each in moments],
            inter_token_ns=[[after - before for before, after in pairwise(each[1:])] for each in moments],
            prompt_tokens=[generator.encode(prompt, settings.prompt_tokens).shape[1] for prompt in asked],
        )

    def summarise(self, samples: Sequence[GenerationSamples], about: Measured) -> ScenarioResult:
        """Quantiles over the requests of all repetitions, and means over repetitions."""
        first = [taken for one in samples for taken in one.first_token_ns]
        between = [taken for one in samples for gaps in one.inter_token_ns for taken in gaps]
        per_token_ms = [
            statistics.mean(statistics.mean(gaps) for gaps in one.inter_token_ns) / _NS_PER_MS for one in samples
        ]
        rates = [one.tokens_per_second for one in samples]
        facts: dict[str, Scalar] = {
            "prompt_tokens": statistics.mean(count for one in samples for count in one.prompt_tokens),
            "output_tokens": self.settings(about.config).output_tokens,
            "requests": len(first),
        }
        return ScenarioResult(
            figures=(
                *quantile_figures(first, QUANTILES, "first token"),
                Figure.of("per_output_token_ms", "per token", "ms", mean_interval(per_token_ms)),
                *quantile_figures(between, QUANTILES, "between tokens"),
                Figure.of("tokens_per_second", "tokens", "/s", mean_interval(rates)),
                *(
                    Figure(name=name, title=name.replace("_", " "), value=float(facts[name]))
                    for name in ("prompt_tokens", "output_tokens")
                ),
            ),
            facts=facts,
        )

    def levels(self, samples: GenerationSamples) -> dict[str, float]:
        return {
            "median latency": statistics.median(samples.first_token_ns),
            "throughput": samples.tokens_per_second,
        }

    def median_ms(self, samples: GenerationSamples) -> float:
        return statistics.median(samples.first_token_ns) / _NS_PER_MS


GENERATION = Generation()

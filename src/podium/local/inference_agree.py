"""`podium infer --agree BACKEND`: the same rows on two backends, and how far their answers differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import shorten

import numpy as np
from rich.console import Console

from podium.display.numbers import figure
from podium.errors import InputError, PodiumError
from podium.evaluation.bootstrap import paired_difference
from podium.evaluation.metrics import metrics_of
from podium.inference.stored import StoredRun, load_run
from podium.local.inference import InferCommand, infer
from podium.local.inference_prompt import PromptCommand

_SHOWN = 5
_CONFIDENCE, _RESAMPLES = 0.95, 1000


def compare_backends(
    command: InferCommand, other: PromptCommand, directory: Path, console: Console, called: str
) -> None:
    """Predict the chosen rows with a command and with another backend, and say how far the answers agree.

    Raises:
        InputError: something cannot be used, or both are the same run.
        RunOutOfBudget: too many rows came to nothing.
    """

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    runs = []
    for system, output in ((command.system, command.output), (other, None)):
        path = infer(replace(command, system=system, output=output, run_id=""), directory, console, called)
        runs.append(load_run(path, path.parent))
    first, second = runs
    if first.directory == second.directory:
        raise InputError(f"--agree compares two backends, but both are those of {first.run.id}; name another one")
    _answers(first, second, say)
    _probabilities(first, second, say)
    _scores(first, second, say)


def _answers(first: StoredRun, second: StoredRun, say: Callable[[str], None]) -> None:
    from scipy.stats import binomtest

    pairs = [(a.answer, b.answer) for a, b in zip(first.lines, second.lines, strict=True)]
    differing = [place for place, (a, b) in enumerate(pairs) if a != b]
    alike = len(pairs) - len(differing)
    bounds = binomtest(alike, len(pairs)).proportion_ci(_CONFIDENCE, method="wilson")
    say(
        f"equal answers: {alike:,} of {len(pairs):,} rows, {alike / len(pairs):.1%} "
        f"[{bounds.low:.1%}, {bounds.high:.1%}] (Wilson, {_CONFIDENCE:.0%})"
    )
    for place in differing[:_SHOWN]:
        shown = (shorten(str(answer), 60, placeholder=" …") for answer in pairs[place])
        say(f"  {first.ids[place]}: {' / '.join(shown)}")
    if len(differing) > _SHOWN:
        say(f"  and {len(differing) - _SHOWN:,} more")


def _probabilities(first: StoredRun, second: StoredRun, say: Callable[[str], None]) -> None:
    pairs = [(a.probabilities, b.probabilities) for a, b in zip(first.lines, second.lines, strict=True)]
    both = [np.abs(np.subtract(a, b)).max() for a, b in pairs if a and b and len(a) == len(b)]
    if both and first.run.labels == second.run.labels:
        say(f"largest difference of a probability: median {figure(np.median(both))}, at most {figure(max(both))}")


def _scores(first: StoredRun, second: StoredRun, say: Callable[[str], None]) -> None:
    if first.run.target is None:
        return
    try:
        a, b = first.predictions(), second.predictions()
        metric = next(iter(metrics_of(a)))
        found, _ = paired_difference(b, a, metric, _CONFIDENCE, _RESAMPLES, 0)
    except PodiumError as error:
        say(f"scores are not compared: {error}")
        return
    bounds = f"[{figure(found.low)}, {figure(found.high)}]"
    say(f"{metric} of the second less that of the first: {figure(found.value)} {bounds} (paired bootstrap)")

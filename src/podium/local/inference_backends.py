"""What `podium infer` does with a backend beside predicting: what it can, its requests as a file, and its answers
beside those of another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import shorten

import numpy as np
from rich.console import Console

from podium.display.numbers import figure
from podium.display.terminal import say
from podium.errors import InputError, PodiumError
from podium.evaluation.bootstrap import paired_difference
from podium.evaluation.metrics import metrics_of
from podium.inference.backends.check import check
from podium.inference.backends.openai_batch import BatchFiles
from podium.inference.prompted import PromptedModel
from podium.inference.stored import StoredRun, load_run
from podium.jsonfile import write_text
from podium.local.inference import InferCommand, infer, opened
from podium.local.inference_prompt import PromptCommand, open_backend
from podium.local.inference_system import SystemCommand

_SHOWN = 5
_CONFIDENCE, _RESAMPLES = 0.95, 1000


def check_backend(command: PromptCommand | SystemCommand, console: Console) -> int:
    """Print what each trial found; returns the exit code: 1 where the backend does not answer.

    Raises:
        InputError: no backend is named.
        ModelError: no request can be answered.
    """
    if isinstance(command, SystemCommand):
        raise InputError("--check asks a backend what it can; name it with --backend")
    answers = False
    # All that can be switched on is tried.
    with open_backend(command, logprobs=True, schema=True) as backend:
        say(console, f"{command.model} by {command.backend}:")
        for found in check(backend):
            answers = answers or (found.capability == "answers" and found.works)
            mark = "yes" if found.works else "no"
            say(console, f"  {found.capability:<27}{mark:<5}{found.seen}")
    return 0 if answers else 1


def write_requests(command: InferCommand, file: Path, directory: Path, console: Console) -> None:
    """Write one request per chosen row; nothing is sent, and no run is begun.

    Raises:
        InputError: the file exists, or something cannot be used.
    """
    if file.exists():
        raise InputError(f"requests are written to a new file, but {file} exists; move it away, or give another name")
    with opened(command, directory, partial(say, console)) as work:
        system = work.system
        if not isinstance(system, PromptedModel) or not isinstance(system.backend, BatchFiles):
            raise InputError("--write-batch is for --backend openai; a trained model has no requests")
        rows = [row for row in work.data.source.chosen(work.survey) if row.problem is None]
        lines = (json.dumps(system.backend.line(system.request(row)), ensure_ascii=False) for row in rows)
        write_text(file, "".join(f"{line}\n" for line in lines))
    say(console, f"{len(rows):,} requests: {file}; call this again with --read-batch RESULTS in place of --write-batch")


def compare_backends(
    command: InferCommand, other: PromptCommand, directory: Path, console: Console, called: str
) -> None:
    """Predict the chosen rows with a command and with another backend, and say how far the answers agree.

    Raises:
        InputError: something cannot be used, or both are the same run.
        RunOutOfBudget: too many rows came to nothing.
    """
    runs = []
    for system, output in ((command.system, command.output), (other, None)):
        path = infer(replace(command, system=system, output=output, run_id=""), directory, console, called)
        runs.append(load_run(path, path.parent))
    first, second = runs
    if first.directory == second.directory:
        raise InputError(f"--agree compares two backends, but both are those of {first.run.id}; name another one")
    for part in (_answers, _probabilities, _scores):
        part(first, second, partial(say, console))


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

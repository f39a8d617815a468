"""`podium infer MODEL --backend NAME --check`: what a backend really does."""

from __future__ import annotations

from rich.console import Console

from podium.errors import InputError
from podium.inference.backends.check import check
from podium.local.inference_prompt import PromptCommand, open_backend
from podium.local.inference_system import SystemCommand


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
        console.print(f"{command.model} by {command.backend}:", highlight=False, markup=False)
        for found in check(backend):
            answers = answers or (found.capability == "answers" and found.works)
            mark = "yes" if found.works else "no"
            console.print(
                f"  {found.capability:<27}{mark:<5}{found.seen}", highlight=False, markup=False, soft_wrap=True
            )
    return 0 if answers else 1

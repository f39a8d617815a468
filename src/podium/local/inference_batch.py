"""`podium infer --write-batch FILE`: the prompts of rows as requests for OpenAI's batch interface."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from podium.errors import InputError
from podium.inference.backends.openai_batch import BatchFiles
from podium.inference.prompted import PromptedModel
from podium.jsonfile import write_text
from podium.local.inference import InferCommand, opened


def write_requests(command: InferCommand, file: Path, directory: Path, console: Console) -> None:
    """Write one request per chosen row; nothing is sent, and no run is begun.

    Raises:
        InputError: the file exists, or something cannot be used.
    """
    if file.exists():
        raise InputError(f"requests are written to a new file, but {file} exists; move it away, or give another name")

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    with opened(command, directory, say) as work:
        system = work.system
        if not isinstance(system, PromptedModel) or not isinstance(system.backend, BatchFiles):
            raise InputError("--write-batch is for --backend openai; a trained model has no requests")
        rows = [row for row in work.data.source.chosen(work.survey) if row.problem is None]
        lines = (json.dumps(system.backend.line(system.request(row)), ensure_ascii=False) for row in rows)
        write_text(file, "".join(f"{line}\n" for line in lines))
    say(f"{len(rows):,} requests: {file}; call this again with --read-batch RESULTS in place of --write-batch")

"""What Podium's own programs have in common: `python -m MODULE --spec FILE --result FILE`.

A program reads its spec, does its work and writes `{"result": ...}` or `{"error": ...}` as JSON, which
`podium.execution.launch.run_program` reads. It ends when its launcher is gone.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from podium.errors import PodiumError
from podium.execution.ending import end_with_parent
from podium.execution.failures import describe
from podium.jsonfile import write_json

S = TypeVar("S")


def argument_parser(module: str, description: str) -> ArgumentParser:
    """The options that every program has."""
    parser = ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--spec", type=Path, required=True, help="JSON file that says what to do")
    parser.add_argument("--result", type=Path, required=True, help="JSON file for the result or the error")
    return parser


def run(options: Namespace, read: Callable[[bytes], S], work: Callable[[S], Any]) -> int:
    """Do the work of a program on the spec that `read` makes of its JSON text, and write its JSON-like result or error.

    Returns the exit code: 0 when there is a result, 2 for wrong input, 1 for any other error.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    end_with_parent()
    try:
        result = work(read(options.spec.read_bytes()))
    except Exception as error:
        traceback.print_exc()
        write_json(options.result, {"error": describe(error)})
        return error.exit_code if isinstance(error, PodiumError) else 1
    write_json(options.result, {"result": result})
    return 0


def redirect_output(log: Path) -> None:
    """Append the standard output and error of this process, and of those that it starts, to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("ab") as stream:
        for standard in (1, 2):
            os.dup2(stream.fileno(), standard)


def end(exit_code: int) -> NoReturn:
    """End this process at once: its result is written, and taking torch down in order would take most of a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)

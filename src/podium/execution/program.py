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

from pydantic import ValidationError

from podium.errors import ConfigError, PodiumError
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
    """Do the work of a program and write its result, which must be JSON-like, or its error.

    Args:
        options: what `argument_parser` parsed.
        read: makes the spec of the JSON text.
        work: returns the result.

    Returns:
        The exit code: 0 when there is a result, 2 for wrong input, 1 for any other error.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    end_with_parent()
    try:
        result = work(_spec(options.spec, read))
    except Exception as error:
        traceback.print_exc()
        write_json(options.result, {"error": describe(error)})
        return error.exit_code if isinstance(error, PodiumError) else 1
    write_json(options.result, {"result": result})
    return 0


def end(exit_code: int) -> NoReturn:
    """End this process at once: its result is written, and taking torch down in order would take most of a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _spec(path: Path, read: Callable[[bytes], S]) -> S:
    try:
        return read(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"--spec must name a readable file, but got {path}: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(f"{path} must hold a valid spec, but: {error}") from error

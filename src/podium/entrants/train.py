"""The program that runs one training of any kind: `python -m podium.entrants.train --spec FILE --result FILE`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from podium.config.entrants import ENTRANTS
from podium.errors import ConfigError
from podium.execution import program
from podium.training.launch import FitSpec


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the training of a spec file and write its result or error; returns the exit code."""
    options = program.argument_parser("podium.entrants.train", "Run one training.").parse_args(arguments)
    return program.run(options, read_spec, lambda spec: ENTRANTS.get(spec.kind).train(spec).model_dump())


def read_spec(text: bytes | str) -> FitSpec:
    """The spec of a training in the class of its kind, from JSON.

    Raises:
        ConfigError: it names no kind.
        ValidationError: it is no spec of this kind.
    """
    fields: Any = json.loads(text)
    if not isinstance(fields, dict) or "kind" not in fields:
        raise ConfigError("a spec must be a JSON object that names the kind of its entrant, but it does not")
    spec: FitSpec = ENTRANTS.get(str(fields["kind"])).spec.model_validate_json(text)
    return spec


if __name__ == "__main__":
    program.end(main())

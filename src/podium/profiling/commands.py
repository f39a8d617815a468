"""What a profiler ran, kept beside what it found: files that run as they stand, and the same as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from podium.jsonfile import write_json, write_text

COMMAND, AGAIN, AS_JSON = "cmd.txt", "cmd-rerun.txt", "cmd.json"


def private_directory(path: Path) -> Path:
    """Make a directory that its owner alone may look into."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def write_command(
    directory: Path,
    argv: Sequence[str],
    again: Sequence[str],
    cwd: Path,
    variables: Mapping[str, str],
    versions: Mapping[str, str],
) -> None:
    """Write `cmd.txt`, `cmd-rerun.txt` and `cmd.json` into a directory.

    Args:
        argv: what was run, with absolute paths.
        again: the same with new places for what it writes, so that it can be run beside what is there.
        variables: that were set for it, and hold no secrets; those of the caller are not written.
    """
    write_text(directory / COMMAND, script(argv, cwd, variables))
    write_text(directory / AGAIN, script(again, cwd, variables))
    about = {"argv": list(argv), "rerun": list(again), "cwd": str(cwd)}
    write_json(directory / AS_JSON, {**about, "environment": dict(variables), "versions": dict(versions)})


def script(argv: Sequence[str], cwd: Path, variables: Mapping[str, str]) -> str:
    """A command for `sh`."""
    parts = [*(f"{name}={shlex.quote(value)}" for name, value in sorted(variables.items())), shlex.join(argv)]
    return f"cd {shlex.quote(str(cwd))} &&\n" + " \\\n  ".join(parts) + "\n"

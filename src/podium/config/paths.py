"""Paths as users write them, and the files they mean.

`resolve` is called once, by `podium.config.compose`; everything after it sees absolute paths, URIs,
`pkg:NAME/PATH` and hub ids only. `locate` turns any but hub ids into a path on this machine.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from pathlib import Path
from string import Template
from urllib.parse import unquote, urlsplit

from podium.errors import ConfigError, InputError

PACKAGE = "pkg:"

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///)([^?]+)(.*)", re.DOTALL)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def is_uri(value: str) -> bool:
    """Whether `value` starts with a scheme and `://`."""
    return _URI.match(value) is not None


def is_remote(value: str) -> bool:
    """Whether `value` is a URI of something that is not on this machine."""
    return is_uri(value) and not value.startswith("file://")


def resolve(value: str, directory: Path, *, hub: bool = False) -> str:
    """What the text of a user names, independent of the current directory and environment.

    `$NAME` and `${NAME}` are replaced by environment variables (`$$` is a dollar), a leading `~` by the home
    directory. URIs and `pkg:NAME/PATH` stay as they are, except that a relative SQLite file
    (`sqlite:///runs.db`) becomes absolute. Everything else is a path relative to `directory`, except with `hub`, which
    keeps `name` and `organisation/name` where no such path exists.

    Raises:
        ConfigError: it is empty, names an undefined variable or an unknown user, or is no well-formed `pkg:` reference.
    """
    text = _expand(value)
    if text.startswith(PACKAGE):
        _split_package(text)
        return text
    database = _SQLITE.fullmatch(text)
    if database and database[2] != ":memory:" and not database[2].startswith("file:"):
        return f"{database[1]}{_absolute(database[2], directory)}{database[3]}"
    if is_uri(text):
        return text
    path = _absolute(text, directory)
    return text if hub and _HUB_ID.fullmatch(text) and not Path(path).exists() else path


def locate(value: str, patterns: tuple[str, ...] = ()) -> Path:
    """The existing file or directory on this machine that a resolved value names; a remote one is fetched first.

    Args:
        value: an absolute path, a URI, or `pkg:NAME/PATH`: `PATH` among the files that the installed distribution
            `NAME` brought. The package is not imported.
        patterns: names of the files that are wanted of a remote folder, where not all are.

    Raises:
        InputError: the package is not installed, nothing is there, or a remote file cannot be fetched.
    """
    if value.startswith(PACKAGE):
        name, inner = _split_package(value)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            raise InputError(
                f"{value} needs the package {name}, which is not installed; `pip install {name}`"
            ) from None
        path = Path(str(distribution.locate_file(inner)))
        if not path.exists():
            raise InputError(f"{value} does not exist: {name} {distribution.version} has no {inner}; check the path")
        return path
    if is_remote(value):
        from podium.remote.fetch import fetch

        return fetch(value, patterns)
    path = Path(unquote(urlsplit(value).path) if value.startswith("file://") else value)
    if not path.exists():
        raise InputError(f"{value} does not exist; check the path (relative paths start where podium was called)")
    return path


def _split_package(value: str) -> tuple[str, str]:
    name, _, inner = value.removeprefix(PACKAGE).partition("/")
    if not name or not inner or ".." in inner.split("/") or inner.startswith("/"):
        raise ConfigError(f"a packaged path is written pkg:NAME/PATH, with PATH inside the package, but got {value!r}")
    return name, inner


def _expand(value: str) -> str:
    if not value.strip():
        raise ConfigError(f"a path must not be empty, but got {value!r}")
    try:
        return Template(value).substitute(os.environ)
    except KeyError as error:
        raise ConfigError(
            f"the environment variable {error.args[0]} is not defined, but {value!r} names it; "
            "export it, or write $$ for a dollar"
        ) from None
    except ValueError:
        raise ConfigError(f"a dollar begins $NAME or ${{NAME}}, but got {value!r}; write $$ for a dollar") from None


def _absolute(text: str, directory: Path) -> str:
    try:
        return os.path.normpath(directory.absolute() / Path(text).expanduser())
    except RuntimeError:
        raise ConfigError(f"the home directory in {text!r} cannot be found; write the path in full") from None

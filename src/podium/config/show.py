"""The resolved config as text: one line per value, with where it came from."""

from __future__ import annotations

from typing import Any

from podium.config.compose import Composed
from podium.config.fields import leaves

_WIDEST = 56
"""Values longer than this push their origin to the right rather than all others."""


def render_config(composed: Composed) -> str:
    """Lines of dotted key, value in the command line's syntax and origin, in schema order, aligned."""
    rows = [(".".join(path), value_text(value)) for path, value in leaves(composed.config)]
    keys = max(len(key) for key, _ in rows)
    values = max(len(value) for _, value in rows if len(value) <= _WIDEST)
    return "\n".join(f"{key:<{keys}}  {value:<{values}}  {composed.origins[key]}" for key, value in rows)


def value_text(value: Any) -> str:
    """A value in the command line's syntax."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(value_text(item) for item in value)}]"
    return "{}" if value == {} else str(value) or "''"

"""The kinds of entrants by name."""

from __future__ import annotations

from typing import Any

from podium.plugins import Registry

ENTRANTS: Registry[Any] = Registry(
    "podium.entrants",
    "kind of entrant",
    {
        "transformer": "podium.entrants.transformer:TRANSFORMER",
        "linear": "podium.entrants.linear:LINEAR",
    },
)
"""The kinds of models that compete, each a `podium.entrants.base.EntrantKind`.

Another package adds its own by an entry point of the group `podium.entrants`.
"""

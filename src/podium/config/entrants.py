"""The kinds of entrants by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podium.plugins import Registry

if TYPE_CHECKING:
    from podium.config.schema import PodiumConfig
    from podium.config.search import HpoConfig

ENTRANTS: Registry[Any] = Registry(
    "podium.entrants",
    "kind of entrant",
    {
        "transformer": "podium.entrants.transformer:TRANSFORMER",
        "linear": "podium.entrants.linear:LINEAR",
        "llm": "podium.entrants.llm:LLM",
    },
)
"""The kinds of models that compete, each a `podium.entrants.base.EntrantKind`.

Another package adds its own by an entry point of the group `podium.entrants`.
"""


def search_of(config: PodiumConfig, entrant: str) -> HpoConfig:
    """The search of one entrant: that of the config, over the space of its kind."""
    return config.hpo.model_copy(update={"space": ENTRANTS.get(config.entrants[entrant].kind).space_in(config)})

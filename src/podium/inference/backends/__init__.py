"""What answers prompts: one class per backend, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podium.plugins import Registry

if TYPE_CHECKING:
    from podium.inference.backends.base import Backend

BACKENDS: Registry[type[Backend]] = Registry(
    "podium.backends",
    "backend",
    {
        "local": "podium.inference.backends.local:Local",
        "openai": "podium.inference.backends.openai:OpenAI",
        "xllamacpp": "podium.inference.backends.xllamacpp:Xllamacpp",
        "echo": "podium.inference.backends.echo:Echo",
    },
)
"""The backends by name. Another package adds its own by an entry point of the group `podium.backends`."""

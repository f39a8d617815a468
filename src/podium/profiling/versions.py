"""Versions of what a profile is made with; asked for without importing any of it."""

from __future__ import annotations

from podium.config.profile import ProfileConfig
from podium.devices.hardware import installed_versions

_PACKAGES = ("podium", "torch", "transformers", "onnxruntime", "tokenizers", "nvtx")


def packages() -> dict[str, str]:
    """Versions of the packages that shape a profile, by name; those that are not installed are left out."""
    return installed_versions(_PACKAGES)


def versions(config: ProfileConfig) -> dict[str, str]:
    """Versions of the packages, and of the programs that a config asks for; empty for one that is not here."""
    from podium.profiling.tools import find_tool, version_of

    programs = {"nsys": config.nsys or "nsys", "ncu": config.ncu or "ncu"}
    found = packages()
    for name in config.tools:
        if name in programs:
            path = find_tool(programs[name])
            found[name] = ".".join(map(str, version_of(path))) if path else ""
    return found

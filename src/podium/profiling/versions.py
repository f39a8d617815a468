"""Versions of what a profile is made with; asked for without importing any of it."""

from __future__ import annotations

from importlib import metadata

from podium.config.profile import ProfileConfig

_PACKAGES = ("podium", "torch", "transformers", "onnxruntime", "tokenizers", "nvtx")


def packages() -> dict[str, str]:
    """Versions of the packages that shape a profile, by name; those that are not installed are left out."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


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

"""Versions of what shapes results and their speed."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = (
    "podium",
    "torch",
    "transformers",
    "datasets",
    "scikit-learn",
    "seqeval",
    "optuna",
    "mlflow",
    "kfp",
    "numpy",
)


def versions() -> dict[str, str]:
    """Versions of Python, the platform and the installed packages, by name, without importing them."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found

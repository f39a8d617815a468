from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.config.compose import Composed, compose


@pytest.fixture
def composed(tmp_path: Path) -> Any:
    """Compose overrides against an empty directory."""

    def run(*overrides: str, files: tuple[Path, ...] = ()) -> Composed:
        return compose(overrides, tmp_path, files)

    return run

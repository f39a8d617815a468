from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from podium.config.schema import DatasetConfig

Configure = Callable[..., DatasetConfig]


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def labelled(**counts: int) -> list[dict[str, str]]:
    """Distinct rows, so many of each label."""
    return [{"text": f"{label} text {n}", "label": label} for label, count in counts.items() for n in range(count)]


@pytest.fixture
def configure() -> Configure:
    """A dataset config for a path; text classification unless told otherwise."""

    def make(path: Path | str, **fields: Any) -> DatasetConfig:
        return DatasetConfig.model_validate(
            {"name": "test", "path": str(path), "task": "text-classification", **fields}
        )

    return make


@pytest.fixture
def prepared(tmp_path: Path, configure: Configure) -> Callable[..., Any]:
    """Prepare a path; returns what `prepare` returns and the artifact."""
    from podium.data.artifact import DataArtifact
    from podium.data.prepare import prepare

    made: list[Path] = []

    def run(path: Path | str, seed: int = 13, **fields: Any) -> tuple[Any, DataArtifact]:
        output = tmp_path / f"prepared-{len(made)}"
        made.append(output)
        return prepare(configure(path, **fields), seed, output), DataArtifact(output)

    return run

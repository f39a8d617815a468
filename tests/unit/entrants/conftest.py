from __future__ import annotations

from pathlib import Path

import pytest

from podium.config.schema import DatasetConfig
from podium.data.prepare import prepare

TOPICS = {"sport": "match goal team coach", "money": "bank market price share", "law": "court judge trial crime"}


@pytest.fixture(scope="session")
def topics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts with any of three labels, or none, each told by its words."""
    folder = tmp_path_factory.mktemp("topics")
    lines = []
    for row in range(120):
        labels = [name for bit, name in enumerate(TOPICS) if row % 8 >> bit & 1]
        words = " ".join(TOPICS[name].split()[row % 4] for name in labels)
        lines.append(f'{{"text": "Row {row} says {words}", "labels": {str(labels).replace(chr(39), chr(34))}}}')
    (folder / "rows.jsonl").write_text("\n".join(lines))
    config = DatasetConfig(
        name="x", path=str(folder / "rows.jsonl"), task="multi-label", label_column="labels", folds=2
    )
    prepare(config, 13, folder / "data")
    return folder / "data"

"""The prompt templates that Podium brings, as files."""

from __future__ import annotations

from pathlib import Path

CLASSIFY = Path(__file__).with_name("classify.yaml")
REQUESTS = Path(__file__).with_name("requests.yaml")
CLASSIFY_EACH = Path(__file__).with_name("classify-each.yaml")
ENTITIES = Path(__file__).with_name("entities.yaml")

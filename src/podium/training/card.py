"""The model card that a refitted model carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from podium.keys import keyed
from podium.tasks import TASKS
from podium.training.spec import TrainingSpec


def write_card(
    directory: Path,
    spec: TrainingSpec,
    *,
    data_digest: str,
    backbone_digest: str,
    rows: Mapping[str, int],
    parameters: int,
    metrics: Mapping[str, float],
) -> None:
    """Write `README.md`, a Hugging Face model card, into the directory of a model.

    It holds no path and no time, so that the same training gives the same bytes.
    """
    pipeline = TASKS.get(spec.task).pipeline
    head = {
        "library_name": "transformers",
        "pipeline_tag": pipeline,
        "tags": ["podium"],
        "metrics": sorted(metrics),
    }
    settings = {**keyed(spec.config), "seed": spec.seed, "data_fraction": spec.data_fraction}
    text = f"""---
{yaml.safe_dump(head, sort_keys=False).strip()}
---

# {pipeline.capitalize()} model

Fine-tuned by Podium: {parameters:,} parameters, weights as safetensors.

## Data

{_table("what", "value", {**{f"{name} rows": f"{count:,}" for name, count in rows.items()}, "digest": data_digest})}

Labels: {", ".join(f"`{label}`" for label in spec.labels)}

## Results

On {"the held-out test rows" if spec.fold is None else f"the rows of fold {spec.fold}, held out of the training"}:

{_table("metric", "value", {name: f"{value:.4f}" for name, value in metrics.items()})}

## Training

Backbone digest: `{backbone_digest}`

{_table("setting", "value", {name: json.dumps(value) for name, value in settings.items()})}

## Use

```python
from transformers import pipeline

model = pipeline("{pipeline}", model="DIRECTORY")
```
"""
    (directory / "README.md").write_text(text)


def _table(left: str, right: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {left} | {right} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines)

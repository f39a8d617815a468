"""What trainings of all kinds share: their data, the choice of its rows, and the model card."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from podium.data.artifact import DataArtifact
from podium.errors import DataError
from podium.evaluation.predictions import Predictions
from podium.keys import keyed
from podium.tasks import TASKS
from podium.training.launch import FitSpec


def open_data(spec: FitSpec) -> DataArtifact:
    """The data of a training; DataError where it has another task or other labels."""
    artifact = DataArtifact(spec.data)
    if (artifact.task, tuple(artifact.labels)) != (spec.task, spec.labels):
        raise DataError(
            f"the data must have the task and labels of the training ({spec.task}: {', '.join(spec.labels)}), "
            f"but {spec.data} has {artifact.task}: {', '.join(artifact.labels)}"
        )
    return artifact


def rows_to_train(spec: FitSpec, artifact: DataArtifact) -> NDArray[np.int64]:
    """Positions in `development` of the rows that a training learns from, in ascending order."""
    task, development = TASKS.get(spec.task), artifact.development
    rows = np.arange(len(development)) if spec.fold is None else artifact.fold(spec.fold)[0]
    classes = task.classes(development[task.target])
    return sample_rows(rows, None if classes is None else classes[rows], spec.data_fraction, spec.seed)


def sample_rows(
    rows: NDArray[np.int64], classes: NDArray[np.int64] | None, fraction: float, seed: int
) -> NDArray[np.int64]:
    """A random share of row numbers, in ascending order: `fraction` of each class, rounded up.

    `classes` are those of the rows; None draws without regard to classes.
    """
    if fraction == 1.0:
        return np.sort(rows)
    groups = np.zeros(len(rows), dtype=np.int64) if classes is None else classes
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    kept: list[NDArray[np.int64]] = []
    for group in np.unique(groups):
        members = shuffled[groups[shuffled] == group]
        kept.append(members[: math.ceil(fraction * len(members))])
    return np.sort(rows[np.concatenate(kept)])


def save_fold_predictions(predictions: Predictions, output: Path) -> None:
    """Leave the held-out predictions of a fold in `{output}/predictions`, where they have probabilities."""
    if predictions.probabilities is not None:
        partial = output / ".predictions"
        predictions.save(partial)
        shutil.rmtree(output / "predictions", ignore_errors=True)
        partial.rename(output / "predictions")


def model_card(
    spec: FitSpec,
    library: str,
    summary: str,
    use: str,
    data_digest: str,
    rows: Mapping[str, int],
    metrics: Mapping[str, float],
) -> str:
    """A Hugging Face model card, without path and time, so that the same training gives the same bytes.

    Args:
        library: what loads the model, as the hub names it.
        rows: how many rows there were, by what they were used for.
    """
    counts = {f"{name} rows": f"{count:,}" for name, count in rows.items()}
    pipeline = TASKS.get(spec.task).pipeline
    head = {"library_name": library, "pipeline_tag": pipeline, "tags": ["podium"], "metrics": sorted(metrics)}
    settings = {**keyed(spec.config), "seed": spec.seed, "data_fraction": spec.data_fraction}
    return f"""---
{yaml.safe_dump(head, sort_keys=False).strip()}
---

# {pipeline.capitalize()} model

{summary}

## Data

{_table("what", "value", {**counts, "digest": data_digest})}

Labels: {", ".join(f"`{label}`" for label in spec.labels)}

## Results

On {"the held-out test rows" if spec.fold is None else f"the rows of fold {spec.fold}, held out of the training"}:

{_table("metric", "value", {name: f"{value:.4f}" for name, value in metrics.items()})}

## Training

{_table("setting", "value", {name: json.dumps(value) for name, value in settings.items()})}

## Use

```python
{use}
```
"""


def _table(left: str, right: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {left} | {right} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines)

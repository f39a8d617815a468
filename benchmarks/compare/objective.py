"""The objectives that every tool of `hpo_compare.py` calls, also as a command: `objective.py TASK_FILE PARAMS_JSON`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

SHORT_SECONDS = 0.2


def evaluate(task: dict[str, Any], number: int, params: dict[str, Any]) -> float:
    """The score of params in a task."""
    return short(params) if task["workload"] == "short" else trained(task, number, params)


def short(params: dict[str, Any]) -> float:
    """Keep a core busy for a while; the maximum lies inside the space."""
    end = time.process_time() + SHORT_SECONDS
    while time.process_time() < end:
        sum(range(1000))
    return 1.0 - abs(params["learning_rate"] - 1e-3) - abs(params["epochs"] - 4) / 10 - params["batch_size"] / 1000


def trained(task: dict[str, Any], number: int, params: dict[str, Any]) -> float:
    """Mean macro F1 of the backbone over the folds, by Podium's training code."""
    from statistics import fmean

    import torch

    from podium.config.schema import TrainingConfig
    from podium.training.launch import TrainingResult, TrainingSpec, cross_validate

    torch.set_num_threads(1)
    data = Path(task["data"])
    spec = TrainingSpec(
        task="text-classification",
        labels=tuple(task["labels"]),
        data=data / "data",
        backbone=Path(task["backbone"]),
        config=TrainingConfig(**{name: task[name] for name in ("epochs", "max_length", "precision")}, **params),
        metric="macro_f1",
        seed=13,
        output=Path(task["output"]) / f"trial-{number}",
        cache=data / "cache",
    )
    scores: list[float] = []

    def keep(fold: int, result: TrainingResult) -> None:
        scores.append(result.metrics["macro_f1"])

    cross_validate(spec, task["folds"], (), keep)
    return fmean(scores)


if __name__ == "__main__":
    print(evaluate(json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2]), json.loads(sys.argv[3])))

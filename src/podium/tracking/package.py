"""A model directory in the form that MLflow loads and serves."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from podium.config.schema import Task
from podium.records import ModelRecord
from podium.tracking.connection import load_mlflow

WEIGHTS = "model"
"""Folder of a packaged model that holds the files of the model directory."""

_PIPELINES: dict[Task, str] = {"text-classification": "text-classification", "ner": "token-classification"}
_PYFUNC: dict[Task, dict[str, Any]] = {"text-classification": {}, "ner": {"ignore_labels": []}}
"""Settings of the pyfunc flavor. Its parser in mlflow 3.17 fails on a sentence without entities, so it is given every
token's tag, `O` too."""


def describe_model(path: Path, model: ModelRecord, model_id: str, run_id: str | None, folder: Path) -> None:
    """Write everything of an MLflow model but its weights into `folder`: MLmodel, requirements, tokenizer.

    The weights belong below `WEIGHTS`, where the files of `path` go as they are. mlflow 3.17 cannot package a
    checkpoint from its path under transformers 5 (`check_task` there gives class names instead of classes), so the
    pipeline is built, which also proves that it loads.
    """
    mlflow = load_mlflow()
    from transformers import pipeline

    with _silence():
        task = _PIPELINES[model.task]
        built = pipeline(task, model=str(path), tokenizer=str(path), device="cpu")
        built.model.name_or_path = f"podium:refit/{model.key}"
        mlflow.transformers.save_model(
            built,
            str(folder),
            task=task,
            model_config=_PYFUNC[model.task] or None,
            mlflow_model=mlflow.models.Model(model_id=model_id, run_id=run_id),
            metadata={"podium.model.key": model.key, "podium.model.digest": model.artifacts["model"].digest},
            pip_requirements=[_pinned(name) for name in ("torch", "transformers")],
        )
    shutil.rmtree(folder / WEIGHTS)
    (folder / "LICENSE.txt").unlink(missing_ok=True)


def _pinned(name: str) -> str:
    """Requirement of the installed version, without a local part such as `+cpu` that no index knows."""
    return f"{name}=={version(name).partition('+')[0]}"


@contextmanager
def _silence() -> Iterator[None]:
    from transformers.utils import logging

    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()

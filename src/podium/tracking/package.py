"""A model directory in the form that MLflow loads and serves."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from podium.models import prompted
from podium.models.linear_package import ABOUT
from podium.models.onnx_package import GRAPH
from podium.records import ModelRecord
from podium.tasks import TASKS
from podium.tasks.base import Task
from podium.tracking.connection import load_mlflow

WEIGHTS = "model"
"""Folder of a packaged model that holds the files of the model directory."""

_RUNNERS: dict[str, tuple[str, tuple[str, ...]]] = {
    GRAPH: ("onnx_package", ("onnxruntime", "tokenizers")),
    ABOUT: ("linear_package", ()),
    prompted.ABOUT: ("prompted", ("torch", "transformers", "jinja2")),
}
"""The module or package of `podium.models` that runs a package, and what it needs beside numpy, by the file that tells
what package it is."""


def describe_model(path: Path, model: ModelRecord, model_id: str, run_id: str | None, folder: Path) -> None:
    """Write everything of an MLflow model but its weights into `folder`: MLmodel, signature, example, requirements.

    The weights belong below `WEIGHTS`, where the files of `path` go as they are. Making the example's answer proves
    that the model loads and predicts.

    Args:
        path: directory of a model that transformers loads, or a package (`podium.models.onnx_package`,
            `podium.models.linear_package`, `podium.models.prompted`).
        model: the refit that it is, or was made from; `model_id` names its logged model, `run_id` the run that made it.
        folder: must not exist.
    """
    from transformers.utils import logging

    task = TASKS.get(model.task)
    common = {
        "mlflow_model": load_mlflow().models.Model(model_id=model_id, run_id=run_id),
        "metadata": {"podium.model.key": model.key, "podium.model.digest": model.artifacts["model"].digest},
    }
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with warnings.catch_warnings(action="ignore"):
        runner = next((found for file, found in _RUNNERS.items() if (path / file).is_file()), None)
        if runner is not None:
            _describe_package(path, *runner, task, folder, common)
        else:
            _describe_transformers(path, task, model, folder, common)
    (folder / "LICENSE.txt").unlink(missing_ok=True)


def _describe_transformers(path: Path, task: Task, model: ModelRecord, folder: Path, common: dict[str, Any]) -> None:
    """The pipeline of transformers; as pyfunc it takes texts.

    mlflow 3.17 cannot package a checkpoint from its path under transformers 5 (`check_task` there gives class names
    instead of classes), so the pipeline is built.
    """
    mlflow = load_mlflow()
    from transformers import pipeline

    trusted = {"trust_remote_code": model.trust_remote_code}
    built = pipeline(task.pipeline, model=str(path), tokenizer=str(path), device="cpu", **trusted)
    built.model.name_or_path = f"podium:refit/{model.key}"
    mlflow.transformers.save_model(
        built,
        str(folder),
        task=task.pipeline,
        model_config=dict(task.pyfunc) or None,
        input_example=list(task.examples),
        pip_requirements=[_pinned(name) for name in ("torch", "transformers")],
        **common,
    )
    shutil.rmtree(folder / WEIGHTS)


def _describe_package(
    path: Path, runner: str, required: tuple[str, ...], task: Task, folder: Path, common: dict[str, Any]
) -> None:
    """A pyfunc of what the package needs alone; it takes the column of the contents: `text` or `tokens`."""
    mlflow = load_mlflow()
    import pandas as pd

    module = import_module(f"podium.models.{runner}")
    example = {task.content: [text.split() if task.words else text for text in task.examples]}
    file = Path(str(module.__file__))
    code = file.parent if file.name == "__init__.py" else file
    # mlflow runs the logged code here as well, to make the example's answer.
    with _importable(runner, code.parent):
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(Path(__file__).with_name("served_package.py")),
            code_paths=[str(code)],
            artifacts={"package": str(path)},
            input_example=pd.DataFrame(example),
            pip_requirements=[_pinned(name) for name in (*required, "numpy", "pandas")],
            **common,
        )
    written = mlflow.models.Model.load(str(folder))
    flavor = written.flavors["python_function"]
    flavor["artifacts"]["package"] = {"uri": f"podium:{WEIGHTS}", "path": WEIGHTS}
    flavor["model_code_path"] = "served_package.py"  # mlflow looks for it in the model, and notes where it was before
    written.save(str(folder / "MLmodel"))
    shutil.rmtree(folder / "artifacts")


@contextmanager
def _importable(name: str, folder: Path) -> Iterator[None]:
    """Let a module or package of `folder` be imported by its bare name, apart from Podium's own modules.

    An alias of Podium's package under that name would get the modules that are imported below it as attributes, in the
    place of its own.
    """
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for loaded in [one for one in sys.modules if one.partition(".")[0] == name]:
            del sys.modules[loaded]


def _pinned(name: str) -> str:
    """Requirement of the installed version, without a local part such as `+cpu` that no index knows."""
    return f"{name}=={version(name).partition('+')[0]}"

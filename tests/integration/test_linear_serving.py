"""A linear model as it is logged to MLflow: loaded as a pyfunc, and served over HTTP."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from podium.config.schema import LinearConfig
from podium.entrants.linear_training import fit
from podium.models.linear_package import LinearPackage
from podium.records import ArtifactRef
from podium.tasks import TASKS
from podium.tasks.base import Training
from podium.tracking.package import WEIGHTS, describe_model
from tests.integration.test_serving import ask, served
from tests.unit.tracking.support import model_record

pytestmark = pytest.mark.integration

ROWS: dict[str, tuple[tuple[str, ...], list[Any], list[Any]]] = {
    "text-classification": (("ham", "spam"), ["a good thing", "a bad thing", "good good"], [0, 1, 0]),
    "multi-label": (("ham", "spam"), ["good bad", "bad", "good", "none"], [[0, 1], [1], [0], []]),
    "ner": (("O", "B-PER", "I-PER"), [["In", "Ada", "Lovelace"], ["Ada", "came"]], [[0, 1, 2], [1, 0]]),
}
ASKED: dict[str, list[Any]] = {
    "text-classification": ["good", "a BAD thing", "日本", ""],
    "multi-label": ["good bad", "none", ""],
    "ner": [["Ada", "Lovelace", "came"], ["x"]],
}


def logged(task: str, folder: Path) -> tuple[Path, LinearPackage]:
    """An MLflow model as Podium logs it, with its weights in place; and the package."""
    labels, contents, targets = ROWS[task]
    package = folder / "package"
    fit(TASKS.get(task), labels, Training(contents, targets), LinearConfig(), seed=1).save(package)
    ref = ArtifactRef(name="model", digest="d" * 64, files=2, size_bytes=1)
    record = model_record("a" * 64, task=task, labels=labels, artifacts={"model": ref})
    describe_model(package, record, "m-" + "0" * 32, None, folder / "mlflow")
    shutil.copytree(package, folder / "mlflow" / WEIGHTS)
    return folder / "mlflow", LinearPackage(package)


@pytest.mark.parametrize("task", ROWS)
def test_a_loaded_model_answers_what_the_package_does(task: str, tmp_path: Path) -> None:
    folder, package = logged(task, tmp_path)
    answers = mlflow.pyfunc.load_model(str(folder)).predict(pd.DataFrame({TASKS.get(task).content: ASKED[task]}))
    column = {"text-classification": "label", "multi-label": "labels", "ner": "tags"}[task]
    assert answers[column].tolist() == package(ASKED[task])
    if task == "text-classification":
        assert answers["score"].between(0.5, 1).all()


def test_what_is_logged_holds_no_pickle_and_needs_no_scikit_learn(tmp_path: Path) -> None:
    folder, _ = logged("text-classification", tmp_path)
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".joblib", ".skops")]
    required = (folder / "requirements.txt").read_text()
    assert not any(name in required for name in ("torch", "scikit-learn", "podium", "onnxruntime"))
    described = (folder / "MLmodel").read_text()
    assert "inputs:" in described and "serving_input_path:" in described, "signature and example"
    assert str(Path.cwd()) not in described and str(tmp_path) not in described
    code = (
        "import sys, mlflow, pandas as pd\n"
        "sys.modules['sklearn'] = sys.modules['torch'] = sys.modules['podium'] = None\n"
        f"model = mlflow.pyfunc.load_model({str(folder)!r})\n"
        "print(model.predict(pd.DataFrame({'text': ['bad']})).label.tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "['spam']\n"


def test_a_served_model_answers(tmp_path: Path) -> None:
    folder, package = logged("text-classification", tmp_path)
    with served(folder, tmp_path / "log.txt") as connection:
        request = {"dataframe_split": {"columns": ["text"], "data": [["good"], ["a bad thing"]]}}
        status, answer = ask(connection, request)
        assert status == 200, answer
        assert [row["label"] for row in answer["predictions"]] == package(["good", "a bad thing"])

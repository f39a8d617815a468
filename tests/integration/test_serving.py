"""What is logged to MLflow answers real requests: `mlflow models serve` over HTTP, eager and exported."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from podium.export.worker import make_onnx
from podium.inference.predictor import PredictorSpec
from podium.inference.torch_predictor import EagerPredictor
from podium.records import ArtifactRef
from podium.tracking.package import WEIGHTS, describe_model
from tests.integration.test_tracking_promotion import LABELS, build
from tests.unit.tracking.support import free_port, model_record

pytestmark = pytest.mark.integration


@contextmanager
def served(folder: Path, log: Path) -> Iterator[http.client.HTTPConnection]:
    """A server of the model in `folder`, that answers."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder), "--env-manager", "local"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=stream, stderr=stream, env=environment, start_new_session=True
        )
    try:
        yield _answering(process, port, log)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(120)


def _answering(process: subprocess.Popen[bytes], port: int, log: Path) -> http.client.HTTPConnection:
    deadline = time.monotonic() + 400
    while True:
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/ping")
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                return connection
        except OSError:
            time.sleep(0.3)


def ask(connection: http.client.HTTPConnection, request: Any) -> tuple[int, Any]:
    connection.request("POST", "/invocations", json.dumps(request), {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def logged(task: str, exported: bool, folder: Path) -> tuple[Path, EagerPredictor]:
    """An MLflow model as Podium logs it, with its weights in place; and the eager model behind it."""
    weights = build(task, folder / "weights")
    spec = {"model_dir": weights, "variant": "eager", "task": task, "labels": LABELS[task]}
    eager = EagerPredictor(PredictorSpec(**spec, trust_remote_code=False, device="cpu", threads=1))
    if exported:
        make_onnx(eager, folder / "package", task)
        weights = folder / "package"
    ref = ArtifactRef(name="model", digest="d" * 64, files=1, size_bytes=1)
    record = model_record("a" * 64, task=task, labels=LABELS[task], artifacts={"model": ref})
    describe_model(weights, record, "m-" + "0" * 32, None, folder / "mlflow")
    shutil.copytree(weights, folder / "mlflow" / WEIGHTS)
    return folder / "mlflow", eager


@pytest.mark.parametrize("exported", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["eager", "onnx"])
def test_a_served_classifier_answers(exported: bool, tmp_path: Path) -> None:
    folder, eager = logged("text-classification", exported, tmp_path)
    described = (folder / "MLmodel").read_text()
    assert "inputs:" in described and "serving_input_path:" in described, "signature and example"
    assert str(Path.cwd()) not in described and str(tmp_path) not in described
    texts = ["A match in London", "Shares fell sharply today in heavy trading"]
    request = {"dataframe_split": {"columns": ["text"], "data": [[text] for text in texts]}} if exported else None
    with served(folder, tmp_path / "log.txt") as connection:
        status, answer = ask(connection, request or {"inputs": texts})
        assert status == 200, answer
        assert [row["label"] for row in answer["predictions"]] == eager(texts)
        assert all(0 < row["score"] < 1 for row in answer["predictions"])
        example = json.loads((folder / "serving_input_example.json").read_text())
        assert ask(connection, example)[0] == 200
        if exported:
            assert ask(connection, {"dataframe_split": {"columns": ["txt"], "data": [["A match"]]}})[0] == 400


@pytest.mark.slow
def test_a_served_tagger_answers_without_torch(tmp_path: Path) -> None:
    folder, eager = logged("ner", True, tmp_path)
    assert "torch" not in (folder / "requirements.txt").read_text()
    sentences = [["A", "match", "in", "Westhoughton"], ["Shares"]]
    with served(folder, tmp_path / "log.txt") as connection:
        request = {"dataframe_split": {"columns": ["tokens"], "data": [[words] for words in sentences]}}
        assert ask(connection, request) == (200, {"predictions": [{"tags": tags} for tags in eager(sentences)]})

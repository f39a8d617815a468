"""A prompted model as it is logged to MLflow: loaded as a pyfunc without Podium."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from podium.inference.prompts import template_named
from podium.models import prompted
from podium.models.prompted.package import PromptPackage
from podium.records import ArtifactRef
from podium.tracking.package import WEIGHTS, describe_model
from tests.unit.models.toys import save_causal_model
from tests.unit.tracking.support import model_record

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ASKED = ["a good thing", "日本", ""]


def save_prompted(folder: Path, **fields: Any) -> Path:
    """A package with a tiny model of random weights."""
    save_causal_model(folder, chat=True)
    strategy = template_named("classify").strategy("zero-shot")
    about = {
        **{"task": "text-classification", "decoding": "single", "labels": ["ham", "spam"], "mode": "decide"},
        **{"system": strategy.system, "user": strategy.user, "example": strategy.example, "answer": None},
        **{"examples": [], "pool": [], "shown": 0, "max_length": 32, "max_new_tokens": 4, "prior": [0.5, -0.5]},
        **{"precision": "fp32", "descriptions": {}},
        **fields,
    }
    (folder / "prompt.json").write_text(json.dumps(about))
    return folder


ENTITIES = {"task": "ner", "decoding": "tokens", "labels": ["O", "B-PER", "I-PER"], "types": ["PER"]}


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "decide"},
        pytest.param({"mode": "generate"}, marks=pytest.mark.slow),
        pytest.param({"mode": "generate", **ENTITIES}, marks=pytest.mark.slow),
    ],
    ids=["decide", "generate", "entities"],
)
def test_it_answers_as_the_package_does_without_podium(fields: dict[str, Any], tmp_path: Path) -> None:
    package = save_prompted(tmp_path / "package", **fields)
    ref = ArtifactRef(name="model", digest="d" * 64, files=2, size_bytes=1)
    own = PromptPackage(package)
    about = {"task": own.task, "labels": own.labels, "artifacts": {"model": ref}}
    column, answer, asked = "text", "label", list[Any](ASKED)
    if own.decoding == "tokens":
        column, answer, asked = "tokens", "tags", [text.split() or ["."] for text in ASKED]
    folder = tmp_path / "mlflow"
    describe_model(package, model_record("a" * 64, **about), "m-" + "0" * 32, None, folder)
    loaded = {name: module for name, module in sys.modules.items() if name.startswith("podium.models.prompted.")}
    assert loaded == {name: getattr(prompted, name.rpartition(".")[2]) for name in loaded}
    shutil.copytree(package, folder / WEIGHTS)
    code = (
        "import sys, json, mlflow, pandas as pd\n"
        "sys.modules['sklearn'] = sys.modules['podium'] = None\n"
        f"model = mlflow.pyfunc.load_model({str(folder)!r})\n"
        f"print(json.dumps(model.predict(pd.DataFrame({{{column!r}: {asked!r}}})).{answer}.tolist()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True)
    assert json.loads(done.stdout) == own(asked)
    required = (folder / "requirements.txt").read_text()
    assert all(name in required for name in ("torch", "transformers", "jinja2")) and "podium" not in required
    assert str(Path.cwd()) not in (folder / "MLmodel").read_text()

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from podium.errors import ModelError
from podium.inference.linear_predictor import LinearPredictor
from podium.inference.predictor import PredictorSpec, load_predictor, predictor_class
from tests.unit.models.test_linear_package import package


def spec(folder: Path, **changes: object) -> PredictorSpec:
    values = {"model_dir": folder, "variant": "eager", "task": "text-classification", "labels": ("ham", "spam")}
    return PredictorSpec(**{**values, "trust_remote_code": False, "device": "cpu", "threads": 1, **changes})


def test_it_answers_as_the_package_does(tmp_path: Path) -> None:
    predictor = load_predictor(spec(package(tmp_path)))
    assert isinstance(predictor, LinearPredictor) and predictor.labels == ("ham", "spam")
    assert predictor(["good", "bad"]) == ["ham", "spam"]
    assert predictor.logits(["good"])[0].tolist() == [1.5, -1.5]
    assert predictor.tokens(["good day"]) == [2]
    assert predictor.weights() is predictor.peak_device_mb() is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("a", "b")}, "labels must be those"),
        ({"task": "ner"}, "must be that of the data"),
        ({"model_dir": Path("/absent")}, "is not a directory|must be loadable"),
    ],
)
def test_a_model_for_other_data_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        load_predictor(spec(package(tmp_path), **changes))


def test_it_loads_no_other_library_than_it_is_deployed_with(tmp_path: Path) -> None:
    folder = package(tmp_path)
    code = (
        "import sys; from pathlib import Path; from podium.inference.predictor import predictor_class;"
        f"predictor_class('eager', Path({str(folder)!r}));"
        "print([name for name in ('torch', 'sklearn', 'onnxruntime', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "[]\n" and predictor_class("eager", folder) is LinearPredictor

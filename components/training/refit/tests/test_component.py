from pathlib import Path

import pytest

from podium.components.training.refit.component import refit
from podium.records import ModelRecord, StudyRecord

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("entrant", ["linear", "bert-tiny"])
def test_it_hands_over_the_model_of_the_best_trial(in_smoke_folder, run_artifact, handed_over, output, entrant) -> None:
    model = output("model")
    given = {"data": handed_over("prepare"), "study": handed_over(f"hpo-{entrant}")}
    refit.python_func(entrant=entrant, run=run_artifact, **given, model=model)
    record = ModelRecord.read(model.path)
    study = StudyRecord.read(in_smoke_folder.record(f"hpo-{entrant}"))
    assert (record.trial, record.params) == (study.best, study.best_trial.params)
    assert model.metadata["podium_artifact_model"] == record.artifacts["model"].digest
    files = Path(model.metadata["podium_uri_model"])
    assert any((files / name).exists() for name in ("linear.json", "config.json"))
    assert model.metadata["podium_parent_study"] == study.key

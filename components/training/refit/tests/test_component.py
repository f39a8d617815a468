import pytest

from podium.components.training.refit.component import refit
from podium.records import ModelRecord, StudyRecord

pytestmark = pytest.mark.integration


def test_it_hands_over_the_model_of_the_best_trial(in_smoke_folder, run_artifact, handed_over, output) -> None:
    model = output("model")
    given = {"data": handed_over("prepare"), "study": handed_over("hpo-bert-tiny")}
    refit.python_func(entrant="bert-tiny", run=run_artifact, **given, model=model)
    record = ModelRecord.read(model.path)
    study = StudyRecord.read(in_smoke_folder.record("hpo-bert-tiny"))
    assert (record.trial, record.params) == (study.best, study.best_trial.params)
    assert model.metadata["podium_artifact_model"] == record.artifacts["model"].digest
    assert model.metadata["podium_parent_study"] == study.key

import pytest

from podium.components.training.hpo.component import hpo
from podium.records import StudyRecord

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("entrant", ["linear", "bert-tiny"])
def test_it_hands_over_the_study_with_its_lineage(in_smoke_folder, run_artifact, handed_over, output, entrant) -> None:
    study = output("study")
    hpo.python_func(entrant=entrant, run=run_artifact, data=handed_over("prepare"), study=study)
    record = StudyRecord.read(study.path)
    assert record == StudyRecord.read(in_smoke_folder.record(f"hpo-{entrant}"))
    assert len(record.trials) == record.budget
    assert study.metadata["podium_parent_data"] == record.parents["data"]

import pytest

from podium.components.training.baseline.component import baseline
from podium.records import BaselineRecord

pytestmark = pytest.mark.integration


def test_it_hands_over_the_baseline(in_smoke_folder, run_artifact, handed_over, output) -> None:
    baselines = output("baselines")
    baseline.python_func(run=run_artifact, data=handed_over("prepare"), baselines=baselines)
    record = BaselineRecord.read(baselines.path)
    assert record == BaselineRecord.read(in_smoke_folder.record("baseline"))
    assert [one.name for one in record.baselines] == list(record.artifacts) == ["majority"]
    assert record.baselines[0].metrics["accuracy"].value < 0.5
    assert baselines.metadata["podium_artifact_majority"] == record.artifacts["majority"].digest

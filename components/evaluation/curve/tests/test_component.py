import pytest

from podium.components.evaluation.curve.component import curve
from podium.records import CurveRecord

pytestmark = pytest.mark.integration


def test_a_learning_curve_that_nobody_asked_for_is_skipped(in_smoke_folder, run_artifact, handed_over, output) -> None:
    made = output("learning_curve")
    curve.python_func(
        run=run_artifact,
        data=handed_over("prepare"),
        studies=[handed_over("hpo-linear"), handed_over("hpo-bert-tiny")],
        decision=handed_over("decide"),
        learning_curve=made,
    )
    record = CurveRecord.read(made.path)
    assert record == CurveRecord.read(in_smoke_folder.record("curve"))
    assert (record.status, record.code) == ("skipped", "OFF")

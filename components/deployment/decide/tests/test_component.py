import pytest

from podium.components.data_processing.prepare.component import prepare
from podium.components.deployment.decide.component import decide
from podium.records import DecisionRecord

pytestmark = pytest.mark.integration


def test_it_hands_over_the_decision_that_still_stands(in_smoke_folder, handed_over, output) -> None:
    run, decision = output("run"), output("decision")
    prepare.python_func(run=run, data=output("data"), plan=output("plan"), run_preset="smoke")
    decide.python_func(
        run=run,
        data=handed_over("prepare"),
        baselines=handed_over("baseline"),
        selection=handed_over("select"),
        measurements=handed_over("benchmark"),
        models=[handed_over("refit-linear"), handed_over("refit-bert-tiny")],
        decision=decision,
    )
    record = DecisionRecord.read(decision.path)
    assert record == DecisionRecord.read(in_smoke_folder.record("decide"))
    assert (record.verdict, record.winner) == ("PROMOTE", "linear")

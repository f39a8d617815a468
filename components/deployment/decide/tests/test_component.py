import pytest

from podium.components.deployment.decide.component import decide
from podium.records import DecisionRecord

pytestmark = pytest.mark.integration


def test_it_hands_over_the_verdict(in_smoke_folder, run_artifact, handed_over, output) -> None:
    decision = output("decision")
    decide.python_func(
        run=run_artifact,
        selection=handed_over("select"),
        measurements=handed_over("benchmark"),
        models=[handed_over("refit-bert-tiny")],
        decision=decision,
    )
    record = DecisionRecord.read(decision.path)
    assert record == DecisionRecord.read(in_smoke_folder.record("decide"))
    assert (record.verdict, record.winner) == ("PROMOTE", "bert-tiny")

import pytest

from podium.components.evaluation.select.component import select
from podium.records import ModelRecord, SelectionRecord

pytestmark = pytest.mark.integration


def test_it_hands_over_the_leaderboard(in_smoke_folder, run_artifact, handed_over, output) -> None:
    selection = output("selection")
    select.python_func(
        run=run_artifact,
        baselines=handed_over("baseline"),
        studies=[handed_over("hpo-bert-tiny")],
        models=[handed_over("refit-bert-tiny")],
        selection=selection,
    )
    record = SelectionRecord.read(selection.path)
    model = ModelRecord.read(in_smoke_folder.record("refit-bert-tiny"))
    assert [entry.model_key for entry in record.leaderboard] == [model.key]
    assert record.leaderboard[0].test.value == model.metrics[record.metric].value
    assert [(item.challenger, item.reference) for item in record.baseline_comparisons] == [
        ("bert-tiny", "linear"),
        ("bert-tiny", "majority"),
    ]
    assert record.leaderboard[0].test.low <= record.leaderboard[0].test.value <= record.leaderboard[0].test.high

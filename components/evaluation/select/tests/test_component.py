import pytest

from podium.components.evaluation.select.component import select
from podium.records import ModelRecord, SelectionRecord

pytestmark = pytest.mark.integration


def test_it_hands_over_the_leaderboard(in_smoke_folder, run_artifact, handed_over, output) -> None:
    selection = output("selection")
    select.python_func(
        run=run_artifact,
        baselines=handed_over("baseline"),
        studies=[handed_over("hpo-linear"), handed_over("hpo-bert-tiny")],
        models=[handed_over("refit-linear"), handed_over("refit-bert-tiny")],
        selection=selection,
    )
    record = SelectionRecord.read(selection.path)
    models = [ModelRecord.read(in_smoke_folder.record(f"refit-{name}")) for name in ("linear", "bert-tiny")]
    assert [entry.model_key for entry in record.leaderboard] == [model.key for model in models]
    for entry, model in zip(record.leaderboard, models, strict=True):
        assert entry.test.low <= entry.test.value == model.metrics[record.metric].value <= entry.test.high
    assert [(item.challenger, item.reference) for item in record.baseline_comparisons] == [
        ("linear", "majority"),
        ("linear", "guessing"),
        ("bert-tiny", "majority"),
        ("bert-tiny", "guessing"),
    ]

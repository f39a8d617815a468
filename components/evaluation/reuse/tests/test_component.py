import pytest
from kfp import dsl

from podium.components.data_processing.prepare.component import prepare
from podium.components.evaluation.reuse.component import reuse
from podium.records import RunRecord
from podium.tracking import tracker_for

pytestmark = pytest.mark.integration


def test_it_shows_the_stored_answer_and_ends_the_run(in_smoke_folder, output, tmp_path) -> None:
    run, data, plan = output("run"), output("data"), output("plan")
    prepare.python_func(run=run, data=data, plan=plan, run_preset="smoke", kfp_run_id="0123456789")
    metrics = dsl.Metrics(name="metrics", uri=str(tmp_path / "metrics"))
    confusion = dsl.ClassificationMetrics(name="confusion", uri=str(tmp_path / "confusion"))
    page, summary, predictions = output("page.html"), output("summary.md"), output("predictions")
    outputs = {"metrics": metrics, "confusion": confusion, "predictions": predictions}
    reuse.python_func(run=run, data=data, plan=plan, page=page, summary=summary, **outputs)
    assert not (tmp_path / "predictions").exists(), "there are no rows without labels"
    assert (tmp_path / "page.html").read_bytes() == (in_smoke_folder.directory / "report.html").read_bytes()
    assert "PROMOTE" in (tmp_path / "summary.md").read_text()
    assert metrics.metadata["promoted"] == 1.0 and "confusionMatrix" in confusion.metadata
    record = RunRecord.read(run.path)
    parent = tracker_for(record.config.tracking).run(record.mlflow_run_id or "")
    assert parent is not None and parent.status == "FINISHED"
    assert len([name for name in parent.tags if name.startswith("podium.result.")]) == 13

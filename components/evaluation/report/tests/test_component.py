from pathlib import Path

import pytest
from kfp import dsl

from podium.components.evaluation.report.component import report
from podium.records import DataRecord, RunRecord

pytestmark = pytest.mark.integration


def test_it_writes_page_summary_metrics_and_answers(
    in_smoke_folder, run_artifact, handed_over, output, tmp_path
) -> None:
    (tmp_path / "unlabelled.csv").write_text("text\nShares fell again today.\nThe match was lost at home.\n")
    record = RunRecord.read(run_artifact.path)
    dataset = record.config.dataset.model_copy(update={"predict_path": str(tmp_path / "unlabelled.csv")})
    config = record.config.model_copy(update={"dataset": dataset})
    run_artifact = output("run")
    record.model_copy(update={"config": config}).save(run_artifact.path)
    page, summary, predictions = output("page.html"), output("summary.md"), output("predictions")
    metrics = dsl.Metrics(name="metrics", uri=str(tmp_path / "metrics"))
    confusion = dsl.ClassificationMetrics(name="confusion", uri=str(tmp_path / "confusion"))
    report.python_func(
        run=run_artifact,
        data=handed_over("prepare"),
        plan=handed_over("plan"),
        baselines=handed_over("baseline"),
        studies=[handed_over("hpo-linear"), handed_over("hpo-bert-tiny")],
        models=[handed_over("refit-linear"), handed_over("refit-bert-tiny")],
        selection=handed_over("select"),
        measurements=handed_over("benchmark"),
        decision=handed_over("decide"),
        learning_curve=handed_over("curve"),
        profile=handed_over("profile"),
        page=page,
        summary=summary,
        metrics=metrics,
        confusion=confusion,
        predictions=predictions,
    )
    html = (tmp_path / "page.html").read_text()
    assert html.lstrip().lower().startswith("<!doctype html>")
    assert all(shown in html for shown in ("linear", "bert-tiny", "PROMOTE"))
    assert "bert-tiny" in (tmp_path / "summary.md").read_text()
    matrix = confusion.metadata["confusionMatrix"]
    data = DataRecord.read(handed_over("prepare").path)
    assert [one["displayName"] for one in matrix["annotationSpecs"]] == list(data.labels)
    assert sum(sum(row["row"]) for row in matrix["rows"]) == data.rows["test"]
    lines = Path(predictions.path).read_text().splitlines()
    assert len(lines) == 3 and all(any(label in line for label in data.labels) for line in lines[1:])
    assert metrics.metadata and all(isinstance(value, (int, float)) for value in metrics.metadata.values())

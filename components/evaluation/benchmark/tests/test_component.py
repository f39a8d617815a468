import pytest

from podium.components.evaluation.benchmark.component import benchmark
from podium.records import BenchmarkRecord, ModelRecord

pytestmark = pytest.mark.integration


def test_it_hands_over_the_measurements_of_the_champions(in_smoke_folder, run_artifact, handed_over, output) -> None:
    measurements = output("measurements")
    benchmark.python_func(
        run=run_artifact,
        data=handed_over("prepare"),
        selection=handed_over("select"),
        models=[handed_over("refit-linear"), handed_over("refit-bert-tiny")],
        measurements=measurements,
    )
    record = BenchmarkRecord.read(measurements.path)
    models = [ModelRecord.read(in_smoke_folder.record(f"refit-{name}")) for name in ("linear", "bert-tiny")]
    assert [item.model_digest for item in record.measurements] == [model.artifacts["model"].digest for model in models]
    assert all(item.quantile_ms(0.5) > 0 for item in record.measurements)

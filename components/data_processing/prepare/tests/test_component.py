import pytest

from podium.components.data_processing.prepare.component import prepare
from podium.errors import ConfigError
from podium.records import DataRecord, PlanRecord, RunRecord

pytestmark = pytest.mark.integration


def test_it_hands_over_the_run_and_the_stored_data(in_smoke_folder, output) -> None:
    run, data, plan = output("run"), output("data"), output("plan")
    entrants, whole = prepare.python_func(run=run, data=data, plan=plan, run_preset="smoke", kfp_run_id="0123456789")
    record = RunRecord.read(run.path)
    assert entrants == list(record.config.entrants)
    assert whole, "every result of this run is stored"
    assert record.tags["podium.kfp.run_id"] == "0123456789"
    stored = DataRecord.read(in_smoke_folder.record("prepare"))
    assert DataRecord.read(data.path) == stored
    assert data.metadata["podium_key"] == stored.key
    assert PlanRecord.read(plan.path).entrants == tuple(entrants)
    assert data.metadata["podium_artifact_data"] == stored.artifacts["data"].digest


def test_what_is_missing_is_computed(in_smoke_folder, output) -> None:
    given = {"run": output("run"), "data": output("data"), "plan": output("plan"), "run_preset": "smoke"}
    _, whole = prepare.python_func(**given, run_overrides=["selection.resamples=250"])
    assert not whole


def test_an_unknown_value_is_refused_before_anything_runs(in_smoke_folder, output) -> None:
    with pytest.raises(ConfigError, match=r"hpo\.max_trials"):
        prepare.python_func(
            run=output("run"),
            data=output("data"),
            plan=output("plan"),
            run_preset="smoke",
            run_overrides=["hpo.max_trails=3"],
        )

"""Plans of made-up machines and data sets."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config.compose import compose
from podium.config.schema import PodiumConfig
from podium.records import DataRecord, RunRecord
from podium.records.plan import Pace, PlanRecord
from podium.stages.plan import LENGTHS, LEVELS, MARGIN, SHORTEST, Planner, planned
from podium.tasks import TASKS
from tests.unit.report.samples import sample

DATA = sample().data


@cache
def config(*overrides: str, preset: str = "auto") -> PodiumConfig:
    return compose([f"preset={preset}", *overrides], Path("/tmp")).config


def data(rows: int, task: str = "text-classification", folds: int = 3) -> DataRecord:
    parts = {"train": rows * 7 // 10, "validation": rows // 10, "test": rows * 2 // 10}
    return DATA.model_copy(update={"rows": parts, "task": task, "folds": folds})


def pace(seconds: float = 0.01, longest_row: int = 100, **changes: Any) -> Pace:
    """A transformer whose rows have up to so many tokens, evenly spread."""
    lengths = tuple(round(longest_row * share / 100) for share in range(101))
    fields: dict[str, Any] = {"start_seconds": 1.0, "train_seconds": seconds, "predict_seconds": seconds / 3}
    return Pace(**{**fields, "in_epochs": True, "tokens": 50.0, "lengths": lengths, "longest": 512, **changes})


LINEAR = Pace(start_seconds=0.0, train_seconds=1e-5, predict_seconds=1e-5)


def plan(config: PodiumConfig, data: DataRecord, paces: dict[str, Pace], elapsed: float = 30.0) -> dict[str, Any]:
    return Planner(config, data, paces, cores=2, elapsed=elapsed).plan()


def test_without_pressure_every_entrant_gets_everything() -> None:
    found = plan(config(), data(1000), {"linear": LINEAR, "bert-tiny": pace(0.0001), "minilm": pace(0.0002)})
    assert found["entrants"] == ("linear", "bert-tiny", "minilm") and not found["left_out"]
    settings = found["settings"]
    assert "hpo.max_trials" not in settings and "hpo.data_fraction" not in settings, "as the preset has them"
    assert settings["hpo.epochs"] == 12
    assert settings["training.max_length"] == 96, "the shortest at which 95 of 100 rows are whole"
    assert settings["training.epochs"] == 12, "600 updates of 16 rows are 12 epochs of 800 rows"
    assert found["lines"]["Length"] == "96 tokens; longer rows are cut (4%)"


def test_a_prompted_model_is_expected_to_ask_for_no_more_rows_than_it_may() -> None:
    slow = Pace(start_seconds=0.0, train_seconds=0.0, predict_seconds=1.0)
    few, all_of_them = (
        plan(config("entrant=smollm2", "plan.time_limit=null", f"llm.max_calls={calls}"), data(3000), {"smollm2": slow})
        for calls in ("40", "null")
    )
    trials = config().hpo.max_trials
    assert few["expected"]["search"] == pytest.approx(8 + trials * 3 * 40 / 2, rel=0.1)
    assert all_of_them["expected"]["search"] == pytest.approx(8 + trials * 3 * 800 / 2, rel=0.1)


def test_many_rows_take_one_epoch_and_rare_tags_take_more() -> None:
    found = plan(config(), data(30_000), {"minilm": pace(1e-5)})
    assert found["settings"]["training.epochs"] == 1
    assert found["lines"]["Search"].endswith("transformers for 1 epoch"), "and not 1 epochs"
    words = data(10_000, "ner")
    ner = config("dataset.task=ner", "dataset.path=x", "dataset=custom", "hpo=ner")
    assert plan(ner, words, {"minilm": pace(1e-5)})["settings"]["training.epochs"] == 3


@given(
    rows=st.integers(60, 200_000),
    seconds=st.floats(1e-3, 1.0),
    minutes=st.integers(1, 120),
    task=st.sampled_from(TASKS.names()),
    longest=st.integers(3, 512),
)
def test_a_plan_fits_or_is_the_least(rows: int, seconds: float, minutes: int, task: str, longest: int) -> None:
    limit = config().plan.model_copy(update={"time_limit": minutes * 60.0})
    asked = config().model_copy(update={"plan": limit})
    given_rows = data(rows, task)
    paces = {"linear": LINEAR, "bert-tiny": pace(seconds / 20, longest), "minilm": pace(seconds, longest)}
    found = plan(asked, given_rows, paces)
    total = sum(found["expected"].values())
    assert found["entrants"][0] == min(paces, key=lambda name: paces[name].train_seconds * paces[name].at(256))
    assert set(found["entrants"]) | set(found["left_out"]) == set(paces)
    if total > MARGIN * minutes * 60:
        assert len(found["entrants"]) == 1
    assert ("too short" in found["lines"]["Time"]) is (total > minutes * 60)
    run = RunRecord(run_id="r", config=asked)
    made = planned(run, PlanRecord(key="k", entrants=found["entrants"], settings=found["settings"])).config
    assert made.training.max_length % LENGTHS == 0 and LENGTHS <= made.training.max_length <= 256
    assert 2 <= made.hpo.max_trials <= 8 and 0 < made.hpo.data_fraction <= 1
    assert tuple(made.entrants) == found["entrants"]
    assert made.hpo.timeout_seconds is not None and made.hpo.timeout_seconds <= minutes * 60


def test_more_time_never_gives_less() -> None:
    paces = {"linear": LINEAR, "bert-tiny": pace(0.002), "minilm": pace(0.04)}
    found = [plan(config(f"plan.time_limit={minutes}m"), data(3000), paces) for minutes in (3, 6, 12, 25, 50, 100, 200)]
    counts = [len(one["entrants"]) for one in found]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    spent = [sum(one["expected"].values()) for one in found if len(one["entrants"]) == 3]
    assert spent == sorted(spent)


def test_levels_only_go_down_but_for_the_order_of_losses() -> None:
    planner = Planner(config(), data(3000), {"minilm": pace(0.04)}, cores=2, elapsed=0.0)
    times = [sum(planner._expected(planner._budget(level, 1.0), ["minilm"]).values()) for level in LEVELS]
    assert times[-1] == min(times) and times[0] == max(times)


def test_what_the_user_set_stays() -> None:
    asked = config("training.epochs=7", "hpo.max_trials=5", "training.max_length=200", "plan.time_limit=2m")
    assert set(asked.plan.fixed) == {"training.epochs", "hpo.max_trials", "training.max_length"}
    settings = plan(asked, data(5000), {"minilm": pace(0.1)})["settings"]
    assert not {"training.epochs", "hpo.max_trials", "training.max_length"} & set(settings)


def test_a_preset_is_only_lowered() -> None:
    asked = config("plan.time_limit=2m", preset="quickstart")
    settings = plan(asked, data(1600, folds=2), {"minilm": pace(0.05, 400)})["settings"]
    assert settings["training.max_length"] == SHORTEST and settings["hpo.max_trials"] < asked.hpo.max_trials
    assert settings.get("training.epochs", 1.0) <= asked.training.epochs
    generous = plan(config("plan.time_limit=5h", preset="quickstart"), data(1600), {"minilm": pace(0.0001, 400)})
    assert set(generous["settings"]) == {"hpo.timeout_seconds"}


def test_bf16_is_set_where_the_slowest_entrant_gains_by_it() -> None:
    both = {"bert-tiny": pace(0.001), "minilm": pace(0.01, precision="bf16")}
    assert plan(config(), data(1000), both)["settings"]["training.precision"] == "bf16"
    asked = config("training.precision=fp32")
    assert "training.precision" not in plan(asked, data(1000), both)["settings"]


def test_an_entrant_that_is_left_out_sets_nothing() -> None:
    asked, slow = config("plan.time_limit=8m"), pace(3.0, precision="bf16")
    found = plan(asked, data(1000), {"linear": LINEAR, "bert-tiny": pace(0.001), "minilm": slow})
    assert found["entrants"] == ("linear", "bert-tiny") and "training.precision" not in found["settings"]
    alone = plan(asked, data(1000), {"linear": LINEAR, "minilm": slow})
    assert alone["entrants"] == ("linear",) and not [name for name in alone["settings"] if name.startswith("training.")]


def test_on_a_cluster_time_is_not_planned() -> None:
    asked = config("hpo.engine=katib", "cluster.image=x", "cluster=cpu")
    found = plan(asked, data(1000), {"minilm": pace(5.0)})
    assert found["time_limit"] is None and "hpo.timeout_seconds" not in found["settings"]
    assert "no time limit" in found["lines"]["Time"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("1h30m", 5400), ("1.5h", 5400), ("120", 120), ("2 m", 120)]
)
def test_a_time_limit_is_written_as_people_write_it(text: str, seconds: float) -> None:
    assert config(f"plan.time_limit={text}").plan.time_limit == seconds


@pytest.mark.parametrize("text", ["soon", "15 minutes and a bit", "m", "30s", "-5m"])
def test_a_time_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Exception, match=r"plan\.time_limit"):
        config(f"plan.time_limit={text}")


def test_more_labels_and_named_entities_need_more_updates() -> None:
    def updates(given: DataRecord, *overrides: str) -> float:
        made = plan(config(*overrides), given, {"minilm": pace(0.02)})["settings"]
        return made["hpo.epochs"] * made.get("hpo.data_fraction", 1.0) * given.rows["train"] / 16

    many = data(6000).model_copy(update={"labels": tuple(f"label {number}" for number in range(60))})
    short = "plan.time_limit=4m"
    assert updates(many, short) > 2 * updates(data(6000), short)
    assert updates(data(6000, "ner"), short) > 2 * updates(data(6000), short)


def test_the_rows_of_a_trial_are_cut_only_for_linear_models_that_take_long() -> None:
    quick = plan(config("plan.time_limit=4m"), data(6000), {"linear": LINEAR, "minilm": pace(0.02)})
    assert "hpo.data_fraction" not in quick["settings"]
    slow = Pace(start_seconds=0.0, train_seconds=0.02, predict_seconds=0.001)
    assert plan(config("plan.time_limit=8m"), data(20_000), {"linear": slow})["settings"]["hpo.data_fraction"] < 1


def test_words_are_not_cut_to_save_time() -> None:
    lengths = [
        plan(config("plan.time_limit=3m"), data(3000, task), {"minilm": pace(0.03)})["settings"]["training.max_length"]
        for task in ("ner", "text-classification")
    ]
    assert lengths[0] == 96 > lengths[1]


def test_a_plan_warns_where_a_transformer_cannot_read_the_texts() -> None:
    found = plan(config(), data(1000), {"bert-tiny": pace(0.0001, unknown=0.64), "minilm": pace(0.0001, unknown=0.01)})
    assert found["lines"]["Caution"] == (
        "bert-tiny cannot read 64% of the tokens of these texts; name a model for their language or script with "
        "--backbone"
    )


def test_a_plan_warns_where_transformers_are_hardly_trained() -> None:
    pressed = plan(config("plan.time_limit=4m"), data(3000), {"linear": LINEAR, "minilm": pace(0.02)})
    assert "hardly trained" in pressed["lines"]["Caution"] and "600 usually" in pressed["lines"]["Caution"]
    assert "Caution" not in plan(config(), data(3000), {"linear": LINEAR, "minilm": pace(0.0003)})["lines"]
    long = plan(config(), data(3000), {"minilm": pace(0.0003, longest_row=5000)})["lines"]["Caution"]
    assert long == "transformers read the first 256 tokens of a text alone, and half of the texts have at least 2,500"
    assert "Caution" not in plan(config("plan.time_limit=3m"), data(3000), {"linear": LINEAR})["lines"]

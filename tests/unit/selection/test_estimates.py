from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from podium.benchmarking.calls import Repetition
from podium.benchmarking.scenarios.classifiers import ThroughputSamples
from podium.evaluation.predictions import Predictions
from podium.selection.estimates import ComparedModel, Estimate, estimates, rows_of
from tests.unit.selection.simulated import made_up, measurement, repetitions


def tagged(seed: int) -> Predictions:
    """Sentences of one word in documents of ten, where all of a document are right or wrong together."""
    right = np.repeat(np.random.default_rng(seed).random(40) < 0.8, 10)
    predicted = [["B-PER" if one else "O"] for one in right]
    names = tuple(str(row // 10) for row in range(400))
    ids = tuple(f"row-{row}" for row in range(400))
    return Predictions("ner", ("O", "B-PER"), ids, [["B-PER"]] * 400, predicted, documents=names)


def f1(predictions: Predictions) -> Estimate:
    found = estimates(ComparedModel("run", "tiny (eager)", "decision 0123", predictions=predictions))["f1"]
    assert isinstance(found, Estimate)
    return found


def test_documents_are_resampled_where_there_are_any() -> None:
    by_document, by_row = f1(tagged(1)), f1(replace(tagged(1), documents=None))
    assert by_document.interval is not None and by_row.interval is not None
    assert by_document.interval.method == "percentile bootstrap of documents"
    assert by_document.draws is not None and by_row.draws is not None
    assert np.std(by_document.draws) > 2.5 * np.std(by_row.draws)


def test_rows_are_other_rows_when_their_documents_are_not_known() -> None:
    """What is resampled by document is in no pairs with what is resampled by row."""
    known = tagged(1)
    assert rows_of(known) == rows_of(tagged(2)) == rows_of(known.aligned_to(known.ids[::-1]))
    assert rows_of(known) != rows_of(replace(known, documents=None))


def p50(seed: int, **changes: float) -> Estimate:
    found = repetitions(seed, **changes)
    return estimates(made_up("run", seed, measurement=measurement(found), repetitions=found))["p50"]


def test_the_spread_of_draws_is_that_of_the_repetitions_not_of_the_lengths() -> None:
    """A median of rows drawn at random would vary by a tenth. Few repetitions are made up for."""
    assert all(np.std(p50(seed, spread=0.0).draws) / p50(seed).value < 0.02 for seed in range(3))
    spreads = [np.std(found.draws) / found.value for found in (p50(seed, spread=0.1, count=5) for seed in range(6))]
    assert np.mean(spreads) == pytest.approx(0.1 / np.sqrt(5), rel=0.4)


def test_the_interval_is_students_with_the_spread_of_all_pairs_of_two_repetitions() -> None:
    """Two values are drawn as (a, a), (a, b), (b, a) or (b, b), and their mean varies by half of their distance."""
    found = repetitions(1, count=2)
    load = estimates(made_up("run", 1, measurement=measurement(found), repetitions=found))["load"]
    seconds = [one.load_seconds for one in found]
    assert load.interval is not None and load.value == pytest.approx(np.mean(seconds))
    error = abs(seconds[0] - seconds[1]) / 2
    assert load.interval.high - np.mean(seconds) == pytest.approx(12.706 * error, rel=0.05)
    assert load.interval.low == pytest.approx(2 * load.value - load.interval.high)
    assert load.draws.mean() == pytest.approx(load.value)


def with_energy(found: list[Repetition], *joules: float | None) -> Estimate:
    """Repetitions of ten batches each, which took so many joules."""
    read = [
        one.model_copy(
            update={
                "samples": {
                    **one.samples,
                    "throughput": one.of("throughput", ThroughputSamples).model_copy(update={"energy_j": energy}),
                }
            }
        )
        for one, energy in zip(found, joules, strict=True)
    ]
    return estimates(made_up("run", 1, measurement=measurement(found), repetitions=read))["energy"]


def test_energy_is_that_of_one_row_and_is_known_where_every_repetition_read_it() -> None:
    found = repetitions(1)
    size = measurement(found).batch_size
    energy = with_energy(found, 10.0, 20.0, 30.0)
    assert energy.value == pytest.approx(20.0 / (10 * size)) and energy.interval is not None
    missing = with_energy(found, 10.0, None, 30.0)
    assert (missing.value, missing.problem) == (None, "there is no power meter")


def test_equal_models_have_equal_draws() -> None:
    assert np.array_equal(p50(1).draws, p50(1).draws)

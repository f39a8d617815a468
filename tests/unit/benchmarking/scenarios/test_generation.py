from __future__ import annotations

import pytest

from podium.benchmarking.calls import Repetition
from podium.benchmarking.scenarios.generation import GenerationSamples
from podium.benchmarking.session import ModelFiles, summarise
from podium.config.benchmark import BenchmarkConfig
from podium.records import Measurement

MS = 1_000_000


def repetition(first_ms: float = 20.0, gap_ms: float = 5.0, requests: int = 10) -> Repetition:
    samples = GenerationSamples(
        first_token_ns=[int(first_ms * MS)] * requests,
        inter_token_ns=[[int(gap_ms * MS)] * 4] * requests,
        prompt_tokens=[7, 9] * (requests // 2),
    )
    return Repetition(pid=1, load_seconds=0.5, peak_rss_mb=300.0, samples={"generation": samples})


def summed(*found: Repetition, tmp_path) -> Measurement:
    config = BenchmarkConfig(settings={"generation": {"prompt_tokens": 9, "output_tokens": 5}})
    return summarise(ModelFiles(tmp_path, "gpt", "eager", "d"), config, {"generation": found}, {}, 12.0)


def test_figures_of_a_steady_model(tmp_path) -> None:
    measured = summed(*[repetition()] * 3, tmp_path=tmp_path)
    found = measured.scenario("generation")
    assert found.value("first_token_p50_ms") == pytest.approx(20.0)
    assert found.figure("first_token_p90_ms") is None, "30 requests support no p90"
    assert found.figure("between_tokens_p90_ms") is not None, "120 gaps support p90"
    assert found.value("per_output_token_ms") == pytest.approx(5.0)
    assert found.value("tokens_per_second") == pytest.approx(5 / 0.040), "5 tokens in 20 + 4 x 5 ms"
    assert found.facts == {"prompt_tokens": 8.0, "output_tokens": 5, "requests": 30}
    assert not measured.unstable


def test_repetitions_that_disagree_are_flagged(tmp_path) -> None:
    found = summed(repetition(), repetition(30.0), repetition(), tmp_path=tmp_path)
    assert found.unstable
    assert "median latency varies" in found.notes[0]


@pytest.mark.parametrize(("field", "value"), [("prompt_tokens", 0), ("output_tokens", 1), ("output_tokens", -1)])
def test_a_request_without_a_time_between_tokens_is_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"settings.generation.{field}\n.*greater than"):
        BenchmarkConfig(settings={"generation": {field: value}})

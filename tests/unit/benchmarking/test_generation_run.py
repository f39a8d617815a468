from __future__ import annotations

import pytest

from podium.benchmarking.generation_run import Request, summarise_generation
from podium.benchmarking.spec import GenerationResult
from podium.errors import InputError

MS = 1_000_000


def repetition(first_ms: float = 20.0, gap_ms: float = 5.0, requests: int = 10, settled: bool = True):
    return GenerationResult(
        pid=1,
        load_seconds=0.5,
        settled=settled,
        first_token_ns=[int(first_ms * MS)] * requests,
        inter_token_ns=[[int(gap_ms * MS)] * 4] * requests,
        prompt_tokens=[7, 9] * (requests // 2),
        peak_rss_mb=300.0,
        peak_device_mb=None,
    )


def test_figures_of_a_steady_model() -> None:
    found = summarise_generation([repetition()] * 3, "gpt", "d", Request(9, 5), 12.0)
    assert [item.q for item in found.first_token] == [0.5], "30 requests support no p90"
    assert found.first_token[0].value_ms == pytest.approx(20.0)
    assert [item.q for item in found.inter_token] == [0.5, 0.9], "120 gaps support p90"
    assert found.per_output_token_ms.value == pytest.approx(5.0)
    assert found.tokens_per_second.value == pytest.approx(5 / 0.040), "5 tokens in 20 + 4 x 5 ms"
    assert (found.prompt_tokens, found.output_tokens, found.requests) == (8.0, 5, 30)
    assert not found.unstable


def test_repetitions_that_disagree_are_flagged() -> None:
    found = summarise_generation([repetition(), repetition(30.0), repetition()], "gpt", "d", Request(9, 5), 12.0)
    assert found.unstable
    assert "median latency varies" in found.notes[0]


@pytest.mark.parametrize("lengths", [(0, 5), (5, 1), (5, -1)])
def test_a_request_without_a_time_between_tokens_is_refused(lengths: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="--output-tokens >= 2 must hold"):
        Request(*lengths)

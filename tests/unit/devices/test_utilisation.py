from __future__ import annotations

import pytest

from podium.devices.utilisation import utilisation


def test_utilisation_is_two_operations_per_weight_and_token() -> None:
    share, note = utilisation(10**8, 78_000, "NVIDIA A100-SXM4-80GB", "bf16")
    assert share == pytest.approx(0.05)
    assert note == "of 312e12 operations per second, dense bf16"


@pytest.mark.parametrize(
    ("weights", "gpu", "reason"),
    [(1, "", "no dense peak is known of a CPU"), (1, "Tesla P4", "Tesla P4"), (None, "NVIDIA L4", "exported graph")],
)
def test_what_is_not_known_is_null_with_the_reason(weights: int | None, gpu: str, reason: str) -> None:
    share, note = utilisation(weights, 1.0, gpu, "fp32")
    assert share is None
    assert reason in note

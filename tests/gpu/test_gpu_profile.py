"""The Nsight tools on one GPU, in at most five minutes: `make test-gpu`. Without a GPU or nsys everything is skipped.

The workload is the small random module, so no model is needed. nsys and ncu are those on PATH.
"""

from pathlib import Path

import pytest

from podium.config.profile import ProfileConfig
from podium.profiling.capture import DeepProfile, deep_profile
from podium.profiling.permissions import needs, obstacle
from podium.profiling.workload import Workload, ranges

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    if not Path("/proc/driver/nvidia/version").exists():
        pytest.skip("there is no driver of an NVIDIA GPU here")
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU: install the CUDA build of torch")
    if (missing := obstacle(needs(), "nsys")) is not None:
        pytest.skip(f"{missing.reason}; {missing.remedy}")
    rows = tmp_path_factory.mktemp("gpu") / "rows.jsonl"
    rows.write_text('"a good film"\n"a long and bad film"\n')
    return Workload(kind="synthetic", rows=str(rows), device="cuda", iterations=10, warmup=3, batch_size=2)


@pytest.fixture(scope="module")
def profile(workload: Workload) -> DeepProfile:
    config = ProfileConfig(tools=("nsys", "ncu"), kernels=2, timeout_seconds=45)
    return deep_profile(workload, Path(workload.rows).parent / "profile", config, rounds=2)


def test_nsys_sees_the_ranges_the_kernels_and_the_copies(workload: Workload, profile: DeepProfile) -> None:
    assert profile.tools[0].status == "ok", profile.tools
    assert profile.report is not None
    counts = {one.name: one.count for one in profile.report.ranges}
    expected = ranges(workload)
    assert {name: counts.get(name) for name in expected} == expected
    assert profile.report.kernels and all(one.name and one.total_ns > 0 for one in profile.report.kernels)
    assert {"Host-to-Device", "Device-to-Host"} <= {one.direction for one in profile.report.copies}
    assert profile.report.device is not None and profile.report.device.busy_ns > 0


def test_the_observer_effect_is_measured(profile: DeepProfile) -> None:
    assert profile.observers and profile.observers[0].tool == "nsys"


def test_ncu_measures_the_kernels_or_says_why_not(profile: DeepProfile) -> None:
    stopped = obstacle(needs(), "ncu")
    if stopped is not None:
        assert profile.tools[1].status in ("skipped", "degraded") and profile.tools[1].reason == stopped.reason
        pytest.skip(f"{stopped.reason}; {stopped.remedy}")
    assert profile.tools[1].status == "ok", profile.tools
    assert profile.report is not None
    assert [*profile.counters] == [kernel.name for kernel in profile.report.kernels[:2]]
    for metrics in profile.counters.values():
        assert float(metrics["gpu__time_duration.sum"].value) > 0

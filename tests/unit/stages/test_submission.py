"""What `podium submit` asks of the pods of a run, by its config."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from podium.stages.submission import _sized, pod_values

GIVEN = ("profile.device=nvidia.com/gpu", "profile.memory=64Gi", 'profile.selector={"disk": "fast"}', "cpu.memory=3Gi")
SEARCH = ('search.selector={"disk": "fast"}',)


def sized(tools: tuple[str, ...], engine: str, *more: str) -> dict[str, Any]:
    config: Any = SimpleNamespace(profile=SimpleNamespace(tools=tools), hpo=SimpleNamespace(engine=engine))
    return _sized(pod_values("", "", (*GIVEN, *SEARCH, *more)), config)


def test_a_profile_that_is_skipped_holds_what_a_step_that_reports_does() -> None:
    skipped = sized((), "embedded")
    assert (skipped["pool_profile_cpu"], skipped["pool_profile_memory"]) == ("1", "3Gi")
    assert (skipped["pool_profile_device"], skipped["pool_profile_selector"]) == ("", {})
    assert "pool_search_cpu" not in skipped, "trials run in its pod"
    assert sized(("operators",), "embedded")["pool_profile_device"] == "nvidia.com/gpu"


def test_a_search_by_katib_holds_little_unless_more_is_asked_for() -> None:
    waits = sized(("operators",), "katib")
    assert (waits["pool_search_cpu"], waits["pool_search_memory"]) == ("100m", "1Gi")
    assert waits["pool_search_selector"] == {"disk": "fast"}, "which trials without a pool take from it"
    assert sized((), "katib", "search.memory=2Gi")["pool_search_memory"] == "2Gi"

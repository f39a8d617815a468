from __future__ import annotations

import pytest

from podium.config.cluster import ClusterConfig
from podium.errors import ConfigError
from podium.stages.on_cluster import check_reachable, threads_of

SHARED = ClusterConfig(volume_claim="shared", volume_path="/shared")


@pytest.mark.parametrize("uri", ["s3://bucket/path", "gs://bucket", "/shared/store", "file:///shared/store"])
def test_stores_that_pods_reach(uri: str) -> None:
    check_reachable(uri, SHARED)


@pytest.mark.parametrize(
    ("uri", "config"),
    [
        ("/home/me/store", ClusterConfig()),
        ("/home/me/store", SHARED),
        ("/shared2/store", SHARED),
        ("memory://store", SHARED),
        ("file:///tmp/store", SHARED),
    ],
)
def test_stores_of_this_machine_are_refused(uri: str, config: ClusterConfig) -> None:
    with pytest.raises(ConfigError, match=f"store={uri} lies on this machine; use a URI such as s3://"):
        check_reachable(uri, config)


@pytest.mark.parametrize(("cpu", "threads"), [("500m", 1), ("1", 1), ("2", 2), ("3500m", 3), ("7.5", 7)])
def test_threads_are_the_whole_processors_of_the_pool(cpu: str, threads: int) -> None:
    assert threads_of(cpu) == threads

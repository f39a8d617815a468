from __future__ import annotations

import pytest

from podium.config.cluster import ClusterConfig
from podium.config.schema import EntrantConfig
from podium.errors import ConfigError
from podium.stages.on_cluster import advice_of, check_reachable, threads_of
from tests.unit.report.samples import sample

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


def test_what_helps_against_lack_of_memory_are_settings_of_the_kind() -> None:
    config = sample().run.config
    entrants = {**config.entrants, "linear": EntrantConfig(kind="linear")}
    config = config.model_copy(update={"entrants": entrants})
    assert "or lower training.batch_size" in advice_of(config, "minilm").memory
    linear = advice_of(config, "linear").memory
    assert linear.startswith("raise the memory of the node pool, or raise linear.min_df") and "training." not in linear

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from podium.config.cluster import ClusterConfig
from podium.config.compose import compose
from podium.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"trial_pool": "gpu"}, r"trial_pool must name one of pools \(none\), but got 'gpu'"),
        ({"trial_nodes": 2}, "set cluster.runtime, such as torch-distributed"),
        (
            {"trial_nodes": 2, "runtime": "t", "secrets": ("s",)},
            "a TrainJob takes neither secrets nor",
        ),
        ({"volume_claim": "shared"}, "volume_claim and volume_path go together"),
        ({"namespace": "Studies"}, "should match pattern"),
        ({"pools": {"a": {"memory": "4GiB"}}}, "should match pattern"),
        ({"pools": {"a": {"tolerations": ("a=b:Never",)}}}, "should match pattern"),
        ({"image": "two words"}, "should match pattern"),
    ],
)
def test_what_contradicts_itself_is_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        ClusterConfig(**values)


def test_katib_needs_an_image(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=r"hpo.engine=katib runs trials in pods.*: set cluster.image"):
        compose(["preset=smoke", "hpo.engine=katib"], tmp_path)


@pytest.mark.parametrize(("option", "device"), [("cpu", None), ("gpu", "nvidia.com/gpu")])
def test_the_options_name_the_pool_of_the_trials(option: str, device: str | None, tmp_path: Any) -> None:
    given = ["preset=smoke", f"cluster={option}", "hpo.engine=katib", "cluster.image=podium:1"]
    assert compose(given, tmp_path).config.cluster.pool.device == device

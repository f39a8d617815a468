"""A place, a store and a cluster for the tests of commands for Kubeflow Pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from kubernetes.config import kube_config

from podium.local import kubeflow as local
from podium.local import pods
from podium.stages import submission
from tests.integration.kube.server import ApiServer
from tests.kfp_server import Kfp

RESOLVED = cache(submission.resolve_form)
"""Composing a config takes longer than all else that these tests do."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setattr(submission, "resolve_form", RESOLVED)
    monkeypatch.setattr(local, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(pods, "_SHORT_SILENCE", 0.5)
    monkeypatch.chdir(place)


@pytest.fixture
def volume(place: Path) -> tuple[str, ...]:
    """A store that pods share, on a volume."""
    folder = place / "volume"
    return ("--store", str(folder / "store"), "cluster.volume_claim=claim", f"cluster.volume_path={folder}")


@pytest.fixture
def cluster(tmp_path: Path, kfp_server: Kfp, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with ApiServer() as api:
        context = {"name": "one", "context": {"cluster": "one", "user": "one"}}
        config = {"clusters": [{"name": "one", "cluster": {"server": api.url}}], "contexts": [context]}
        config |= {"users": [{"name": "one", "user": {}}], "current-context": "one", "apiVersion": "v1"}
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
        yield api

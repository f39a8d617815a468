from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from podium.execution.workers import WorkerPool
from tests.kfp_server import Kfp, serving
from tests.s3 import ENVIRONMENT, s3_server
from tests.support import save_encoder, small_disk


@pytest.fixture(autouse=True)
def signal_handlers_stay() -> Iterator[None]:
    """No test leaves a signal handler behind: another one in this process would not be ended by the signal."""
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    after = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before, "the test left a signal handler behind"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        yield disk


@pytest.fixture
def interruptible(signal_handlers_stay: None) -> Iterator[None]:
    """SIGINT interrupts this process: workers of xdist ignore it, and so does what was started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random backbone that knows the words of some news."""
    from tests.unit.conftest import bbc_rows

    return save_encoder(tmp_path_factory.mktemp("toy") / "encoder", bbc_rows(10)["text"])


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def s3_uri(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix of its own in a bucket that the environment gives access to."""
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": s3_endpoint}.items():
        monkeypatch.setenv(name, value)
    return f"s3://podium/{uuid4().hex}"


@pytest.fixture
def kfp_server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kfp]:
    """Kubeflow Pipelines, and an environment that says nothing of another one, nor of a cluster."""
    from kfp import Client
    from kubernetes.config import kube_config

    # The client keeps the user's namespace in a file of the home directory.
    folder = tmp_path_factory.mktemp("kfp")
    monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(folder / "context.json"))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "none"))
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT", "PODIUM_KFP_TOKEN", "PODIUM_KFP_COOKIE_FILE"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def preloaded() -> None:
    """The fork server of this process has what trainings need: its first pool decides what no worker imports again."""
    from podium.entrants.linear import LINEAR
    from podium.hpo.trial import CrossValidationTrial
    from podium.training.launch import PRELOAD

    WorkerPool(1, preload=(*PRELOAD, *LINEAR.preload, CrossValidationTrial.__module__)).close()

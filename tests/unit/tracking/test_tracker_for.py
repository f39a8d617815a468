from __future__ import annotations

import subprocess
import sys

import pytest

from podium.config.schema import TrackingConfig
from podium.errors import ConfigError
from podium.tracking import tracker_for


@pytest.mark.parametrize("uri", [None, "", "mlruns", "/abs/mlruns", "file:///abs/mlruns"])
def test_a_uri_that_names_no_database_or_server_is_refused(uri: str | None) -> None:
    with pytest.raises(ConfigError, match=r"tracking\.uri must name a database or a server.*sqlite:///PATH"):
        tracker_for(TrackingConfig(uri=uri))


def test_the_uri_is_shown_without_credentials() -> None:
    assert tracker_for(TrackingConfig(uri="https://me:pw@host/x")).uri == "https://***@host/x"
    assert tracker_for(TrackingConfig(mode="off", uri="https://me:pw@host/x")).uri == "off"


def test_making_a_tracker_imports_no_mlflow() -> None:
    code = (
        "import sys\n"
        "from podium.config.schema import TrackingConfig\n"
        "from podium.tracking import lineage, tracker_for\n"
        "tracker_for(TrackingConfig(uri='sqlite:///x.db'))\n"
        "tracker_for(TrackingConfig(mode='off')).open_run('a', {})\n"
        "assert not {'mlflow', 'sqlalchemy', 'transformers', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

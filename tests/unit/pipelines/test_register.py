"""Registering the compiled pipeline, with kfp's real client and a server that keeps what it is given."""

from __future__ import annotations

import sys

import pytest
from kfp import Client
from kfp.client import KF_PIPELINES_SA_TOKEN_PATH

from podium.config.pods import IMAGE
from podium.pipelines.register import main, register
from tests.charts.support import installed, only
from tests.kfp_server import Kfp


def test_a_pipeline_is_registered_once_and_another_image_is_another_version(kfp_server: Kfp) -> None:
    client = Client(kfp_server.url)
    assert register(client, "champion").line.startswith("registered version")
    assert register(client, "champion").line.endswith("already")
    for _ in range(2):
        register(client, "champion", "registry.local/podium:2")
    assert len(kfp_server.pipelines) == 1
    assert len(kfp_server.versions) == len(kfp_server.packages) == 2
    assert IMAGE in kfp_server.packages[0]
    assert IMAGE not in kfp_server.packages[1]
    assert "registry.local/podium:2" in kfp_server.packages[1]
    again, other = register(client, "champion"), register(client, "champion", "registry.local/podium:2")
    assert again.line.endswith("already")
    assert (again.version_id, other.version_id) == ("v0", "v1")


def test_a_pipeline_of_a_profile_is_its_own(kfp_server: Kfp) -> None:
    client = Client(kfp_server.url)
    register(client, "champion")
    assert register(client, "champion", namespace="team").line.startswith("registered version")
    assert register(client, "champion", namespace="team").line.endswith("already")
    assert [one["namespace"] for one in kfp_server.pipelines] == ["", "team"]


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Call the command line with these arguments."""
    monkeypatch.setattr(sys, "argv", ["register", *arguments])
    main()


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as ended:
        called(monkeypatch, "--endpoint", "http://127.0.0.1:9")
    assert "error: http://127.0.0.1:9 must be the API of Kubeflow Pipelines" in str(ended.value)
    assert "registration.endpoint" in str(ended.value)


def test_the_job_of_the_chart_registers_with_its_image(
    kfp_server: Kfp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = installed("registration.enabled=true", f"registration.endpoint={kfp_server.url}", "image.tag=next")
    (container,) = only(found, "Job")["spec"]["template"]["spec"]["containers"]
    assert container["command"][:3] == ["python", "-m", "podium.pipelines.register"]
    for said in ("registered version", "already"):
        called(monkeypatch, *container["command"][3:])
        assert said in capsys.readouterr().out
    (package,) = kfp_server.packages
    assert "docker.io/podium/podium-python:next" in package


def test_the_token_of_the_chart_is_where_the_client_looks_for_it() -> None:
    pod = only(installed("registration.enabled=true", "registration.token=true"), "Job")["spec"]["template"]["spec"]
    (source,) = pod["volumes"][-1]["projected"]["sources"]
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "token"]
    assert f"{mount['mountPath']}/{source['serviceAccountToken']['path']}" == KF_PIPELINES_SA_TOKEN_PATH
    assert source["serviceAccountToken"]["audience"] == "pipelines.kubeflow.org"
    assert "--token" in pod["containers"][0]["command"]

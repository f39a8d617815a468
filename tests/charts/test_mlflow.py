"""The MLflow server of the chart, started by the command of its pod."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.unit.tracking.support import Server

from .support import Manifest, installed, of_kind, only

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def answer(url: str, host: str) -> int:
    """The status of the answer to a request with this Host header."""
    request = urllib.request.Request(url, headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=300) as found:
            return int(found.status)
    except urllib.error.HTTPError as error:
        return error.code


def in_folder(container: Manifest, server: Server) -> None:
    """Let a server be that of the chart, with its port, its volume and its network on this machine."""
    places = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=5000": f"--port={server.port}"}
    command = [places.get(part, part).replace("/mlflow/", f"{server.folder}/") for part in container["command"]]
    assert command[:2] == ["mlflow", "server"]
    server.arguments = command[1:]
    values = {one["name"]: one["value"] for one in container["env"]}
    server.environment = {name: value.replace("//mlflow/", f"/{server.folder}/") for name, value in values.items()}


def test_it_answers_to_the_names_of_its_service_and_to_no_other(tmp_path: Path) -> None:
    found = installed()
    deployment, server = only(found, "Deployment"), Server(tmp_path)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    in_folder(container, server)
    server.start()
    try:
        url = f"{server.uri}/api/2.0/mlflow/experiments/search?max_results=1"
        for host in ("podium-mlflow:5000", "podium-mlflow.team.svc.cluster.local:5000", "localhost:8080"):
            assert answer(url, host) == 200, host
        assert answer(url, "attacker.example") == 403
        probe = container["readinessProbe"]["httpGet"]["path"]
        assert answer(f"{server.uri}{probe}", "10.1.2.3:5000") == 200
        (pod,) = of_kind(found, "Pod")
        asked = pod["spec"]["containers"][-1]["command"][-1]
        assert "http://podium-mlflow:5000/api/2.0/mlflow/experiments/search?max_results=1" in asked
        assert (tmp_path / "mlflow.db").exists()
    finally:
        server.stop()

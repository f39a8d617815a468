"""Registering the compiled pipeline, with kfp's real client and a server that keeps what it is given."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from kfp import Client
from kfp.client import KF_PIPELINES_SA_TOKEN_PATH

from podium.config.pods import IMAGE
from podium.pipelines.register import main, register
from tests.charts.support import installed, only


class Kfp(ThreadingHTTPServer):
    """The API of Kubeflow Pipelines, as far as registering asks it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pipelines: list[dict[str, str]] = []
        self.versions: list[dict[str, str]] = []
        self.packages: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Kfp

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = parse_qs(url.query)
        if url.path.endswith("/healthz"):
            self.answer({"multi_user": False})
        elif url.path.endswith("/versions"):
            page = int(asked.get("page_token", ["0"])[0])
            more = {"next_page_token": str(page + 1)} if page + 1 < len(self.server.versions) else {}
            self.answer({"pipeline_versions": self.server.versions[page : page + 1], **more})
        else:
            name = json.loads(asked["filter"][0])["predicates"][0]["stringValue"]
            place = asked.get("namespace", [""])[0]
            found = [one for one in self.server.pipelines if (one["display_name"], one["namespace"]) == (name, place)]
            self.answer({"pipelines": found} if found else {})

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.server.packages.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if url.path.endswith("/upload_version"):
            version = {"pipeline_id": asked["pipelineid"], "pipeline_version_id": "v", "display_name": asked["name"]}
            self.server.versions.append(version)
            return self.answer(version)
        made = {"pipeline_id": str(len(self.server.pipelines)), "display_name": asked["name"]}
        made |= {"description": asked["description"], "namespace": asked.get("namespace", "")}
        self.server.pipelines.append(made)
        self.server.versions.append({"pipeline_version_id": "first", "display_name": asked["name"]})
        return self.answer(made)

    def answer(self, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def kfp(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kfp]:
    # The client keeps the user's namespace in a file of the home directory.
    monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with Kfp() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def test_a_pipeline_is_registered_once_and_another_image_is_another_version(kfp: Kfp) -> None:
    client = Client(kfp.url)
    assert register(client, "champion").startswith("registered version")
    assert register(client, "champion").endswith("already")
    for _ in range(2):
        register(client, "champion", "registry.local/podium:2")
    assert len(kfp.pipelines) == 1
    assert len(kfp.versions) == len(kfp.packages) == 2
    assert IMAGE in kfp.packages[0]
    assert IMAGE not in kfp.packages[1]
    assert "registry.local/podium:2" in kfp.packages[1]
    assert register(client, "champion").endswith("already")


def test_a_pipeline_of_a_profile_is_its_own(kfp: Kfp) -> None:
    client = Client(kfp.url)
    register(client, "champion")
    assert register(client, "champion", namespace="team").startswith("registered version")
    assert register(client, "champion", namespace="team").endswith("already")
    assert [one["namespace"] for one in kfp.pipelines] == ["", "team"]


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
    kfp: Kfp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = installed("registration.enabled=true", f"registration.endpoint={kfp.url}", "image.tag=next")
    (container,) = only(found, "Job")["spec"]["template"]["spec"]["containers"]
    assert container["command"][:3] == ["python", "-m", "podium.pipelines.register"]
    for said in ("registered version", "already"):
        called(monkeypatch, *container["command"][3:])
        assert said in capsys.readouterr().out
    (package,) = kfp.packages
    assert "docker.io/podium/podium-python:next" in package


def test_the_token_of_the_chart_is_where_the_client_looks_for_it() -> None:
    pod = only(installed("registration.enabled=true", "registration.token=true"), "Job")["spec"]["template"]["spec"]
    (source,) = pod["volumes"][-1]["projected"]["sources"]
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "token"]
    assert f"{mount['mountPath']}/{source['serviceAccountToken']['path']}" == KF_PIPELINES_SA_TOKEN_PATH
    assert source["serviceAccountToken"]["audience"] == "pipelines.kubeflow.org"
    assert "--token" in pod["containers"][0]["command"]

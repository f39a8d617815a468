"""An S3 server and the client of fsspec, installed beside this environment, so that their pins do not bind it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest
from filelock import FileLock

from tests.support import eventually

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}


def _pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs moto[server] and s3fs: {done.stdout.strip().splitlines()[-1]}")


def _installed() -> tuple[Path, Path]:
    """The Python that has the server, and the directory that has the client; both are kept for the next session."""
    root = Path.home() / ".cache" / "podium-tests" / f"s3-{fsspec.__version__}"
    root.mkdir(parents=True, exist_ok=True)
    server, client, done = root / "server", root / "client", root / "done"
    with FileLock(root / "lock"):
        if not done.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", server], check=True)
            _pip("--python", server / "bin" / "python", "install", "-q", "moto[server]")
            _pip("install", "-q", "--upgrade", "--target", client, f"s3fs=={fsspec.__version__}")
            done.touch()
    return server / "bin" / "python", client


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server that speaks the S3 protocol, with a bucket `podium`."""
    python, client = _installed()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(python), "-m", "moto.server", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sys.path.append(str(client))  # last, so that what it has of this environment is not taken from it
    try:
        eventually(lambda: _answers(port))
        endpoint = f"http://127.0.0.1:{port}"
        fsspec.filesystem("s3", key="x", secret="x", endpoint_url=endpoint).mkdir("podium")
        yield endpoint
    finally:
        sys.path.remove(str(client))
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

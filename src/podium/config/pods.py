"""The pod form: which image the pods of the pipeline run, on which nodes, and with which credentials.

Steps run on five pools of nodes. All but `cpu` may hold a device. Like those of the run form,
field names are parameters of the pipeline, in Kubernetes' own words, and the defaults run on any cluster.
"""

from __future__ import annotations

from dataclasses import field, make_dataclass
from typing import Any, Literal

from podium import __version__

IMAGE = f"docker.io/podium/podium-python:{__version__}"
"""The image of every component, unless a pool is given another; built from `images/podium-python`."""

Pool = Literal["cpu", "search", "train", "benchmark", "profile"]

POOLS: dict[Pool, tuple[str, str, str]] = {
    "cpu": ("steps that read, compare and report", "1", "4Gi"),
    "search": (
        "`hpo`; with `hpo.engine=katib` this pod only waits for the pods of the trials, for which 100m and 1Gi do",
        "2",
        "8Gi",
    ),
    "train": ("`refit` and `curve`", "2", "8Gi"),
    "benchmark": ("`benchmark`: the machine that the model is to be deployed on", "2", "8Gi"),
    "profile": ("`profile`: like that of `benchmark`; where `profile.tools` is empty, like that of `cpu`", "2", "8Gi"),
}
"""What runs on a pool, and the processors and memory that each of its pods requests by default."""

WAITING = {"cpu": "100m", "memory": "1Gi"}
"""What a pod requests that only waits for other pods: its process took 0.2 GiB before the first trial."""

CREDENTIALS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"),
    *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_S3_ENDPOINT_URL"),
    "HF_TOKEN",
)
"""The entries of the credentials' Secret that become environment variables of the same name, where it has them."""


def _asked(kind: Any, name: str, default: Any, description: str) -> tuple[str, Any, Any]:
    made = {"default_factory": default} if callable(default) else {"default": default}
    return name, kind, field(**made, metadata={"description": description})


def _of_pool(pool: Pool) -> list[tuple[str, Any, Any]]:
    what, cpu, memory = POOLS[pool]
    device = [
        _asked(str, f"pool_{pool}_device", "", "Resource of a device that each pod takes, such as `nvidia.com/gpu`."),
        _asked(str, f"pool_{pool}_devices", "1", "How many of that device each pod takes."),
    ]
    return [
        _asked(str, f"pool_{pool}_image", IMAGE, f"Image of {what}."),
        _asked(dict, f"pool_{pool}_selector", dict, "Labels that the nodes must have, as a JSON object."),
        _asked(list, f"pool_{pool}_tolerations", list, "Taints that the pods tolerate, as Kubernetes' JSON list."),
        _asked(str, f"pool_{pool}_cpu", cpu, "Processors that each pod requests."),
        _asked(str, f"pool_{pool}_memory", memory, "Memory that each pod requests, and its limit."),
        *(device if pool != "cpu" else ()),
    ]


PodForm = make_dataclass(
    "PodForm",
    [
        _asked(
            str,
            "pods_credentials",
            "podium-credentials",
            f"Secret whose entries become environment variables where it has them: {', '.join(CREDENTIALS)}.",
        ),
        *(one for pool in POOLS for one in _of_pool(pool)),
    ],
    frozen=True,
    namespace={"__doc__": "Where the pods of the pipeline run."},
)

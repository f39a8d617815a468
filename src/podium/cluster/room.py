"""Which nodes a pool fits, and what is free on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podium.cluster.client import Manifest, labels_of, name_of
from podium.config.cluster import NodePoolConfig


def why_none(pool: NodePoolConfig, nodes: list[Manifest]) -> str:
    """The first of its demands that no node meets."""
    if not nodes:
        return "the cluster has no node"
    labelled = [node for node in nodes if pool.selector.items() <= labels_of(node).items()]
    if not labelled:
        return f"no node has the labels {dict(pool.selector)}"
    tolerated = [node for node in labelled if open_to(pool, node)]
    if not tolerated:
        taints = sorted({_taint(one) for node in labelled for one in _taints(node)})
        return f"every node with its labels has a taint that it does not tolerate: {', '.join(taints)}"
    wanted = _requests(pool)
    most = max((allocatable(node) for node in tolerated), key=lambda there: [there.get(name, 0.0) for name in wanted])
    return (
        f"no node that it may use has as much as a pod requests: {_amounts(wanted)}; the largest gives pods "
        f"{_amounts({name: most.get(name, 0.0) for name in wanted})}"
    )


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name}={value / 2**30:.4g}Gi" if name == "memory" else f"{name}={value:g}"
        for name, value in resources.items()
    )


def _requests(pool: NodePoolConfig) -> dict[str, float]:
    """What a pod takes of a node, in processors, bytes and devices."""
    from kubernetes.utils import parse_quantity

    wanted = {"cpu": pool.cpu, "memory": pool.memory} | ({pool.device: str(pool.devices)} if pool.device else {})
    return {name: float(parse_quantity(value)) for name, value in wanted.items()}


def allocatable(node: Manifest) -> dict[str, float]:
    """What a node gives to pods, in processors, bytes and devices."""
    from kubernetes.utils import parse_quantity

    found = (node.get("status") or {}).get("allocatable") or {}
    return {name: float(parse_quantity(value)) for name, value in found.items()}


def free_on(node: Manifest, pods: list[Manifest]) -> dict[str, float]:
    """What the pods of a node leave of it."""
    from kubernetes.utils import parse_quantity

    free = allocatable(node)
    for pod in pods:
        if pod["spec"].get("nodeName") != name_of(node) or pod["status"].get("phase") in ("Succeeded", "Failed"):
            continue
        for container in pod["spec"]["containers"]:
            for name, value in ((container.get("resources") or {}).get("requests") or {}).items():
                free[name] = free.get(name, 0.0) - float(parse_quantity(value))
    return free


def fits(pool: NodePoolConfig, there: Mapping[str, float]) -> bool:
    """Whether a pod of the pool needs no more than there is."""
    return all(there.get(name, 0.0) >= value for name, value in _requests(pool).items())


def open_to(pool: NodePoolConfig, node: Manifest) -> bool:
    """Whether a pod of the pool may run on a node, by its labels and taints."""
    if not pool.selector.items() <= labels_of(node).items() or (node["spec"] or {}).get("unschedulable"):
        return False
    return all(any(_tolerates(given, taint) for given in pool.tolerations) for taint in _taints(node))


def _taints(node: Manifest) -> list[Mapping[str, Any]]:
    return [one for one in node["spec"].get("taints") or () if one["effect"] != "PreferNoSchedule"]


def _taint(taint: Mapping[str, Any]) -> str:
    """A taint as kubectl writes it."""
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"


def _tolerates(given: str, taint: Mapping[str, Any]) -> bool:
    """Whether a toleration (`KEY`, `KEY:EFFECT` or `KEY=VALUE:EFFECT`) covers a taint."""
    rest, _, effect = given.partition(":")
    key, equals, value = rest.partition("=")
    return (
        key == taint["key"] and effect in ("", taint["effect"]) and (not equals or value == (taint.get("value") or ""))
    )

"""The `cluster` section: where the pods of a study run, and with what."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from podium.config.section import Positive, Section

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
"""Of a Kubernetes object: a DNS subdomain."""

Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|[kMGTPE]i?)?$")]
"""An amount of a resource as Kubernetes writes it: `500m`, `2`, `8Gi`."""

Taint = Annotated[str, Field(pattern=r"^[\w./-]+(=[\w.-]*)?(:(NoSchedule|PreferNoSchedule|NoExecute))?$")]
"""A taint as kubectl writes it: `KEY`, `KEY:EFFECT` or `KEY=VALUE:EFFECT`."""


class NodePoolConfig(Section):
    """A kind of node, and what one pod takes of it."""

    selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Taint, ...] = ()
    cpu: Quantity = "1"
    memory: Quantity = "2Gi"
    device: str | None = None
    devices: Positive = 1
    shared_memory: Quantity | None = None
    priority_class: Name | None = None
    queue: Name | None = None
    spot: bool = False


class ClusterConfig(Section):
    """How `hpo.engine=katib` reaches a cluster and what its trials run in."""

    namespace: Name | None = None
    image: Annotated[str, Field(pattern=r"^\S+$")] | None = None
    service_account: Name | None = None
    secrets: tuple[Name, ...] = ()
    pools: dict[str, NodePoolConfig] = Field(default_factory=dict)
    trial_pool: str | None = None
    trial_nodes: Positive = 1
    runtime: Name | None = None
    trial_seconds: Positive | None = None
    start_seconds: Positive = 900
    volume_claim: Name | None = None
    volume_path: Annotated[str, Field(pattern=r"^/\S+$")] | None = None
    keep_on_cancel: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.trial_pool is not None and self.trial_pool not in self.pools:
            known = ", ".join(self.pools) or "none"
            raise ValueError(f"trial_pool must name one of pools ({known}), but got {self.trial_pool!r}")
        if self.trial_nodes > 1 and self.runtime is None:
            raise ValueError(
                f"trials of several nodes need the name of a ClusterTrainingRuntime, but got trial_nodes="
                f"{self.trial_nodes} and runtime=null; set cluster.runtime, such as torch-distributed"
            )
        if self.trial_nodes > 1 and (self.secrets or self.pool.priority_class):
            raise ValueError(
                "a TrainJob takes neither secrets nor a priority class, but got trial_nodes="
                f"{self.trial_nodes}, secrets={list(self.secrets)}, priority_class={self.pool.priority_class}; put "
                "them into the runtime"
            )
        if (self.volume_claim is None) != (self.volume_path is None):
            raise ValueError(
                "volume_claim and volume_path go together, but got "
                f"volume_claim={self.volume_claim!r}, volume_path={self.volume_path!r}"
            )
        return self

    @property
    def pool(self) -> NodePoolConfig:
        """What a trial runs on: the pool it names, or a small one anywhere."""
        return NodePoolConfig() if self.trial_pool is None else self.pools[self.trial_pool]

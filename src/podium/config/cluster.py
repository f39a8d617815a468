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

    selector: dict[str, str] = Field(default_factory=dict, description="Labels that the nodes must have.")
    tolerations: tuple[Taint, ...] = Field(
        (), description="Taints that pods tolerate, as `KEY`, `KEY:EFFECT` or `KEY=VALUE:EFFECT`."
    )
    cpu: Quantity = Field("1", description="CPU cores that a pod requests.")
    memory: Quantity = Field("2Gi", description="Memory that a pod requests, and its limit.")
    device: str | None = Field(None, description="Resource name of a device, such as `nvidia.com/gpu`.")
    devices: Positive = Field(1, description="How many of `device` a pod requests.")
    shared_memory: Quantity | None = Field(
        None, description="Size of `/dev/shm`; it counts as memory. `null`: the runtime's 64 MiB."
    )
    priority_class: Name | None = Field(None, description="PriorityClass of the pods.")
    queue: Name | None = Field(None, description="LocalQueue of Kueue that admits the pods.")
    spot: bool = Field(
        False,
        description="Nodes may be taken away. The trial then continues on another node and does not count as failed.",
    )


class ClusterConfig(Section):
    """How `hpo.engine=katib` reaches a cluster and what its trials run in."""

    namespace: Name | None = Field(
        None, description="Namespace of Experiment and pods. `null`: that of this pod, or of the kubeconfig's context."
    )
    image: Annotated[str, Field(pattern=r"^\S+$")] | None = Field(
        None, description="Image of a trial's pod; required by `hpo.engine=katib`."
    )
    service_account: Name | None = Field(None, description="Service account of a trial's pod.")
    secrets: tuple[Name, ...] = Field(
        (), description="Secrets whose entries a trial gets as environment variables: credentials of the store."
    )
    pools: dict[str, NodePoolConfig] = Field(default_factory=dict)
    trial_pool: str | None = Field(
        None,
        description="The pool that trials run on. `null`: small pods, on the nodes of the pod that starts them.",
    )
    trial_nodes: Positive = Field(1, description="Nodes per trial. 1: a trial is a Job; more: a TrainJob.")
    runtime: Name | None = Field(None, description="ClusterTrainingRuntime of a TrainJob, such as `torch-distributed`.")
    trial_seconds: Positive | None = Field(None, description="Time limit of a trial, in seconds.")
    start_seconds: Positive = Field(
        900, description="Seconds that a pod may take to start before the study ends with the reason."
    )
    volume_claim: Name | None = Field(
        None, description="PersistentVolumeClaim that trials mount. A `store` that is a directory must lie on it."
    )
    volume_path: Annotated[str, Field(pattern=r"^/\S+$")] | None = Field(
        None, description="Where the claim is mounted, both in trials and here."
    )
    keep_on_cancel: bool = Field(
        False, description="Let the Experiment continue when this process is stopped; the next run adopts it."
    )

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

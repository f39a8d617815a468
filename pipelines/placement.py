"""Where the pod of a task runs: image, pool of nodes, credentials and limits, from the pod form."""

from collections.abc import Mapping
from typing import Any

from kfp import kubernetes
from kfp.dsl import PipelineTask

from podium.config.pods import CREDENTIALS, Pool

SHARED_MEMORY = "2Gi"
"""Size of `/dev/shm` where models are trained or measured; it counts as memory of the pod."""

RESOURCES = ("cpu", "memory", "device", "devices")

DEADLINE_SECONDS: dict[Pool, int] = {
    "cpu": 6 * 3600,
    "search": 7 * 86400,
    "train": 2 * 86400,
    "benchmark": 86400,
    "profile": 86400,
}
"""How long a pod may take before it counts as stuck."""


def place(task: PipelineTask, pool: Pool, pods: Mapping[str, Any], *, retries: int = 2) -> None:
    """Run a task on a pool.

    Pods meet the Pod Security Standard `restricted`. Podium decides what is reused, by content; KFP's cache would hand
    over another run's identities.

    Args:
        task: a task of the pipeline.
        pool: the pool that its step names in the table of steps.
        pods: the pipeline's parameters of the pod form, by name.
        retries: how often a pod that failed is started again, after one, two, four minutes: it may have lost its node.
    """
    of_pool = {name.removeprefix(f"pool_{pool}_"): value for name, value in pods.items()}
    task.set_container_image(of_pool["image"])
    # kfp 2.17 leaves the parameters of resources out of what a group of tasks is given.
    task.register_pipeline_channels([of_pool[name] for name in RESOURCES if name in of_pool])
    task.set_cpu_request(of_pool["cpu"]).set_memory_request(of_pool["memory"]).set_memory_limit(of_pool["memory"])
    kubernetes.add_node_selector_json(task, of_pool["selector"])
    kubernetes.add_toleration_json(task, of_pool["tolerations"])
    if pool != "cpu":
        task.set_accelerator_type(of_pool["device"]).set_accelerator_limit(of_pool["devices"])
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=SHARED_MEMORY)
    secret = pods["pods_credentials"]
    kubernetes.use_secret_as_env(task, secret, {name: name for name in CREDENTIALS}, optional=True)
    kubernetes.set_security_context(task, run_as_non_root=True)
    kubernetes.set_timeout(task, DEADLINE_SECONDS[pool])
    if retries:
        task.set_retry(retries, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration="600s")
    task.set_caching_options(False)

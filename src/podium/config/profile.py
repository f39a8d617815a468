"""The `profile` section: what is profiled of the winner, and with which tools."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from podium.config.cluster import Name
from podium.config.section import Place, Positive, Section, unique
from podium.keys import NotKeyed

Tool = Literal["operators", "nsys", "ncu"]


class ProfileConfig(Section):
    """Where the time of the winner goes."""

    tools: Annotated[tuple[Tool, ...], AfterValidator(unique)] = Field(
        (),
        description="[Profilers](profiling.md) that are run: `operators` works on every machine, `nsys` and `ncu` are "
        "NVIDIA's. Empty: no profile in a run; `podium profile` takes `operators`.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the model runs. `auto`: cuda if it is there."
    )
    threads: Positive | None = Field(None, description="Compute threads. `null`: all cores.")
    rows: Positive = Field(64, description="Rows that are drawn, with the lengths of the data.")
    batch_size: Positive = Field(1, description="Rows of an iteration.")
    iterations: int = Field(20, ge=2, description="Iterations that are timed, at least 2.")
    warmup: int = Field(5, ge=0, description="Iterations before these.")
    repetitions: int = Field(3, ge=2, description="Fresh processes that time them, at least 2.")
    traced: Positive = Field(5, description="Iterations that torch's profiler records.")
    prompt_tokens: Positive = Field(64, description="Tokens of a prompt, for a language model.")
    output_tokens: int = Field(16, ge=2, description="Tokens that follow it, at least 2.")
    kernels: Positive = Field(5, description="Kernels that `ncu` measures, those that take most time.")
    max_trace_mb: Annotated[Positive, NotKeyed("refuses a profile, does not shape it")] = Field(
        200, description="A larger trace is refused before it is recorded, by an estimate."
    )
    timeout_seconds: Annotated[Positive, NotKeyed("bounds the time of a profile, not its result")] = Field(
        600, description="Time limit of each run of a tool, in seconds."
    )
    nsys: Annotated[str | None, Place(), NotKeyed("the version of the tool is keyed")] = Field(
        None, description="Path of `nsys`. `null`: found on `PATH`."
    )
    ncu: Annotated[str | None, Place(), NotKeyed("the version of the tool is keyed")] = Field(
        None, description="Path of `ncu`. `null`: found on `PATH`."
    )
    mode: Annotated[
        Literal["kfp-task", "privileged-job", "nsight-operator"],
        NotKeyed("where a tool runs does not change what it finds"),
    ] = Field(
        "kfp-task",
        description="How NVIDIA's tools run on a cluster: in the pod of the step (`nsys` only), in a Job with the "
        "capability that `ncu` needs, or through the Nsight operator (`nsys` only).",
    )
    image: Annotated[
        Annotated[str, Field(pattern=r"^\S+$")] | None, NotKeyed("the versions of the tools are in the attempts")
    ] = Field(None, description="Image of that Job, with the tools: `podium-profiler`. `null`: `cluster.image`.")
    namespace: Annotated[Name | None, NotKeyed("where a Job runs does not change what it finds")] = Field(
        None, description="Namespace of that Job: `profiling.namespace` of the chart. `null`: that of this pod."
    )
    service_account: Annotated[Name | None, NotKeyed("who runs a Job does not change what it finds")] = Field(
        None, description="Service account of that Job: the chart's is named after the release, `RELEASE-profiling`."
    )

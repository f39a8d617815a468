"""Command lines of Nsight Compute, as pure functions of what is asked."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from podium.profiling.nsys_report import KernelTime

Replay = Literal["kernel", "application", "range"]

_EXPRESSIONS = ("regex:", "group:", "breakdown:")
_UNLISTED = ("launch__", "device__", "derived__", "nvlink__", "numa__", "profiler__", "sass__", "smsp__pcsamp_")
"""Beginnings of names that ncu takes as metrics but does not list, since no counter of the GPU gives them."""


@dataclass(frozen=True)
class NcuOptions:
    """What ncu measures of a kernel.

    Attributes:
        program: name or path of ncu.
        set: the section set; `sections` and `metrics` add to it. All empty: ncu's own choice.
        replay: how launches are repeated until all counters are read.
        nvtx_include: the push/pop range in which launches count; empty: everywhere.
        launch_skip: launches of the kernel that are passed over first, and `launch_count` how many are measured then.
    """

    program: str = "ncu"
    set: str = "detailed"
    sections: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    replay: Replay = "kernel"
    nvtx_include: str = "forward"
    launch_skip: int = 0
    launch_count: int = 1


def profile_argv(
    options: NcuOptions, report: Path, workload: Sequence[str], kernel: KernelTime | None = None
) -> list[str]:
    """The command that measures a workload, or only the launches of one kernel in it.

    Clocks are left as they are, so that times are those of the deployed model, and no right to set them is needed.

    Args:
        report: path of the report, with the suffix `.ncu-rep`.
        workload: the command line of the workload.
        kernel: as nsys saw it; None for all.
    """
    argv = [options.program, f"--export={report}", "--force-overwrite", "--target-processes=all"]
    argv += ["--clock-control=none", f"--replay-mode={options.replay}"]
    if options.set:
        argv.append(f"--set={options.set}")
    argv += [f"--section={section}" for section in options.sections]
    if options.metrics:
        argv.append(f"--metrics={','.join(options.metrics)}")
    if options.nvtx_include:
        argv += ["--nvtx", f"--nvtx-include={_push_pop(options.nvtx_include)}"]
    if kernel is not None:
        argv += [f"--kernel-name-base={kernel.base}", f"--kernel-name={kernel.match or kernel.name}"]
    if options.launch_skip:
        argv.append(f"--launch-skip={options.launch_skip}")
    if options.launch_count:
        argv.append(f"--launch-count={options.launch_count}")
    return [*argv, *workload]


def _push_pop(name: str) -> str:
    """A range by its name, in the syntax of ncu's filter: characters with a meaning there are escaped."""
    return "".join(f"\\{letter}" if letter in "@,[]/*+" else letter for letter in name) + "/"


def csv_argv(program: str, report: Path) -> list[str]:
    """The command that prints all metrics of a report as CSV, in base units."""
    return [program, f"--import={report}", "--csv", "--page=raw", "--print-units=base"]


def query_metrics_argv(program: str) -> list[str]:
    """The command that lists the metrics of the GPUs of this machine."""
    return [program, "--query-metrics", "--csv"]


def listed_metrics(text: str) -> frozenset[str]:
    """Base names of metrics in the answer to `query_metrics_argv`."""
    lines = [line for line in text.splitlines() if not line.startswith("==")]
    return frozenset(row[0] for row in csv.reader(lines) if row and "__" in row[0])


def available(metrics: Iterable[str], listed: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of `metrics` that a GPU has by what ncu lists, and those that it lacks.

    Metrics that ncu computes without counters are not listed, and expressions are expanded by ncu: both are kept.
    """
    kept: list[str] = []
    lacking: list[str] = []
    for metric in metrics:
        known = metric.startswith((*_EXPRESSIONS, *_UNLISTED)) or metric.partition(".")[0] in listed
        (kept if known else lacking).append(metric)
    return tuple(kept), tuple(lacking)

"""What ONNX Runtime's own profile says of the operators of an exported package."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from podium.inference.predictor import Row
from podium.models.onnx_package import OnnxPackage
from podium.profiling.workload import PredictorSubject, Ranges, Timings, Workload, iterate

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def profiled(workload: Workload, rows: Iterator[list[Row]], count: int, trace: Path) -> Timings:
    """Run some iterations of a package in a session that notes the time of every node, and leave them in `trace`."""
    prefix = str(trace.with_suffix(""))
    package = OnnxPackage(Path(workload.model), workload.threads, _PROVIDERS[workload.device], profile=prefix)
    subject, opened = PredictorSubject(package), Ranges()
    iterate(subject, rows, count, opened)
    shutil.move(package.end_profile(), trace)
    return Timings(seconds=opened.seconds)

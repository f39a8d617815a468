"""Imports everything that a training needs; the fork server of a worker pool loads it once for all workers."""

from __future__ import annotations

import seqeval.metrics  # noqa: F401
import sklearn.metrics  # noqa: F401

import podium.execution.workers
import podium.training.launch
import podium.training.train  # noqa: F401

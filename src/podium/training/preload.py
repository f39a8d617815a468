"""Imported once by the fork server: everything a training needs, so that a worker forked from it starts at once."""

from __future__ import annotations

import seqeval.metrics  # noqa: F401
import sklearn.metrics  # noqa: F401

import podium.execution.workers
import podium.training.cross_validation
import podium.training.train  # noqa: F401

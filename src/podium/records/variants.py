"""Deployable variants of a model: how each was made, and what its check against the eager model found."""

from __future__ import annotations

from typing import ClassVar, Literal

from podium.config.benchmark import VariantName
from podium.records.base import Frozen, Interval, Record

VariantStatus = Literal["ok", "failed", "skipped"]


class VariantCheck(Frozen):
    """A variant against the eager model.

    Attributes:
        rows: held-out rows whose logits were compared.
        logit_difference: largest absolute difference between logits on them.
        logit_scale: largest absolute logit of the eager model on them.
        tolerance: largest difference allowed, as a share of the scale.
        agreement: share of all held-out rows, or words, that get the label of the eager model.
        metric: the quality that was compared on all held-out rows.
        score: of the variant itself.
        difference: variant minus eager, by paired bootstrap.
        margin: the loss from which on a variant fails, once the interval lies wholly beyond it.
    """

    rows: int
    logit_difference: float
    logit_scale: float
    tolerance: float
    agreement: float
    metric: str
    score: Interval
    difference: Interval
    margin: float


class Variant(Frozen):
    """One deployable form of one champion.

    Attributes:
        model_digest: of the refitted model it was made from.
        status: only `ok` is benchmarked; `skipped` could not be made here, `failed` was made wrong or not at all.
        code: why not `ok`: a stable word for machines; empty when `ok`.
        reason: the same for people.
        check: null for `eager`, which is the reference, and where there was nothing to check.
        size_mb: of its files in MB (10^6 bytes).
        build_seconds: making and checking it.
    """

    backbone: str
    variant: VariantName
    model_digest: str
    status: VariantStatus
    code: str = ""
    reason: str = ""
    check: VariantCheck | None = None
    size_mb: float | None = None
    build_seconds: float = 0.0


class VariantRecord(Record):
    """A variant. Artifacts where it is `ok`: `model`, its files; `predictions`, its own on the held-out rows."""

    kind: ClassVar[str] = "variant"
    variant: Variant

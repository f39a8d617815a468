"""What the tags of a registered version say."""

from __future__ import annotations

from collections.abc import Mapping

from podium.errors import TrackingError
from podium.records import Incumbent
from podium.tracking.base import (
    CHAMPION,
    TAG_DECISION,
    TAG_FILES,
    TAG_METRIC,
    TAG_MODEL_DIGEST,
    TAG_MODEL_KEY,
    TAG_SCORE,
    TAG_VARIANT,
)


def incumbent_of(name: str, version: str, tags: Mapping[str, str], uri: str) -> Incumbent:
    """The champion as its version's tags describe it.

    Raises:
        TrackingError: Podium did not register the version.
    """
    missing = [tag for tag in (TAG_MODEL_DIGEST, TAG_MODEL_KEY, TAG_METRIC, TAG_SCORE) if tag not in tags]
    if missing:
        raise TrackingError(
            f"a champion carries the tags by which Podium compares models, but version {version} of {name!r} at {uri} "
            f"lacks {', '.join(missing)}: Podium did not register it. Remove its alias {CHAMPION!r}, or use another "
            "name: tracking.model_name=NAME"
        )
    return Incumbent(
        name=name,
        version=version,
        model_digest=tags[TAG_MODEL_DIGEST],
        model_key=tags[TAG_MODEL_KEY],
        metric=tags[TAG_METRIC],
        score=float(tags[TAG_SCORE]),
        decision_key=tags.get(TAG_DECISION, ""),
        variant=tags.get(TAG_VARIANT, "eager"),
        files_digest=tags.get(TAG_FILES, tags[TAG_MODEL_DIGEST]),
    )

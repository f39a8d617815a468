"""The precision of language models on this machine: found by a probe once, and then kept."""

from __future__ import annotations

import json
from typing import Any

from podium.devices.hardware import fingerprint
from podium.jsonfile import write_json
from podium.keys import canonical_json, digest_bytes
from podium.remote.fetch import cache_home

_WIDTH = 768
"""Of the layer that is timed: of a small language model."""
_PARTS = ("device", "threads", "cpu", "cpu_features", "torch", "gpu", "driver", "cuda")


def decided_precision(device: str = "auto") -> str:
    """The faster one of fp32 and bf16 for a language model on a device of this machine.

    Two probes may differ where the two are about as fast, and answers depend on the precision. So the first one is kept
    in the cache of the user, by device and torch, for all processes and runs.
    """
    facts = fingerprint(device, None)
    name = digest_bytes(canonical_json({part: facts.get(part) for part in _PARTS}))[:16]
    place = cache_home() / "precision" / f"{name}.json"
    if (known := _read(place)) is None:
        from filelock import FileLock

        from podium.models.prompted.precision import fastest_precision

        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_suffix(".lock")):
            if (known := _read(place)) is None:
                known = fastest_precision(facts["device"], _WIDTH)
                write_json(place, {"precision": known, **{part: facts.get(part) for part in _PARTS}})
    return known


def _read(place: Any) -> str | None:
    try:
        found = json.loads(place.read_text("utf-8"))["precision"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found) if found in ("fp32", "bf16") else None

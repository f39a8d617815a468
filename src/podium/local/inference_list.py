"""What `podium infer` can work with here: models, templates, backends, formats, data sets and runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from podium.config.fields import shipped_data
from podium.config.schema import TrackingConfig
from podium.data.formats import FORMATS
from podium.errors import PodiumError
from podium.inference.backends import BACKENDS
from podium.inference.prompts import TEMPLATES, template_named
from podium.inference.stored import RUN_FILE
from podium.inference.writers import WRITERS
from podium.local.models import no_registry
from podium.tracking import tracker_for

_NO_RUNS = "none yet"


def listing(store: str, tracking_uri: str, folder: Path) -> str:
    """One block of lines for each sort of thing, with how each is named on the command line."""
    blocks = {
        "models (MODEL)": _models(store, tracking_uri),
        "templates (--template)": _templates(),
        "backends (--backend)": iter(BACKENDS.names()),
        "data sets (--data)": iter(shipped_data()),
        "formats that are read": iter(FORMATS.names()),
        "formats that are written (--format)": iter(WRITERS.names()),
        "runs (podium evaluate RUN)": _runs(folder),
    }
    return "\n".join(
        f"{title}:\n" + "".join(f"  {line}\n" for line in list(lines) or [_NO_RUNS]) for title, lines in blocks.items()
    )


def _models(store: str, tracking_uri: str) -> Iterator[str]:
    if not no_registry(tracking_uri):
        try:
            for one in tracker_for(TrackingConfig(uri=tracking_uri)).champions():
                yield f"{one.name}@champion  (version {one.version})"
        except PodiumError as error:
            yield f"the registry cannot be asked: {error}"
    runs = Path(store).parent / "runs"
    for path in sorted(runs.glob("*/steps/select/record.json")):
        try:
            ranked = [one["entrant"] for one in json.loads(path.read_text())["leaderboard"]]
        except (OSError, ValueError, KeyError):
            continue
        yield from (f"{path.parents[2].name}:{entrant}" for entrant in ranked)


def _templates() -> Iterator[str]:
    for name in TEMPLATES.names():
        template = template_named(name)
        yield f"{name}  version {template.version}, strategies {', '.join(template.strategies)}: {template.description}"


def _runs(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob(f"*/{RUN_FILE}")):
        try:
            found = json.loads(path.read_text())
            yield f"{found['id']}  {found['status']}, {found['rows']['chosen']:,} rows of {found['data']}"
        except (OSError, ValueError, KeyError):
            continue

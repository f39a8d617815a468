"""Checkpoints of one training, each written as a whole."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from podium.keys import manifest_of

_PREFIX = "checkpoint-"
_MANIFEST = "podium.json"
_log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one training below `directory`; the newest is kept.

    A checkpoint is written to a temporary place and renamed, so that a killed process leaves none in part. Digests of
    its files show whether a crash of the machine damaged it.
    """

    def __init__(self, directory: Path, fingerprint: str) -> None:
        """Look at `directory`, made when needed; `fingerprint` identifies the training that they belong to."""
        self._directory = directory
        self._fingerprint = fingerprint

    @property
    def partial(self) -> Path:
        """Where a checkpoint is written before it is whole."""
        return self._directory / ".partial"

    @contextmanager
    def writing(self, step: int) -> Iterator[None]:
        """Make `partial/checkpoint-{step}`, written by the body, the newest checkpoint."""
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        yield
        written = self.partial / f"{_PREFIX}{step}"
        manifest = {"fingerprint": self._fingerprint, "files": manifest_of(written)}
        (written / _MANIFEST).write_text(json.dumps(manifest))
        target = self._directory / written.name
        shutil.rmtree(target, ignore_errors=True)
        written.rename(target)
        for _, older in self._all():
            if older != target:
                shutil.rmtree(older)

    def newest(self) -> Path | None:
        """The newest whole checkpoint of this training; damaged ones and those of another training are removed."""
        for _, path in sorted(self._all(), reverse=True):
            problem = self._problem(path)
            if problem is None:
                return path
            _log.warning("checkpoint %s is not resumed from: %s", path, problem)
            shutil.rmtree(path)
        return None

    def clear(self) -> None:
        """Remove all of them at the end of the training."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _all(self) -> list[tuple[int, Path]]:
        found = self._directory.glob(f"{_PREFIX}*") if self._directory.is_dir() else ()
        return [(int(path.name.removeprefix(_PREFIX)), path) for path in found]

    def _problem(self, path: Path) -> str | None:
        try:
            manifest = json.loads((path / _MANIFEST).read_text())
        except (OSError, ValueError) as error:
            return f"its manifest cannot be read ({error})"
        if manifest["fingerprint"] != self._fingerprint:
            return "it belongs to a training with other data, backbone or settings"
        found = {name: digest for name, digest in manifest_of(path).items() if name != _MANIFEST}
        return None if found == manifest["files"] else "its files are not those that were written"

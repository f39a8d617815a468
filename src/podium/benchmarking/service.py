"""The one service that measures: what is stored is reused, and each model is measured by one process at a time.

The benchmark step, the decision about an incumbent and `podium benchmark` all ask it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from podium.benchmarking.session import MOST_TOGETHER, ModelFiles, Session, measure_together
from podium.keys import Key
from podium.models.inspection import GENERATION
from podium.records import MeasurementRecord
from podium.store.store import ArtifactStore


@dataclass(frozen=True)
class MeasurementRequest:
    """A model to measure.

    Attributes:
        key: of its measurement.
        parents: keys of what it was made from, by kind.
        notes: what is added to the notes of the measurement.
    """

    model: ModelFiles
    key: Key
    parents: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MeasuringService:
    """Measures models and stores the results, or finds what is stored.

    Attributes:
        store: keeps the measurements; its leases keep two callers from measuring the same model at once.
        hardware: fingerprint of what is measured on.
        reuse: whether a stored measurement is taken.
        mlflow_run_id: of the tracking run that asks; None without one.
        logs: directory that gets logs and calls of the processes; None for a temporary one.
        around: makes a context that is entered while a session measures, such as a display of progress.
    """

    store: ArtifactStore
    hardware: Mapping[str, str]
    reuse: bool = True
    mlflow_run_id: str | None = None
    logs: Path | None = None
    around: Callable[[Sequence[MeasurementRequest], Path], AbstractContextManager[object]] | None = None

    def stored(self, request: MeasurementRequest) -> MeasurementRecord | None:
        """The stored measurement, where there is one and it may be reused."""
        return self.store.get(MeasurementRecord, request.key.digest) if self.reuse else None

    def measure(self, requests: Sequence[MeasurementRequest], session: Session) -> list[MeasurementRecord]:
        """The measurement of every request: those that are stored, and the others measured and stored now.

        What is measured now takes turns, in sessions of a few models, each of which is stored when it is complete. A
        model that another process measures meanwhile is waited for, and then found in the store.

        Args:
            session: the rows and the settings, which are the same for all requests.

        Raises:
            InputError, ModelError: what is asked for cannot be measured here.
            BenchmarkError: a measurement failed; the sessions before it are stored.
        """
        found = {one.key.digest: held for one in requests if (held := self.stored(one)) is not None}
        missing = [one for one in requests if one.key.digest not in found]
        most = 1 if session.task == GENERATION else MOST_TOGETHER
        for together in split(missing, most):
            found |= self._measure_session(together, session)
        return [found[one.key.digest] for one in requests]

    def _measure_session(
        self, requests: Sequence[MeasurementRequest], session: Session
    ) -> dict[str, MeasurementRecord]:
        """Measure as one session what is still missing once its leases are held; by key."""
        with ExitStack() as leases:
            for key in sorted((one.key for one in requests), key=lambda key: key.digest):  # in one order: no deadlock
                leases.enter_context(self.store.lease(key))
            found = {one.key.digest: held for one in requests if (held := self.stored(one)) is not None}
            missing = [one for one in requests if one.key.digest not in found]
            if missing:
                for request, record in zip(missing, self._measured(missing, session), strict=True):
                    self.store.put(request.key, record)
                    found[request.key.digest] = record
            return found

    def _measured(self, requests: Sequence[MeasurementRequest], session: Session) -> list[MeasurementRecord]:
        records = []
        with self.store.scratch() as scratch, self.around(requests, scratch) if self.around else nullcontext():
            measured = measure_together([one.model for one in requests], session, self.logs or scratch)
            for number, (request, (measurement, samples)) in enumerate(zip(requests, measured, strict=True)):
                folder = scratch / f"samples-{number}"
                folder.mkdir()
                (folder / "samples.json").write_text(json.dumps(samples))
                records.append(
                    MeasurementRecord(
                        key=request.key.digest,
                        parents=dict(request.parents),
                        mlflow_run_id=self.mlflow_run_id,
                        hardware=dict(self.hardware),
                        measurement=measurement.model_copy(update={"notes": (*measurement.notes, *request.notes)}),
                        artifacts={"samples": self.store.put_artifact("samples", folder)},
                    )
                )
        return records


def split(requests: Sequence[MeasurementRequest], most: int) -> list[Sequence[MeasurementRequest]]:
    """Cut requests, in order, into as few sessions of at most `most` as hold them, of nearly equal size."""
    count = math.ceil(len(requests) / most)
    edges = [len(requests) * number // count for number in range(count + 1)] if count else []
    return [requests[low:high] for low, high in pairwise(edges)]

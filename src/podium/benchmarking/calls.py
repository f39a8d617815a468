"""The messages between a session and its worker processes, and the choice of the rows in them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import SerializeAsAny

from podium.config.benchmark import BenchmarkConfig
from podium.errors import InputError
from podium.inference.predictor import PredictorSpec, Row, row_length
from podium.records.base import Frozen

S = TypeVar("S", bound="Samples")
R = TypeVar("R", str, list[str])


class Samples(Frozen):
    """Base of the raw samples that a scenario takes in one process; times are in nanoseconds of wall time."""


class WorkerCall(Frozen):
    """What one worker process measures.

    Attributes:
        scenarios: names of what is measured, in this order, with one loaded model.
        number: of the repetition, whose `rows` these are.
        parameters: what scenarios computed beforehand from earlier samples, by name of the scenario.
        alternates: whether processes of other models measure in between, so that a turn is short.
        cores: CPUs that the process is bound to once its libraries are imported; empty for any.
        output: file that gets the `Repetition`, or the error.
    """

    model: PredictorSpec
    scenarios: tuple[str, ...]
    rows: list[Row]
    number: int
    config: BenchmarkConfig
    parameters: dict[str, dict[str, Any]] = {}
    alternates: bool = False
    cores: tuple[int, ...] = ()
    output: Path


class Repetition(Frozen):
    """What one process measured.

    Attributes:
        session: names what was measured in turns with this repetition: those of other models with the same session
            and number, on the same rows in the same order; empty where it is not known.
        pid: the process, to show that repetitions did not share one.
        load_seconds: time to read model and tokenizer from the directory onto the device, libraries already imported.
        warm_up_ns: times of the calls before measuring; `settled` says whether they reached a steady state.
        peak_rss_mb: largest resident memory of the process in MB (10^6 bytes), libraries included.
        peak_device_mb: largest memory allocated on the GPU in MB; None on a CPU.
        environment: what this process ran in, as text by name.
    """

    session: str = ""
    number: int = 0
    pid: int
    load_seconds: float = 0.0
    warm_up_ns: list[int] = []
    settled: bool = True
    peak_rss_mb: float
    peak_device_mb: float | None = None
    environment: dict[str, str] = {}
    samples: dict[str, SerializeAsAny[Samples] | dict[str, Any]]

    def of(self, scenario: str, kind: type[S]) -> S:
        """The samples of one scenario; ValueError if there are none, or they are not of this kind."""
        found = self.samples.get(scenario, {})
        return found if isinstance(found, kind) else kind.model_validate(found)


def sample_rows(rows: Sequence[R], count: int, seed: int) -> list[R]:
    """Draw `count` rows whose lengths mirror those of `rows`, in random order; InputError if there are no rows.

    The sample is stratified by length in characters: the rows, sorted by length, are cut into `count` parts of equal
    size, and one row is drawn from each. So few rows reproduce every quantile of the length closely. A data set with
    fewer rows is used whole as often as it fits, and a stratified sample makes up the rest.
    """
    if len(rows) == 0:
        raise InputError("a benchmark needs at least one row of the data set, but got none")
    random = np.random.default_rng(seed)
    ordered = _by_length(rows, random)
    whole, rest = divmod(count, len(ordered))
    edges = np.linspace(0, len(ordered), rest + 1).astype(int)
    drawn = [ordered[random.integers(low, high)] for low, high in pairwise(edges)]
    chosen = np.concatenate([np.tile(ordered, whole), np.array(drawn, dtype=np.int64)])
    return [rows[int(index)] for index in random.permutation(chosen)]


def deal(rows: Sequence[Row], hands: int, count: int) -> list[list[Row]]:
    """Split `rows` into `hands` lists of `count` rows each, all with nearly the same lengths, in random order.

    The rows are dealt like cards, in order of length and to the lists in a random order each round, so that no list
    gets the longest row of every round. If there are too few rows, they are used again from the start.
    """
    random = np.random.default_rng(0)
    pool = [rows[int(index)] for index in np.resize(np.arange(len(rows)), hands * count)]
    rounds = np.array(_by_length(pool, random)).reshape(count, hands)
    shuffled = random.permuted(rounds, axis=1)
    return [[pool[int(index)] for index in random.permutation(shuffled[:, hand])] for hand in range(hands)]


def _by_length(rows: Sequence[Row], random: np.random.Generator) -> np.ndarray:
    """Indices of `rows` from short to long; rows of one length in random order."""
    lengths = np.fromiter((row_length(row) for row in rows), dtype=np.int64, count=len(rows))
    return np.lexsort((random.random(len(lengths)), lengths))

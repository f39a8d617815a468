"""The messages between a session and its worker processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SerializeAsAny

from podium.config.benchmark import BenchmarkConfig
from podium.inference.predictor import PredictorSpec
from podium.inference.rows import Row
from podium.records.base import Frozen

S = TypeVar("S", bound="Samples")

NextTurn = Callable[[str], None]
"""Ends the current turn and returns once the process may go on with the phase that is named: `load` or a scenario."""


class Samples(Frozen):
    """Base of the raw samples that a scenario takes in one process; times are in nanoseconds of wall time."""


class WorkerCall(Frozen):
    """What one worker process measures.

    Attributes:
        model: the variant to load.
        scenarios: names of what is measured, in this order, with one loaded model.
        rows: the rows of this repetition.
        number: of the repetition.
        config: the benchmark section of the config, with the settings of the scenarios.
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
        number: of the repetition within the session.
        pid: the process, to show that repetitions did not share one.
        load_seconds: time to read model and tokenizer from the directory onto the device, libraries already imported.
        warm_up_ns: times of the calls before measuring; `settled` says whether they reached a steady state.
        peak_rss_mb: largest resident memory of the process in MB (10^6 bytes), libraries included.
        peak_device_mb: largest memory allocated on the GPU in MB; None on a CPU.
        environment: what this process ran in, as text by name.
        samples: raw samples by name of the scenario.
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
        """The samples of one scenario.

        Raises:
            ValueError: there are none, or they are not of this kind.
        """
        found = self.samples.get(scenario, {})
        return found if isinstance(found, kind) else kind.model_validate(found)

"""A scenario of another package: measured in a real process, summed up, and shown in text, report and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from podium import plugins
from podium.benchmarking.session import ModelFiles, Session, measure_together
from podium.config.benchmark import SCENARIOS, BenchmarkConfig
from podium.local.benchmark import Outcome, print_results
from podium.records import MeasurementRecord
from podium.report.render import render
from podium.stages.benchmark import figures
from tests.integration.small_models import save_linear
from tests.unit.report.samples import sample

pytestmark = pytest.mark.integration

MODULE = '''
from pydantic import Field

from podium.benchmarking.calls import Samples
from podium.benchmarking.scenarios import Scenario
from podium.config.section import Section
from podium.records import Figure, ScenarioResult


class TwiceSettings(Section):
    rows: int = Field(default=2, description="Rows that are called twice.")


class TwiceSamples(Samples):
    equal: list[bool]


class Twice(Scenario[TwiceSamples, TwiceSettings]):
    """Share of rows that get the same label twice."""

    name = "twice"
    title = "The same answer twice"
    explanation = "Rows that are predicted twice."
    Settings = TwiceSettings
    Samples = TwiceSamples

    def measure(self, bench):
        rows = bench.call.rows[: self.settings(bench.call.config).rows]
        return TwiceSamples(equal=[bench.predictor([row]) == bench.predictor([row]) for row in rows])

    def summarise(self, samples, about):
        equal = [one for each in samples for one in each.equal]
        share = Figure(name="equal_share", title="equal", unit="%", value=100 * sum(equal) / len(equal))
        return ScenarioResult(figures=(share,), facts={"rows": len(equal)}, notes=("it never differs",))


TWICE = Twice()
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package, on the path of this process and of those that it starts."""
    site = tmp_path / "site"
    about = site / "podium_twice-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: podium-twice\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[podium.scenarios]\ntwice = podium_twice:TWICE\n")
    (site / "podium_twice.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    plugins._entry_points.cache_clear()
    yield
    plugins._entry_points.cache_clear()
    SCENARIOS._loaded.pop("twice", None)


def test_a_scenario_of_another_package_is_one_module_and_one_entry_point(installed: None, tmp_path: Path) -> None:
    config = BenchmarkConfig.model_validate(
        {
            "device": "cpu",
            "threads": 1,
            "repetitions": 1,
            "samples": 20,
            "max_seconds": 2,
            "throughput_batch_size": 4,
            "scenarios": ("twice",),
            "settings": {"twice": {"rows": 3}},
        }
    )
    model = ModelFiles(save_linear(tmp_path / "model"), "tiny", "eager", "d" * 64)
    ((measured, samples),) = measure_together([model], Session(["a", "b c"], "text-classification", config), tmp_path)
    found = measured.scenario("twice")
    assert (found.value("equal_share"), found.facts) == (100, {"rows": 3})
    assert samples["scenarios"]["twice"][0]["samples"]["twice"] == {"equal": [True] * 3}
    record = MeasurementRecord.from_json(MeasurementRecord(key="k", measurement=measured).to_json())
    assert record.measurement == measured

    assert figures("tiny.eager", measured)["tiny.eager.twice_equal_share"] == 100

    console = Console(width=200, record=True)
    print_results([Outcome(record, reused=False, samples=tmp_path)], console)
    text = console.export_text()
    for said in ("The same answer twice: Rows that are predicted twice.", "Equal %", "100", "it never differs"):
        assert said in text

    given = sample()
    first, *others = given.benchmark.measurements
    shown = first.model_copy(update={"scenarios": {**first.scenarios, "twice": found}})
    benchmark = given.benchmark.model_copy(update={"measurements": (shown, *others)})
    rendered = render(sample(benchmark=benchmark))
    for page in (rendered.html, rendered.markdown):
        for said in ("The same answer twice", "Rows that are predicted twice.", "Equal %", "it never differs"):
            assert said in page


def test_a_scenario_that_is_not_installed_is_refused_with_the_nearest_name(installed: None) -> None:
    with pytest.raises(ValueError, match="but got 'twise'; did you mean \"twice\""):
        BenchmarkConfig(scenarios=("twise",))

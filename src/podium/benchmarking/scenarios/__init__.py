"""Scenarios: the ways to load a model while it is measured. Each is one module that brings all that belongs to it.

To add one, write a subclass of `Scenario` and register it: here, or in another package as an entry point of the group
`podium.scenarios`.
"""

from podium.benchmarking.bench import Bench
from podium.benchmarking.scenarios.base import Measured, NoSettings, Scenario, figures_table
from podium.config.benchmark import SCENARIOS

__all__ = ["SCENARIOS", "Bench", "Measured", "NoSettings", "Scenario", "figures_table"]

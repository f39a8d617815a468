from podium.benchmarking.statistics import samples_needed
from podium.config.benchmark import QUANTILE_SAMPLES


def test_the_config_knows_how_many_samples_the_benchmark_asks_for() -> None:
    assert {f"latency_p{100 * q:.0f}_ms": samples_needed(q) for q in (0.5, 0.9, 0.95)} == QUANTILE_SAMPLES

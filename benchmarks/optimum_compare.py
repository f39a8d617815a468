"""Latency of one forward pass by optimum-benchmark and by Podium's loop, in processes that take turns.

    python benchmarks/optimum_compare.py [--pairs 10] [--optimum-venv DIRECTORY]

Both load the same BERT-tiny with the same transformers and time the same kind of input: one row of 128 random tokens,
one thread, after a warm-up. optimum-benchmark 0.6 does not import with transformers 5, so it gets an environment of its
own with transformers 4 (about 60 MB) that sees all other packages of this one; it is made in DIRECTORY where it lacks,
and thrown away if none is named. Podium's loop runs in there, too.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
TOKENS, TIMES, WARM_UP = 128, 300, 50

PACKAGES = ("optimum-benchmark==0.6.0", "flatten-dict", "colorlog", "nvidia-ml-py", "transformers==4.57.3",
            "huggingface-hub<1", "tokenizers<0.23", "datasets==4.3.0", "accelerate==1.11.0", "fsspec<=2025.9.0",
            "dill<0.4.1", "multiprocess<0.70.17", "httpx", "httpcore", "h11", "anyio", "sniffio")  # fmt: skip
"""What optimum-benchmark needs in another version than Podium, or Podium not at all; installed without dependencies."""


def optimum(model: str) -> float:
    """Median latency in ms by optimum-benchmark."""
    from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, InlineConfig, PyTorchConfig

    backend = PyTorchConfig(
        model=model,
        device="cpu",
        task="text-classification",
        library="transformers",
        model_type="bert",
        no_weights=False,
        intra_op_num_threads=1,
        inter_op_num_threads=1,
    )
    scenario = InferenceConfig(
        latency=True,
        memory=False,
        warmup_runs=WARM_UP,
        iterations=TIMES,
        duration=0,
        input_shapes={"batch_size": 1, "sequence_length": TOKENS},
    )
    config = BenchmarkConfig(name="bert-tiny", launcher=InlineConfig(), scenario=scenario, backend=backend)
    return float(Benchmark.launch(config).forward.latency.p50 * 1e3)


def podium(model: str) -> float:
    """Median latency in ms by Podium's loop."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from podium.benchmarking.bench import single_stream, warm_up

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    network = AutoModelForSequenceClassification.from_pretrained(model).eval()
    ids = torch.randint(0, network.config.vocab_size, (1, TOKENS))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}

    @torch.inference_mode()
    def forward(batch: list[str]) -> object:
        return network(**inputs)

    warm_up(forward, "x", 5.0)
    return statistics.median(single_stream(forward, ["x"] * TIMES, 60.0)) / 1e6


def main() -> None:
    from beside import python_beside
    from measuring import report, save_model

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--optimum-venv", type=Path, metavar="DIRECTORY")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        python = python_beside(given.optimum_venv or Path(scratch) / "venv", "--no-deps", *PACKAGES)
        model = str(save_model(Path(scratch) / "model"))
        shares = []
        for number in range(given.pairs):
            order = ("optimum", "podium") if number % 2 else ("podium", "optimum")
            times = {tool: timed(python, tool, model) for tool in order}
            shares.append(times["podium"] / times["optimum"])
            print(f"  pair {number}: podium {times['podium']:.3f} ms, optimum-benchmark {times['optimum']:.3f} ms")
        report("podium / optimum-benchmark", shares, "pairs")


def timed(python: str, tool: str, model: str) -> float:
    """Median latency in ms by one tool, in a fresh process."""
    code = f"import optimum_compare as one; print('ms', one.{tool}({model!r}))"
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(HERE)}
    done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return float(done.stdout.split("ms ")[-1])


ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()

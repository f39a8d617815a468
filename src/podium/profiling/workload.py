"""The workload that every profiler runs: one model, some rows, so many iterations; also a program of its own.

`python -m podium.profiling.workload SPEC [NAME=VALUE...]` reads a `Workload`, runs it in ranges with names, and writes
`timings.json`. The ranges are NVTX ranges as well where the package `nvtx` is installed, so that Nsight tools see them.
A profile of any tool starts from the same spec.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from podium.config.benchmark import VariantName
from podium.errors import InputError
from podium.execution.environment import inference_variables
from podium.inference.predictor import PredictorSpec, Row, load_predictor
from podium.jsonfile import write_json
from podium.records.base import Frozen

SPEC, TIMINGS = "workload.json", "timings.json"
"""The file that describes a workload, and where it writes its times: a `Timings`."""

SYNTHETIC = "synthetic"


class Workload(Frozen):
    """What is profiled: the same for every tool, whether it runs in the process of the workload or starts one.

    Attributes:
        model: absolute path of a model directory or package; empty for the small random module of `synthetic`.
        name: that people know the model by, and `digest`, of its files.
        kind: `classifier` for anything that answers rows, `prompted` for a prompted model that writes its answers,
            `generation` for a causal language model that continues rows, `synthetic` for a module that needs no files.
        task: that the rows are labelled for.
        rows: absolute path of a file with a row per line: a JSON string, or a list of words.
        iterations: batches that are run in ranges, after `warmup` batches outside of them.
        device: `cpu` or `cuda`, already resolved.
        prompt_tokens: tokens of a prompt at most, for `generation`; `output_tokens`, how many follow it.
        output: absolute path of the directory that gets `timings.json`; empty for that of the spec.
    """

    model: str = ""
    name: str = SYNTHETIC
    digest: str = ""
    kind: Literal["classifier", "prompted", "generation", "synthetic"] = "classifier"
    variant: VariantName = "eager"
    task: str = "text-classification"
    rows: str
    batch_size: int = Field(default=1, ge=1)
    iterations: int = Field(default=20, ge=1)
    warmup: int = Field(default=3, ge=0)
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = Field(default=1, ge=1)
    trust_remote_code: bool = False
    prompt_tokens: int = Field(default=64, ge=1)
    output_tokens: int = Field(default=16, ge=2)
    output: str = ""

    @model_validator(mode="after")
    def _absolute(self) -> Workload:
        if bool(self.model) == (self.kind == SYNTHETIC):
            raise ValueError(f"a model must be given unless kind is {SYNTHETIC}, but got model={self.model!r}")
        for name in ("model", "rows", "output"):
            if (value := getattr(self, name)) and not Path(value).is_absolute():
                raise ValueError(f"{name} must be an absolute path, but got {value!r}")
        return self

    def variables(self) -> dict[str, str]:
        """The environment variables that it runs with, beside those of the caller."""
        return inference_variables(self.threads)

    def read_rows(self) -> list[Row]:
        """The rows of the file; an InputError if there are none."""
        try:
            found = [json.loads(line) for line in Path(self.rows).read_text(encoding="utf-8").splitlines() if line]
        except (OSError, ValueError) as error:
            raise InputError(f"rows to profile are JSON lines, but {self.rows} cannot be read: {error}") from error
        if not found:
            raise InputError(f"a workload needs at least one row, but {self.rows} has none")
        return found


class Timings(Frozen):
    """Seconds of every range, in the order in which they were opened, by its name."""

    seconds: dict[str, list[float]]

    @property
    def counts(self) -> dict[str, int]:
        """How often each range was opened."""
        return {name: len(own) for name, own in self.seconds.items()}

    @property
    def iterations(self) -> list[float]:
        """Seconds of each iteration: the sum of its ranges."""
        per_iteration = [own for name, own in self.seconds.items() if name != "load"]
        return [sum(parts) for parts in zip(*per_iteration, strict=True)]


def argv(spec: Path | str, overrides: Mapping[str, Any] | None = None) -> list[str]:
    """The command that runs the workload of a spec file, with an argument for each override that has a value."""
    given = {name: value for name, value in (overrides or {}).items() if value not in (None, "")}
    program = [sys.executable, "-m", "podium.profiling.workload", str(spec)]
    return [*program, *(f"{name}={value}" for name, value in given.items())]


def ranges(workload: Workload) -> dict[str, int]:
    """How often each range is opened by a whole run."""
    return {"load": 1, **dict.fromkeys(range_names(workload), workload.iterations)}


def range_names(workload: Workload) -> tuple[str, ...]:
    """The ranges of one iteration, in order."""
    middle = ("prefill", "decode") if workload.kind in ("prompted", "generation") else ("forward",)
    return ("tokenise", *middle, "postprocess")


class Ranges:
    """Times ranges, and shows them to NVTX tools and to a further observer, such as torch's profiler."""

    def __init__(self, around: Callable[[str], AbstractContextManager[Any]] = nullcontext) -> None:
        """Time ranges; `around` makes a context for each, given its name."""
        self.seconds: dict[str, list[float]] = {}
        self._around = around

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the body, which must have waited for the device when it ends."""
        with _nvtx(name), self._around(name):
            started = time.perf_counter()
            yield
            self.seconds.setdefault(name, []).append(time.perf_counter() - started)


def _nvtx(name: str) -> AbstractContextManager[Any]:
    annotate = _annotate()
    found: AbstractContextManager[Any] = annotate(name) if annotate else nullcontext()
    return found


@cache
def _annotate() -> Any:
    """The context manager of `nvtx`; None where it is not installed."""
    try:
        from nvtx import annotate
    except ImportError:
        return None
    return annotate


Subject = Callable[[list[Row], Any], Any]
"""A loaded model that answers rows, each part of the work in its range."""


def load(workload: Workload) -> Subject:
    """The model of a workload, loaded in this process."""
    if workload.kind == SYNTHETIC:
        from podium.profiling.synthetic import SyntheticSubject

        return SyntheticSubject(workload)
    spec = PredictorSpec(
        model_dir=Path(workload.model),
        variant=workload.variant,
        task=workload.task,
        labels=None,
        trust_remote_code=workload.trust_remote_code,
        device=workload.device,
        threads=workload.threads,
    )
    if workload.kind == "generation":
        from podium.inference.torch_predictor import Generator

        Generator.prepare(spec)
        return GeneratorSubject(Generator(spec), workload)
    return (PromptedSubject if workload.kind == "prompted" else PredictorSubject)(load_predictor(spec))


class PredictorSubject:
    """A predictor, or a package, whose three parts run in ranges."""

    def __init__(self, predictor: Any):
        self.predictor = predictor

    def __call__(self, rows: list[Row], ranges: Any) -> list[Any]:
        with ranges("tokenise"):
            encoded = self.predictor.encode(rows)
        with ranges("forward"):
            outputs = self.predictor.forward(encoded)
        with ranges("postprocess"):
            found: list[Any] = self.predictor.answers(rows, encoded, outputs)
            return found


class PromptedSubject(PredictorSubject):
    """A prompted model that writes its answers: it reads prompts in one range, and writes tokens in another.

    Its first step that reads one token a row ends the reading. Of more rows than it continues together, the prompts
    that are read later count as writing.
    """

    def __call__(self, rows: list[Row], ranges: Any) -> list[Any]:
        with ranges("tokenise"):
            encoded = self.predictor.encode(rows)
        model = self.predictor.model
        plain, calls, reading = model.continued, 0, True
        with ExitStack() as phase:

            def decode() -> None:
                nonlocal reading
                reading = False
                phase.close()
                phase.enter_context(ranges("decode"))

            def continued(ids: Any, *given: Any) -> Any:
                nonlocal calls
                calls += 1
                if reading and calls > 1 and ids.shape[1] == 1:
                    decode()
                return plain(ids, *given)

            phase.enter_context(ranges("prefill"))
            model.continued = continued
            try:
                outputs = self.predictor.forward(encoded)
            finally:
                del model.continued
            if reading:  # No answer has a second token.
                decode()
        with ranges("postprocess"):
            found: list[Any] = self.predictor.answers(rows, encoded, outputs)
            return found


class GeneratorSubject:
    """A causal language model that continues prompts one by one: a batch runs its rows one after another."""

    def __init__(self, generator: Any, workload: Workload):
        self.generator, self.workload = generator, workload

    def __call__(self, rows: list[Row], ranges: Any) -> list[str]:
        written: list[list[int]] = []
        with ranges("tokenise"):
            prompts = [self.generator.encode(str(row), self.workload.prompt_tokens) for row in rows]
        with ranges("prefill"):
            begun = [self.generator.step(prompt, None) for prompt in prompts]
        with ranges("decode"):
            for token, cache in begun:
                own, past = [token], cache
                for _ in range(self.workload.output_tokens - 1):
                    after, past = self.generator.step(own[-1], past)
                    own.append(after)
                written.append([int(one) for one in own])
        with ranges("postprocess"):
            return [self.generator.tokenizer.decode(one) for one in written]


def batches(workload: Workload) -> Iterator[list[Row]]:
    """The rows of each iteration, in order and over again, without end."""
    endless = cycle(workload.read_rows())
    while True:
        yield list(islice(endless, workload.batch_size))


def run(workload: Workload) -> Timings:
    """Load the model and run the whole workload in this process."""
    opened = Ranges()
    rows = batches(workload)
    with opened("load"):
        subject = load(workload)
    iterate(subject, rows, workload.warmup, nullcontext)
    iterate(subject, rows, workload.iterations, opened)
    return Timings(seconds=opened.seconds)


def timed(
    subject: Subject,
    rows: Iterator[list[Row]],
    count: int,
    around: Callable[[str], AbstractContextManager[Any]] = nullcontext,
) -> Timings:
    """Run the next `count` batches in ranges of their own, with a context around each; returns the times."""
    opened = Ranges(around)
    iterate(subject, rows, count, opened)
    return Timings(seconds=opened.seconds)


def iterate(subject: Subject, rows: Iterator[list[Row]], count: int, opened: Any) -> None:
    """Run the next `count` batches in ranges."""
    for _ in range(count):
        subject(next(rows), opened)


def read(spec: Path, overrides: Sequence[str] = ()) -> Workload:
    """The workload of a spec file, with `NAME=VALUE` put in place of its own fields; an InputError if it is none."""
    try:
        fields = json.loads(spec.read_text(encoding="utf-8"))
        for one in overrides:
            name, mark, value = one.partition("=")
            if not mark or name not in Workload.model_fields:
                raise ValueError(f"an override is NAME=VALUE with a field of a workload, but got {one!r}")
            fields[name] = value
        found = Workload.model_validate(fields)
    except (OSError, ValueError, ValidationError) as error:
        raise InputError(f"{spec} must be a workload to profile, but: {error}") from error
    return found if found.output else found.model_copy(update={"output": str(spec.absolute().parent)})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workload of the spec that is named first, with the overrides that follow; returns the exit code."""
    from podium.execution.ending import end_with_parent

    given = list(sys.argv[1:] if arguments is None else arguments)
    end_with_parent()
    if not given or given[0].startswith("-"):
        print("usage: python -m podium.profiling.workload SPEC [NAME=VALUE...]", file=sys.stderr)
        return 2
    try:
        workload = read(Path(given[0]), given[1:])
        write_json(Path(workload.output) / TIMINGS, run(workload).model_dump())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())  # in order: a tool that records this process writes what it has at its end

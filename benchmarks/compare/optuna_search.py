"""The search of `hpo_compare.py` by plain Optuna, each trial in a subprocess: `optuna_search.py TASK_FILE`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import optuna


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text())

    def objective(trial: optuna.Trial) -> float:
        params = {}
        for name, kind, *bounds in task["space"]:
            match kind:
                case "float":
                    params[name] = trial.suggest_float(name, *bounds, log=True)
                case "int":
                    params[name] = trial.suggest_int(name, *bounds)
                case _:
                    params[name] = trial.suggest_categorical(name, bounds)
        script = Path(__file__).with_name("plain_trial.py" if task["workload"] == "reviews" else "objective.py")
        command = [sys.executable, str(script), sys.argv[1], str(trial.number)]
        done = subprocess.run(
            [*command, json.dumps(params)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return float(done.stdout.split()[-1])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=task["seed"]))
    for params in task["points"]:
        study.enqueue_trial(params)
    study.optimize(objective, n_trials=task["trials"], n_jobs=task["parallel"])
    print(json.dumps({"best": study.best_value, "trials": len(study.trials)}))


if __name__ == "__main__":
    main()

"""The search of `hpo_compare.py` by Ray Tune: `ray_search.py TASK_FILE`, in an environment that has `ray[tune]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ray
from objective import evaluate
from ray import tune
from ray.tune.search.basic_variant import BasicVariantGenerator


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text())
    space = {}
    for name, kind, *bounds in task["space"]:
        match kind:
            case "float":
                space[name] = tune.loguniform(*bounds)
            case "int":
                space[name] = tune.randint(bounds[0], bounds[1] + 1)
            case _:
                space[name] = tune.choice(bounds)
    numbers = {json.dumps(point, sort_keys=True): number for number, point in enumerate(task["points"])}

    def objective(config: dict[str, float]) -> dict[str, float]:
        return {"score": evaluate(task, numbers[json.dumps(config, sort_keys=True)], config)}

    ray.init(num_cpus=task["parallel"], include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_resources(objective, {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            num_samples=task["trials"],
            search_alg=BasicVariantGenerator(
                points_to_evaluate=task["points"], max_concurrent=task["parallel"], random_state=task["seed"]
            ),
            reuse_actors=task["reuse_actors"],
        ),
        run_config=tune.RunConfig(storage_path=task["output"], verbose=0),
    )
    results = tuner.fit()
    assert not results.errors, results.errors
    print(json.dumps({"best": results.get_best_result().metrics["score"], "trials": len(results)}))
    ray.shutdown()


if __name__ == "__main__":
    main()

"""One trial as a user writes it, with the classes of the transformers examples: `plain_trial.py TASK_FILE PARAMS_JSON`.

Cross-validates on the rows and folds of the task and prints the mean macro F1. Every row is padded to the maximum
length when it is tokenised, as the examples do by default.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from datasets import Dataset
from sklearn.metrics import f1_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed


def main() -> None:
    task, params = json.loads(Path(sys.argv[1]).read_text()), json.loads(sys.argv[3])
    torch.set_num_threads(1)
    rows = json.loads(Path(task["rows"]).read_text())
    tokenizer = AutoTokenizer.from_pretrained(task["backbone"])

    def encode(batch: dict[str, list[Any]]) -> Any:
        return tokenizer(batch["text"], truncation=True, padding="max_length", max_length=task["max_length"])

    data = Dataset.from_dict({name: rows[name] for name in ("text", "label")}).map(encode, batched=True)
    scores = []
    for fold in range(task["folds"]):
        set_seed(task["seed"])
        model = AutoModelForSequenceClassification.from_pretrained(task["backbone"], num_labels=len(task["labels"]))
        arguments = TrainingArguments(
            output_dir=f"{task['output']}/trial-{sys.argv[2]}/{fold}",
            num_train_epochs=task["epochs"],
            learning_rate=params["learning_rate"],
            per_device_train_batch_size=params["batch_size"],
            per_device_eval_batch_size=64,
            weight_decay=0.01,
            warmup_steps=0.1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
        )
        inside = [row for row, own in enumerate(rows["fold"]) if own != fold]
        held = [row for row, own in enumerate(rows["fold"]) if own == fold]
        trainer = Trainer(model, arguments, train_dataset=data.select(inside))
        trainer.train()
        output = trainer.predict(data.select(held))
        scores.append(f1_score(output.label_ids, output.predictions.argmax(-1), average="macro"))
    print(fmean(scores))


if __name__ == "__main__":
    main()

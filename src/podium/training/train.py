"""The training of a transformer."""

from __future__ import annotations

import copy
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
import transformers
from datasets import Dataset
from transformers import TrainingArguments, set_seed

from podium.errors import ConfigError, DataError, NonFiniteLoss, OutOfMemory
from podium.evaluation.metrics import all_metrics
from podium.evaluation.predictions import Predictions
from podium.keys import digest_manifest, digest_tree
from podium.models.backbone import backbone_digest, load_config, tokenizer_digest
from podium.models.network import check_length, has_adapters, keeps_head, load_model, with_lora
from podium.models.tokenizer import load_tokenizer, save_tokenizer, setup_digest
from podium.tasks import TASKS
from podium.training.data import HeldOut, tokenised
from podium.training.launch import TrainingResult, TrainingSpec
from podium.training.rows import model_card, open_data, rows_to_train, save_fold_predictions
from podium.training.trainer import Checkpoints, Evaluation, PodiumTrainer, Schedule, evaluations_of, loss_function

_KEPT_HEAD = (
    "The backbone came with a head for the same labels, which was kept and trained further; held-out rows from which "
    "it learned before would flatter its scores."
)

OnEvaluation = Callable[[Evaluation, float], None]


def train(spec: TrainingSpec, on_evaluation: OnEvaluation | None = None) -> TrainingResult:
    """See `podium.entrants.base.EntrantKind.train`.

    A training is resumed from its newest checkpoint when there is one; it first repeats the calls of `on_evaluation`
    from before its interruption. Sets torch's threads, all global seeds and the libraries' verbosity of this process.
    """
    # Progress bars and load reports of the libraries stay out of captured logs.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    with _memory_errors(spec):
        torch.set_num_threads(spec.threads)
        set_seed(spec.seed)
        return _Training(spec, time.monotonic(), on_evaluation).run()


class _Training:
    """One training, from its spec to its result."""

    def __init__(self, spec: TrainingSpec, started: float, on_evaluation: OnEvaluation | None) -> None:
        self.spec, self.started, self.on_evaluation = spec, started, on_evaluation
        self.task = TASKS.get(spec.task)
        self.artifact = open_data(spec)
        self.data_digest = spec.data_digest or digest_tree(spec.data)
        self.backbone_digest = backbone_digest(spec.backbone)
        self.tokenizer = load_tokenizer(spec.backbone, spec.task, spec.trust_remote_code)
        self.model = load_model(
            spec.backbone,
            spec.task,
            spec.labels,
            self.tokenizer,
            dropout=spec.config.dropout,
            trust_remote_code=spec.trust_remote_code,
            dtype=torch.bfloat16 if self._adapts() and _precision(spec.config.precision)["bf16"] else torch.float32,
        )
        self.kept_head = keeps_head(load_config(spec.backbone, spec.trust_remote_code), spec.task, spec.labels)
        check_length(self.model, self.tokenizer, spec.config.max_length)
        if self._adapts():
            self.model = with_lora(self.model, spec.task, spec.config.lora_rank, spec.config.lora_alpha)
        try:
            self.train_tokens, self.held = self._data()
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise DataError(f"{spec.data} must be a whole data artifact, but: {error}; prepare it again") from error

    def run(self) -> TrainingResult:
        spec = self.spec
        checkpoints = Checkpoints(spec.output / "checkpoints", spec.fingerprint(self.data_digest, self.backbone_digest))
        trainer = self._trainer(checkpoints)
        resumed = checkpoints.newest()
        begun = time.monotonic()
        trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
        seconds = time.monotonic() - begun
        evaluation = self._refitted(trainer) if spec.fold is None else self._best(evaluations_of(trainer.state))
        checkpoints.clear()
        return TrainingResult(
            metrics=evaluation.metrics,
            epoch=evaluation.epoch,
            steps=evaluation.step,
            seconds=time.monotonic() - self.started,
            samples_per_second=trainer.samples / seconds,
            notes=(_KEPT_HEAD,) if self.kept_head else (),
        )

    def _data(self) -> tuple[Dataset, HeldOut]:
        spec, artifact = self.spec, self.artifact
        development = artifact.development
        tokens = self._tokenised("development", development)
        if spec.fold is None:
            test = artifact.test
            held = HeldOut.of(spec.task, spec.labels, test, self._tokenised("test", test), np.arange(len(test)))
        else:
            held = HeldOut.of(spec.task, spec.labels, development, tokens, artifact.fold(spec.fold)[1])
        return tokens.select(rows_to_train(spec, artifact)), held

    def _adapts(self) -> bool:
        return self.spec.config.adapter == "lora"

    def _tokenised(self, split: str, dataset: Dataset) -> Dataset:
        spec = self.spec
        if len(dataset) == 0:
            raise DataError(f"the {split} rows must not be empty, but those of {spec.data} are")
        return tokenised(
            dataset,
            tokenizer=self.tokenizer,
            tokenizer_digest=digest_manifest(
                {"files": tokenizer_digest(spec.backbone), "setup": setup_digest(self.tokenizer)}
            ),
            data_digest=self.data_digest,
            split=split,
            task=spec.task,
            labels=len(spec.labels),
            max_length=spec.config.max_length,
            cache=spec.cache,
        )

    def _trainer(self, checkpoints: Checkpoints) -> PodiumTrainer:
        spec, config = self.spec, self.spec.config
        batches = math.ceil(len(self.train_tokens) / config.batch_size)
        refit = spec.fold is None
        # One evaluation per epoch for early stopping, and otherwise only the one at the end.
        evaluations = config.evaluations_per_epoch or (None if config.early_stopping_patience is None else 1)
        schedule = Schedule(
            epoch_steps=math.ceil(batches / config.gradient_accumulation),
            evaluations=0 if refit else evaluations,
            checkpoints=config.checkpoints_per_epoch,
            metric=spec.metric,
            patience=None if refit else config.early_stopping_patience,
            started=self.started,
            timeout=config.timeout_seconds,
            fields={**spec.context, **({} if spec.fold is None else {"fold": spec.fold})},
            on_evaluation=self._evaluated,
        )
        trainer = PodiumTrainer(
            lengths=list(self.train_tokens["length"]),
            checkpoints=checkpoints,
            model=self.model,
            args=_arguments(spec),
            data_collator=self.task.collator(self.tokenizer),
            train_dataset=self.train_tokens,
            eval_dataset=self.held.tokens,
            processing_class=self.tokenizer,
            compute_loss_func=loss_function(self.task, self._class_weights(), config.label_smoothing),
            compute_metrics=None if refit else lambda output: _metrics(self._predictions(output)),
            preprocess_logits_for_metrics=lambda logits, labels: self.task.reduce(_finite(logits)),
            callbacks=[schedule],
        )
        schedule.trainer = trainer
        return trainer

    def _class_weights(self) -> torch.Tensor | None:
        if self.spec.config.class_weights == "none":
            return None
        weights = self.task.balanced_weights(self.train_tokens["labels"], len(self.spec.labels))
        return torch.tensor(weights, dtype=torch.float32)

    def _predictions(self, output: Any) -> Predictions:
        self.predicted = self.held.predictions(output.predictions, output.label_ids)
        return self.predicted

    def _best(self, history: Sequence[Evaluation]) -> Evaluation:
        """The evaluation that counts: with early stopping the best one, otherwise the last."""
        if self.spec.config.early_stopping_patience is None:
            return history[-1]
        return max(history, key=lambda evaluation: evaluation.metrics[self.spec.metric])

    def _evaluated(self, history: Sequence[Evaluation], share: float, fresh: bool) -> None:
        """Keep predictions and weights of the evaluation that counts, and report it."""
        best = self._best(history)
        counts = share == 1 if self.spec.config.early_stopping_patience is None else best is history[-1]
        if fresh and counts:
            save_fold_predictions(self.predicted, self.spec.output)
        if self.spec.keep_model and fresh and counts:
            self._save_model({"train": len(self.train_tokens), "held-out": len(self.held)}, best.metrics)
        if self.on_evaluation is not None and share < 1:
            self.on_evaluation(replace(history[-1], metrics=best.metrics), share)

    def _refitted(self, trainer: PodiumTrainer) -> Evaluation:
        if self._adapts():
            # Predicted by what is shipped: the sums of merged weights round differently.
            self.model = self.model.merge_and_unload()
        # Neither are they computed in a lower precision than that of the weights, in which an eager model answers.
        plain = trainer.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        trainer.model = trainer.model_wrapped = self.model = plain
        predictions = self._predictions(trainer.predict(self.held.tokens))
        metrics = _metrics(predictions)
        self._save_model({"train": len(self.train_tokens), "test": len(self.held)}, metrics)
        predictions.save(self.spec.output / "predictions")
        return Evaluation(trainer.state.epoch, trainer.state.global_step, metrics)

    def _save_model(self, rows: Mapping[str, int], metrics: Mapping[str, float]) -> None:
        """Write `{output}/model`: weights as they are, tokenizer, config and card."""
        target, partial = self.spec.output / "model", self.spec.output / ".model"
        for folder in (target, partial):
            shutil.rmtree(folder, ignore_errors=True)
        # During a training the adapters must stay as they are, so a copy is merged.
        plain = copy.deepcopy(self.model).merge_and_unload() if has_adapters(self.model) else self.model
        plain.save_pretrained(partial, save_original_format=False)
        # Use changes a tokenizer, so a resumed training would save other bytes than an undisturbed one: load it afresh.
        tokenizer = load_tokenizer(self.spec.backbone, self.spec.task, self.spec.trust_remote_code)
        tokenizer.model_max_length = self.spec.config.max_length
        save_tokenizer(tokenizer, partial)
        card = model_card(
            self.spec,
            library="transformers",
            summary=f"Fine-tuned by Podium: {self.model.num_parameters():,} parameters, weights as safetensors.\n\n"
            f"Backbone digest: `{self.backbone_digest}`",
            use=f'from transformers import pipeline\n\nmodel = pipeline("{self.task.pipeline}", model="DIRECTORY")',
            data_digest=self.data_digest,
            rows=rows,
            metrics=metrics,
        )
        (partial / "README.md").write_text(card)
        partial.rename(target)


def _arguments(spec: TrainingSpec) -> TrainingArguments:
    config = spec.config
    arguments = TrainingArguments(
        output_dir=str(spec.output),
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.eval_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup_ratio,
        seed=spec.seed,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to="none",
        label_names=["labels"],
        disable_tqdm=True,
        log_level="error",
        dataloader_pin_memory=torch.cuda.is_available(),
        # Without it transformers refuses bf16 on a machine that has no accelerator.
        use_cpu=not torch.cuda.is_available(),
        **_precision(config.precision),
    )
    # Several visible GPUs would silently multiply the batch size through DataParallel.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _precision(wanted: str) -> dict[str, bool]:
    """Trainer flags of a precision; `auto` is bf16, or else fp16, on a GPU, and fp32 elsewhere.

    Raises ConfigError if the device cannot train in it.
    """
    gpu = torch.cuda.is_available()
    bf16 = gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "auto":
        wanted = "bf16" if bf16 else "fp16" if gpu else "fp32"
    if (wanted == "fp16" and not gpu) or (wanted == "bf16" and gpu and not bf16):
        raise ConfigError(f"training.precision={wanted} needs a GPU that has it; set training.precision=auto")
    return {"bf16": wanted == "bf16", "fp16": wanted == "fp16"}


def _finite(logits: Any) -> torch.Tensor:
    values: torch.Tensor = logits[0] if isinstance(logits, tuple) else logits
    if not torch.isfinite(values).all():
        raise NonFiniteLoss(
            "the model's outputs must stay finite, but some are NaN or infinite on held-out rows; "
            "lower training.learning_rate, or set training.precision=fp32"
        )
    return values.float()


def _metrics(predictions: Predictions) -> dict[str, float]:
    metrics = all_metrics(predictions)
    odd = {name: value for name, value in metrics.items() if not math.isfinite(value)}
    if odd:
        raise NonFiniteLoss(f"every metric must be finite, but got {odd}; lower training.learning_rate")
    return metrics


@contextmanager
def _memory_errors(spec: TrainingSpec) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and not (
            "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
        ):
            raise
        config = spec.config
        raise OutOfMemory(
            f"a training must fit into memory, but {str(error).splitlines()[0] if text else 'it ran out'}; "
            f"lower training.batch_size (now {config.batch_size}; training.gradient_accumulation makes up for it) "
            f"or training.max_length (now {config.max_length})"
        ) from error

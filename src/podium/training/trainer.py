"""The transformers Trainer with exact resumption, an error for losses that are not finite, and one loss function."""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_file, save_model
from torch.utils.data import Sampler, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_pt_utils import get_length_grouped_indices
from transformers.utils import SAFE_WEIGHTS_NAME

from podium.errors import NonFiniteLoss, TimeLimitExceeded
from podium.events import emit
from podium.keys import manifest_of
from podium.models.network import has_adapters
from podium.records.base import Scalar
from podium.tasks.base import IGNORED, Task

_PREFIX = "checkpoint-"
_MANIFEST = "podium.json"
_BOOKKEEPING = {
    "eval_loss",
    "eval_runtime",
    "eval_samples_per_second",
    "eval_steps_per_second",
    "eval_model_preparation_time",
}
"""What transformers adds to the metrics of an evaluation."""

_log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one training below `directory`; the newest is kept.

    A checkpoint is written to a temporary place and renamed, so that a killed process leaves none in part. Digests of
    its files show whether a crash of the machine damaged it.
    """

    def __init__(self, directory: Path, fingerprint: str) -> None:
        """Look at `directory`, made when needed; `fingerprint` identifies the training that they belong to."""
        self._directory = directory
        self._fingerprint = fingerprint
        self.partial = directory / ".partial"
        """Where a checkpoint is written before it is whole."""

    @contextmanager
    def writing(self, step: int) -> Iterator[None]:
        """Make `partial/checkpoint-{step}`, written by the body, the newest checkpoint."""
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        yield
        written = self.partial / f"{_PREFIX}{step}"
        manifest = {"fingerprint": self._fingerprint, "files": manifest_of(written)}
        (written / _MANIFEST).write_text(json.dumps(manifest))
        target = self._directory / written.name
        shutil.rmtree(target, ignore_errors=True)
        written.rename(target)
        for _, older in self._all():
            if older != target:
                shutil.rmtree(older)

    def newest(self) -> Path | None:
        """The newest whole checkpoint of this training; damaged ones and those of another training are removed."""
        for _, path in sorted(self._all(), reverse=True):
            problem = self._problem(path)
            if problem is None:
                return path
            _log.warning("checkpoint %s is not resumed from: %s", path, problem)
            shutil.rmtree(path)
        return None

    def clear(self) -> None:
        """Remove all of them at the end of the training."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _all(self) -> list[tuple[int, Path]]:
        found = self._directory.glob(f"{_PREFIX}*") if self._directory.is_dir() else ()
        return [(int(path.name.removeprefix(_PREFIX)), path) for path in found]

    def _problem(self, path: Path) -> str | None:
        try:
            manifest = json.loads((path / _MANIFEST).read_text())
        except (OSError, ValueError) as error:
            return f"its manifest cannot be read ({error})"
        if manifest["fingerprint"] != self._fingerprint:
            return "it belongs to a training with other data, backbone or settings"
        found = {name: digest for name, digest in manifest_of(path).items() if name != _MANIFEST}
        return None if found == manifest["files"] else "its files are not those that were written"


class EpochSampler(Sampler[int]):  # type: ignore[misc]
    """Batches of similar length, in an order that depends on seed and epoch alone.

    transformers' `LengthGroupedSampler` draws from the global generator, whose state in the middle of an epoch differs
    between a resumed and an undisturbed training.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        """Order rows of so many tokens each; `batch_size` is of an optimiser step."""
        self._lengths = list(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before an epoch is iterated."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed((self._seed << 20) % (1 << 62) + self._epoch)
        return iter(get_length_grouped_indices(self._lengths, self._batch_size, generator=generator))


class PodiumTrainer(Trainer):  # type: ignore[misc]
    """Trainer whose interrupted and resumed training ends bit for bit like an undisturbed one.

    The training set needs a `length` column; evaluation sets are read in their own order.
    """

    def __init__(self, *, lengths: Sequence[int], checkpoints: Checkpoints, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.remove_callback(PrinterCallback)
        self._lengths = lengths
        self._checkpoints = checkpoints
        self.recent_losses: list[float] = []
        self.samples = 0
        """Training rows seen by this process."""

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """One forward and backward pass; NonFiniteLoss as soon as the loss is NaN or infinite."""
        self.samples += len(inputs["labels"])
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        value = loss.item()
        if not math.isfinite(value):
            raise NonFiniteLoss(
                f"the loss must stay finite, but it became {value} at step {self.state.global_step + 1} of "
                f"{self.state.max_steps} (learning rate {self.args.learning_rate:g}); "
                "lower training.learning_rate, or set training.precision=fp32"
            )
        self.recent_losses.append(value)
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate and restore the random state, so that evaluations do not change the weights of a training."""
        with torch.random.fork_rng(devices=[]):
            metrics: dict[str, float] = super().evaluate(*args, **kwargs)
        return metrics

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        rows = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return EpochSampler(self._lengths, rows, self.args.seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> SequentialSampler:
        return SequentialSampler(eval_dataset)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._checkpoints.partial)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # save_pretrained writes the names of the original checkpoint (BERT's `LayerNorm.gamma`), which transformers'
        # own _load_from_checkpoint does not find in the model and silently leaves untrained.
        directory = Path(output_dir or self.args.output_dir)
        directory.mkdir(parents=True, exist_ok=True)
        if has_adapters(self.model):
            trained = {name: value for name, value in self.model.named_parameters() if value.requires_grad}
            save_file(
                {name: value.detach().contiguous() for name, value in trained.items()}, directory / SAFE_WEIGHTS_NAME
            )
        else:
            save_model(self.model, str(directory / SAFE_WEIGHTS_NAME))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        target, file = model or self.model, Path(resume_from_checkpoint) / SAFE_WEIGHTS_NAME
        # Checkpoints of adapters leave out the weights that are not trained.
        load_model(target, file, strict=not has_adapters(target))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with self._checkpoints.writing(self.state.global_step):
            super()._save_checkpoint(model, trial)


@dataclass(eq=False, kw_only=True)
class Schedule(TrainerCallback):  # type: ignore[misc]
    """When to evaluate, checkpoint and stop; reports progress.

    Evaluations and checkpoints are spread evenly over each epoch of `epoch_steps` optimiser steps. What it decides
    depends only on the step and on the evaluations in the trainer's history, both of which a checkpoint holds.

    Attributes:
        evaluations: per epoch; None evaluates once at the end, 0 never.
        metric: what progress shows and `patience` watches.
        patience: after how many evaluations without improvement the training stops; None never stops it.
        started: when the training began, on `time.monotonic()`.
        timeout: seconds after which the training fails; None for no limit.
        on_evaluation: called after every evaluation with all of them so far, the share of the training done, and
            whether the model still has the weights that were evaluated. It has not while a resumed training
            repeats the evaluations from before its interruption.
    """

    epoch_steps: int
    evaluations: int | None
    checkpoints: int
    metric: str
    patience: int | None
    started: float
    timeout: float | None
    fields: dict[str, Scalar]
    on_evaluation: Callable[[list[Evaluation], float, bool], None] | None = None
    trainer: PodiumTrainer | None = None

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report the evaluations that a resumed training made before it was interrupted."""
        history = evaluations_of(state)
        for count in range(1, len(history) + 1):
            self._report(history[:count], state, fresh=False)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        step, last = state.global_step, state.global_step >= state.max_steps
        if self.timeout is not None and not last and time.monotonic() - self.started > self.timeout:
            raise TimeLimitExceeded(
                f"the training must end within {self.timeout:.0f} s, but was at step {step} of "
                f"{state.max_steps}; raise training.timeout_seconds, or train less"
            )
        # Without a number of evaluations there is one at the end; 0 asks for none.
        if self.evaluations != 0 and (last or (self.evaluations and self._due(step, self.evaluations))):
            control.should_evaluate = True
        elif last or self._due(step, 1):
            self._progress(state, score=None)
        # A finished training leaves nothing to resume.
        control.should_save = not last and self._due(step, self.checkpoints)
        return control

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        """Report the score, and stop a training that no longer improves."""
        history = evaluations_of(state)
        self._progress(state, score=history[-1].metrics[self.metric])
        self._report(history, state, fresh=True)
        if self.patience is not None and stalled([entry.metrics[self.metric] for entry in history], self.patience):
            control.should_training_stop = True
            control.should_save = False
        return control

    def _report(self, history: list[Evaluation], state: TrainerState, fresh: bool) -> None:
        if self.on_evaluation is not None:
            self.on_evaluation(history, history[-1].step / state.max_steps, fresh)

    def _due(self, step: int, per_epoch: int) -> bool:
        return step * per_epoch // self.epoch_steps > (step - 1) * per_epoch // self.epoch_steps

    def _progress(self, state: TrainerState, score: float | None) -> None:
        recent = self.trainer.recent_losses if self.trainer else []
        loss = sum(recent) / len(recent) if recent else None
        recent.clear()
        emit(
            "epoch",
            **self.fields,
            epoch=round(state.epoch, 4),
            step=state.global_step,
            steps=state.max_steps,
            loss=loss,
            metric=self.metric,
            score=score,
        )


@dataclass(frozen=True)
class Evaluation:
    """Metrics measured on held-out rows at some point of a training."""

    epoch: float
    step: int
    metrics: dict[str, float]


def evaluations_of(state: TrainerState) -> list[Evaluation]:
    """The evaluations of a training so far, those before an interruption included."""
    return [
        Evaluation(
            epoch=entry["epoch"],
            step=entry["step"],
            metrics={
                name.removeprefix("eval_"): value
                for name, value in entry.items()
                if name.startswith("eval_") and name not in _BOOKKEEPING
            },
        )
        for entry in state.log_history
        if "eval_loss" in entry
    ]


def stalled(scores: Sequence[float], patience: int) -> bool:
    """Whether none of the last `patience` scores is above the best of those before."""
    return len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience])


def loss_function(task: Task, weights: torch.Tensor | None, smoothing: float) -> Callable[..., torch.Tensor]:
    """Loss over the labelled positions of a whole optimiser step, for `Trainer(compute_loss_func=...)`.

    The sum that `Task.loss` gives, with `weights` of shape (labels,), is divided by the number of labelled positions,
    so gradient accumulation equals one large batch; with balanced weights (mean 1 over the training rows) that is the
    weighted mean in expectation.
    """

    def compute(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits = outputs["logits"].float()
        total = task.loss(logits, labels, None if weights is None else weights.to(logits.device), smoothing)
        count = (labels != IGNORED).sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        return total / count.to(total.device).clamp(min=1)

    return compute

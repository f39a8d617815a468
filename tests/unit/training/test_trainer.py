from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from transformers import TrainerControl, TrainerState, TrainingArguments

from podium.errors import ConfigError, TimeLimitExceeded
from podium.tasks.text_classification import TASK
from podium.training.train import _precision
from podium.training.trainer import Checkpoints, EpochSampler, Schedule, evaluations_of, loss_function, stalled


def test_sampler_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = [5, 90, 7, 60, 6, 61, 91, 8] * 8
    sampler = EpochSampler(lengths, 4, seed=3)
    first = list(sampler)
    torch.rand(10)
    assert list(sampler) == first and sorted(first) == list(range(64))
    sampler.set_epoch(1)
    second = list(sampler)
    assert second != first and list(EpochSampler(lengths, 4, seed=4)) != first
    fresh = EpochSampler(lengths, 4, seed=3)
    fresh.set_epoch(1)
    assert list(fresh) == second


def test_sampler_groups_similar_lengths() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(5, 200, (400,), generator=generator).tolist()
    order = list(EpochSampler(lengths, 8, seed=1))

    def padded(rows: list[int]) -> int:
        return sum(8 * max(lengths[row] for row in rows[start : start + 8]) for start in range(0, 400, 8))

    assert padded(order) < 0.75 * padded(list(range(400)))


def test_loss_is_cross_entropy_with_weights_and_smoothing() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, -100, 1, 0])
    weights = torch.tensor([0.5, 2.0, 1.0])
    loss = loss_function(TASK, weights, 0.1)({"logits": logits}, labels)
    total = functional.cross_entropy(logits, labels, weights, label_smoothing=0.1, reduction="sum")
    assert loss.item() == pytest.approx(total.item() / 5)
    plain = loss_function(TASK, None, 0.0)({"logits": logits}, labels)
    assert plain.item() == pytest.approx(functional.cross_entropy(logits, labels).item())


def test_accumulated_losses_equal_one_large_batch() -> None:
    logits, labels = torch.randn(2, 4, 3), torch.tensor([[0, 1, -100, -100], [2, 1, 0, 1]])
    compute = loss_function(TASK, None, 0.0)
    count = (labels != -100).sum()
    parts = [compute({"logits": logits[row : row + 1]}, labels[row : row + 1], count) for row in range(2)]
    assert sum(parts).item() == pytest.approx(compute({"logits": logits}, labels).item())


def test_rows_without_any_label_give_no_loss() -> None:
    loss = loss_function(TASK, None, 0.0)({"logits": torch.randn(1, 2, 3)}, torch.tensor([[-100, -100]]))
    assert loss.item() == 0


@pytest.mark.parametrize(
    ("scores", "patience", "expected"),
    [
        ([0.5], 1, False),
        ([0.5, 0.4], 1, True),
        ([0.5, 0.5], 1, True),
        ([0.5, 0.6], 1, False),
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.4, 0.5], 2, True),
        ([0.5, 0.4], 2, False),
    ],
)
def test_stalled(scores: list[float], patience: int, expected: bool) -> None:
    assert stalled(scores, patience) is expected


def schedule(**changes: object) -> Schedule:
    arguments = {
        "epoch_steps": 10,
        "evaluations": 1,
        "checkpoints": 2,
        "metric": "accuracy",
        "patience": None,
        "started": 0.0,
        "timeout": None,
        "fields": {},
    }
    return Schedule(**{**arguments, **changes})


def decisions(subject: Schedule, steps: int) -> tuple[list[int], list[int]]:
    evaluated, saved = [], []
    for step in range(1, steps + 1):
        control, state = TrainerControl(), TrainerState(epoch=step / 10, global_step=step, max_steps=steps)
        subject.on_step_end(TrainingArguments(report_to="none"), state, control)
        evaluated += [step] * control.should_evaluate
        saved += [step] * control.should_save
    return evaluated, saved


def test_evaluations_and_checkpoints_are_spread_over_epochs() -> None:
    assert decisions(schedule(), 25) == ([10, 20, 25], [5, 10, 15, 20])
    assert decisions(schedule(evaluations=3), 10) == ([4, 7, 10], [5])
    assert decisions(schedule(evaluations=None), 10) == ([10], [5])
    assert decisions(schedule(evaluations=0, checkpoints=1), 20) == ([], [10])
    assert decisions(schedule(evaluations=100, checkpoints=100), 3) == ([1, 2, 3], [1, 2])


def test_a_training_past_its_time_limit_fails_and_names_the_limit() -> None:
    state = TrainerState(epoch=0.1, global_step=1, max_steps=2)
    message = r"must end within 90 s, but was at step 1 of 2; raise training\.timeout_seconds"
    late = schedule(started=time.monotonic() - 100, timeout=90)
    with pytest.raises(TimeLimitExceeded, match=message):
        late.on_step_end(TrainingArguments(report_to="none"), state, TrainerControl())


def test_evaluations_are_read_from_the_history() -> None:
    state = TrainerState(
        log_history=[
            {"eval_loss": 1.0, "eval_accuracy": 0.5, "eval_runtime": 2.0, "epoch": 1.0, "step": 10},
            {"train_runtime": 3.0, "epoch": 1.0, "step": 10},
        ]
    )
    (evaluation,) = evaluations_of(state)
    assert (evaluation.epoch, evaluation.step, evaluation.metrics) == (1.0, 10, {"accuracy": 0.5})


def write(checkpoints: Checkpoints, step: int) -> Path:
    with checkpoints.writing(step):
        folder = checkpoints.partial / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"x" * step)
    return checkpoints.newest() or Path()


def test_newest_is_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", "mine")
    assert checkpoints.newest() is None
    write(checkpoints, 9)
    assert write(checkpoints, 10).name == "checkpoint-10"
    assert [path.name for path in (tmp_path / "c").glob("checkpoint-*")] == ["checkpoint-10"]


def test_half_written_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", "mine")
    whole = write(checkpoints, 5)
    with pytest.raises(KeyboardInterrupt), checkpoints.writing(10):
        folder = checkpoints.partial / "checkpoint-10"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt
    assert Checkpoints(tmp_path / "c", "mine").newest() == whole
    assert write(checkpoints, 10).name == "checkpoint-10", "what was left half written must not be in the way"


def test_cut_short_damaged_or_foreign_checkpoint_is_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path / "c", "mine")
    (write(checkpoints, 5) / "model.safetensors").write_bytes(b"x")
    assert checkpoints.newest() is None and "not those that were written" in caplog.text
    (write(checkpoints, 5) / "model.safetensors").write_bytes(b"xxyxx")
    assert checkpoints.newest() is None
    write(checkpoints, 6)
    assert Checkpoints(tmp_path / "c", "other").newest() is None and "belongs to a training with other" in caplog.text
    assert checkpoints.newest() is None


@pytest.mark.parametrize("device", [False, True])
def test_precision_is_what_the_device_has(monkeypatch: pytest.MonkeyPatch, device: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert _precision("auto") == {"bf16": False, "fp16": device}
    assert _precision("fp32") == {"bf16": False, "fp16": False}
    with pytest.raises(ConfigError, match="needs a GPU that has it"):
        _precision("bf16" if device else "fp16")

"""The same texts as from one prompt at a time, whichever rows are continued together."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from podium.models.prompted import generating
from podium.models.prompted.causal_lm import CausalModel
from podium.models.prompted.generating import Generated
from tests.unit.models.prompted.models import PREFIX, PROMPTS

MANY = [
    PREFIX[: 24 - at] + list(range(2000 + at, 2000 + at + size)) for at, size in enumerate((1, 40, 9, 3, 70, 5, 2, 33))
]


def generated(
    model: CausalModel, prompts: Any, most: int = 6, temperature: float = 0.0, **more: Any
) -> list[Generated]:
    seeds = list(range(len(prompts)))
    found: dict[int, Generated] = {}
    for rows, texts in model.generate(prompts, most, temperature, seeds, **more):
        assert not found.keys() & set(rows), "each row once"
        found.update(zip(rows, texts, strict=True))
    return [found[row] for row in range(len(prompts))]


def alone(model: CausalModel, prompt: list[int], most: int) -> tuple[str, int, bool]:
    """What the model itself continues, which reads the whole text for each token."""
    written: list[int] = []
    while len(written) < most and (not written or written[-1] not in model.stops):
        with torch.inference_mode():
            scores = model.model(input_ids=torch.tensor([prompt + written])).logits[0, -1]
        written.append(int(scores.argmax()))
    cut = written[-1] not in model.stops
    return model.tokenizer.decode(written if cut else written[:-1]), len(written), cut


def test_what_is_generated_is_what_the_model_continues_alone(model: CausalModel) -> None:
    found = generated(model, PROMPTS)
    assert [one[:3] for one in found] == [alone(model, prompt, 6) for prompt in PROMPTS]
    assert all(one.seconds > 0 for one in found)


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_rows_that_end_make_room_for_others(chat: CausalModel, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows end at different steps, since every third token ends a turn."""
    monkeypatch.setattr(generating, "_ROWS", {"cpu": rows})
    monkeypatch.setattr(chat, "stops", {*chat.stops, *range(0, 30_000, 3)})
    seen: list[int] = []
    step = generating._Batch.step

    def counted(batch: Any, model: Any) -> Any:
        seen.append(len(batch.rows))
        return step(batch, model)

    monkeypatch.setattr(generating._Batch, "step", counted)
    found = generated(chat, MANY, 12)
    assert [one[:3] for one in found] == [alone(chat, prompt, 12) for prompt in MANY]
    assert len({one.tokens for one in found}) > 2, "otherwise nothing is shown"
    assert max(seen) <= rows
    assert rows == 1 or len(seen) < sum(one.tokens for one in found), "rows share steps"


def test_a_long_answer_outgrows_the_memory_that_was_reserved(
    chat: CausalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generating, "_SPARE", 2)
    monkeypatch.setattr(chat, "stops", {-1})
    assert [one[:3] for one in generated(chat, PROMPTS, 9)] == [alone(chat, prompt, 9) for prompt in PROMPTS]


def test_as_many_rows_as_the_memory_of_the_cache_holds_are_continued_together(
    chat: CausalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    per_token = 2 * 2 * 16 * 4  # Keys and values of two layers with one head of 16 numbers in fp32.
    longest = max(map(len, PROMPTS)) + 9
    monkeypatch.setattr(generating, "_MEMORY", per_token * longest * 3)
    monkeypatch.setattr(chat, "stops", {-1})
    seen: list[tuple[int, int]] = []
    step = generating._Batch.step

    def counted(batch: Any, model: Any) -> Any:
        seen.append(tuple(batch.real.shape))
        return step(batch, model)

    monkeypatch.setattr(generating._Batch, "step", counted)
    generated(chat, PROMPTS, 9)
    assert 1 < max(rows for rows, _ in seen) < len(PROMPTS)
    assert max(rows * tokens for rows, tokens in seen) <= longest * 3


def test_memory_that_runs_out_halves_the_rows(chat: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, step, failed = generated(chat, MANY, 12), generating._Batch.step, []

    def small(batch: Any, model: Any) -> Any:
        if len(batch.rows) > 2:
            failed.append(len(batch.rows))
            raise torch.OutOfMemoryError
        return step(batch, model)

    monkeypatch.setattr(generating._Batch, "step", small)
    assert [one[:3] for one in generated(chat, MANY, 12)] == [one[:3] for one in expected]
    assert failed
    monkeypatch.setattr(generating._Batch, "step", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError))
    with pytest.raises(torch.OutOfMemoryError):
        generated(chat, MANY[:1], 12)


def test_sampling_depends_on_the_seed_of_a_row_and_not_on_its_batch(chat: CausalModel) -> None:
    together = generated(chat, PROMPTS, 5, 1.5)
    for row, prompt in enumerate(PROMPTS):
        (((_, (own,))),) = chat.generate([prompt], 5, 1.5, [row])
        assert own[:3] == together[row][:3]
    assert len({one.text for one in together}) > 1


def test_an_answer_in_json_ends_with_its_first_value(chat: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    written = chat.tokenizer('so { " a " : [ 1 ] } and more', add_special_tokens=False)["input_ids"]
    steps = iter(written)
    monkeypatch.setattr(generating, "_chosen", lambda scores, *_: [next(steps)] * len(scores))
    (one,) = generated(chat, PROMPTS[:1], 20, start="{")
    assert one.text.endswith("}") and not one.cut
    steps = iter(written)
    (cut,) = generated(chat, PROMPTS[:1], len(written))
    assert cut.cut and cut.tokens == len(written)

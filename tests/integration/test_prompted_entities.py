"""Named entities by a prompted model: a whole run to its verdict, then `podium infer` and `podium evaluate`."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest

from conftest import podium, podium_here
from tests.unit.data.conftest import write_jsonl
from tests.unit.models.toys import save_causal_model

pytestmark = [pytest.mark.integration, pytest.mark.slow]

NAME = ("Ada", "Lovelace")
REPLY = json.dumps({"entities": [{"text": " ".join(NAME), "label": "PER"}]})
FILLERS = [f"{one}{two}" for one in ("river", "road", "hill", "garden", "bridge", "market") for two in "abcdefgh"]


def save_finder(folder: Path) -> Path:
    """A causal model that answers every prompt with `REPLY`: it is one token, which follows the end of a prompt."""
    import torch
    from transformers import AddedToken, AutoModelForCausalLM, AutoTokenizer

    save_causal_model(folder, chat=True)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken(REPLY, normalized=False)])
    model.resize_token_embeddings(len(tokenizer))
    reply = tokenizer.convert_tokens_to_ids(REPLY)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.zero_()[:, 0] = 1
        model.lm_head.weight.zero_()
        for place, (token, following) in enumerate([(tokenizer.convert_tokens_to_ids(":"), reply), (reply, 102)], 1):
            model.model.embed_tokens.weight[token] = torch.eye(32)[place]
            model.lm_head.weight[following, place] = 9
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_rows(path: Path, count: int, seed: int) -> Path:
    """Sentences with the name once, and its two words apart twice: the most frequent tag of each is `O`."""
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        words = chance.sample(FILLERS, 7) + [*NAME] * 2
        while NAME in pairwise(words):
            chance.shuffle(words)
        place = chance.choice([n for n, word in enumerate(words) if word in FILLERS])
        tags = ["O"] * place + ["B-PER", "I-PER"] + ["O"] * (len(words) - place - 1)
        rows.append({"tokens": [*words[:place], *NAME, *words[place + 1 :]], "tags": tags})
    return write_jsonl(path, rows)


def test_a_run_with_a_prompted_model_ends_in_a_verdict(tmp_path: Path) -> None:
    model = save_finder(tmp_path / "finder")
    data, new = write_rows(tmp_path / "people.jsonl", 120, 1), write_rows(tmp_path / "new.jsonl", 12, 2)
    entrant = ("entrant=[]", "entrants.finder.kind=llm", f"entrants.finder.path={model}")
    run = podium(
        *(tmp_path, "run", "--data", str(data), "--preset", "smoke-ner", *entrant, "hpo.max_trials=1"),
        *("llm.max_new_tokens=8", "dataset.max_rows=null"),
    )
    assert run.code == 0, run.output
    assert "task: ner" in run.output and "PROMOTE" in run.output and "f1 1.000" in run.output, run.output
    with new.open("a") as stream:
        stream.write(json.dumps({"tokens": ["nobody", "is", "here"], "tags": ["O"] * 3}) + "\n")
    done = podium_here(tmp_path, "infer", "people@champion", "--data", str(new), "--all", "--run-id", "r1")
    assert "13 rows: 12 ok, 1 unparseable" in done.output, done.output
    evaluated = podium_here(tmp_path, "evaluate", "r1", "-o", "json")
    assert evaluated.code == 0, evaluated.output
    found = json.loads(evaluated.output)
    scores = {one["name"]: one["interval"]["value"] for one in found["metrics"]}
    # The reply about nobody is invalid, which counts as one wrong entity.
    assert (found["run"]["rows"], scores["recall"], scores["precision"]) == (13, 1.0, pytest.approx(12 / 13))

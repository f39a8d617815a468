"""`podium infer --backend`, from the command to the files it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import podium_here
from podium.errors import ConfigError
from podium.inference.stored import load_run
from podium.local.inference_prompt import read_labels
from tests.unit.inference.backends.chat_server import Answer, completion, said, serving

LABELS = ("politics", "sport", "tech")
ROWS = [{"id": f"n{n}", "headline": f"number {n}: {LABELS[n % 3]} again", "topic": LABELS[n % 3]} for n in range(30)]
ECHO = ("parrot", "--backend", "echo", "--data", "news.jsonl", "--label-column", "topic", "--template", "mine.yaml")
TEMPLATE = (Path(__file__).parents[1] / "inference" / "plain.yaml").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "news.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    (tmp_path / "mine.yaml").write_text(TEMPLATE)
    return tmp_path


def told(folder: Path, *arguments: str, code: int = 0) -> str:
    done = podium_here(folder, "infer", *arguments)
    assert done.code == code, done.output
    return done.output


def directory(output: str, folder: Path) -> Path:
    return folder / output.splitlines()[-1].rpartition(": ")[2]


def values(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_labels_come_from_the_label_column_and_answers_are_scored(folder: Path) -> None:
    output = told(folder, *ECHO, "--text-column", "headline", "--all")
    run = directory(output, folder)
    assert "[system] The labels are: politics, sport, tech." in output
    assert "[user] number 0: politics again\n  → politics (50.0%)" in output
    assert "against column 'topic' of 30 rows: macro_f1 1.00" in output
    about = values(run / "run.json")
    assert (about["backend"], about["template"], about["strategy"]) == ("echo", "plain", "zero-shot")
    assert about["labels"] == list(LABELS)
    assert (run / "prompt.yaml").read_text() == TEMPLATE
    assert load_run(run, folder).predictions().probabilities is not None
    again = told(folder, *ECHO, "--text-column", "headline", "--all", "--max-new-tokens", "7")
    assert directory(again, folder) != run, "another limit may give other answers"


def test_labels_of_a_file_are_shown_with_what_they_mean(folder: Path) -> None:
    arguments = ("parrot", "--backend", "echo", "--data", "news.jsonl", "--text-column", "headline")
    labels = "sport: games and players\npolitics: government\ntech: gadgets\n"
    (folder / "labels.yaml").write_text(labels)
    output = told(folder, *arguments, "--labels", "labels.yaml")
    run = values(directory(output, folder) / "run.json")
    assert "sport: games and players\n" in output.replace("    ", "") and run["labels"] == ["sport", "politics", "tech"]
    (folder / "labels.yaml").write_text(labels.replace("government", "nothing else"))
    again = told(folder, *arguments, "--labels", "labels.yaml")
    assert directory(again, folder) != directory(output, folder), "another prompt may give other answers"


@pytest.mark.parametrize("text", ["- a\n- b\n", "1: one\n2: two\n", "a: [b]\n", ""])
def test_a_file_of_labels_that_is_no_mapping_to_texts_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text(text)
    with pytest.raises(
        ConfigError, match=r"--labels .*labels.yaml must be a YAML file of lines `LABEL: what it means`"
    ):
        read_labels(str(tmp_path / "labels.yaml"))


def test_a_template_may_read_any_columns_and_answer_free_text(folder: Path) -> None:
    (folder / "ask.yaml").write_text(
        "name: ask\nversion: 3\nstrategies: {plain: {}, other: {}}\n"
        "user: 'Is {{ headline }} on {{ topic }}? {{ row.id }}'\n"
    )
    arguments = ("parrot", "--backend", "echo", "--data", "news.jsonl", "--template", "ask.yaml", "--ids", "n4")
    run = directory(told(folder, *arguments), folder)
    (line,) = load_run(run, folder).lines
    assert line.answer == "Is number 4: sport again on sport? n4"
    assert (values(run / "run.json")["task"], values(run / "run.json")["labels"]) == (None, None)


def test_few_shot_examples_come_from_a_file_and_never_from_the_rows_to_predict(folder: Path) -> None:
    rows = [{"headline": f"old {n} {LABELS[n % 3]}", "topic": LABELS[n % 3]} for n in range(9)] + ROWS[:20]
    (folder / "old.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    arguments = (*ECHO, "--text-column", "headline", "--strategy", "few-shot", "--all")
    assert "shows 4 examples, so --examples must name a file" in told(folder, *arguments, code=2)
    run = directory(told(folder, *arguments, "--examples", "old.jsonl"), folder)
    examples = values(run / "run.json")["parts"]["system"]["examples"]
    assert len(examples) == 4
    assert all(row["headline"].startswith("old ") and row["topic"] == answer for row, answer in examples)
    assert "has only 0 answered rows that are not among the rows" in told(
        folder, *arguments, "--examples", "news.jsonl", code=2
    )


def test_a_dry_run_shows_prompts_tokens_and_the_price(folder: Path) -> None:
    output = told(folder, *ECHO, "--text-column", "headline", "--all", "--dry-run", "--price", "1,2")
    assert output.count("[user] number") == 3
    assert "price: at most" in output
    assert "(at 1 and 2 per million tokens of prompts and answers)" in output
    assert not (folder / "podium-out").exists()


def test_an_endpoint_is_asked_and_its_failures_are_recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def behave(body: dict[str, Any], times: int) -> Answer:
        text = said(body)
        if "number 7:" in text:
            return Answer(400, {"error": {"message": "it cannot be 7"}})
        if "number 3:" in text and not times:
            return Answer(503, {"error": {"message": "busy"}})
        return Answer(body=completion("no idea" if "number 5:" in text else text.split()[2]))

    monkeypatch.setattr("podium.inference.backends.openai._SHORTEST_WAIT", 0.01)
    with serving(behave) as server, monkeypatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", server.url)
        arguments = ("fake", "--backend", "openai", *ECHO[3:], "--text-column", "headline", "--all")
        output = told(folder, *arguments, code=1)
        assert "--max-errors allows 0 errors, but there are 1; the last one is n7 (permanent): " in output
        assert "it cannot be 7" in output
        output = told(folder, *arguments, "--max-errors", "5%", "--price", "10,20")
    asked_twice = 1 + 8  # what was busy, and what was under way when the first call stopped
    assert len(server.bodies) <= 30 + asked_twice
    run = directory(output, folder)
    assert "30 rows: 28 ok, 1 permanent, 1 unparseable" in output
    assert "price: 0.0038 (at 10 and 20 per million tokens" in output
    lines = {line["id"]: line for line in map(json.loads, (run / "journal.jsonl").read_text().splitlines())}
    assert (lines["n3"]["outcome"], lines["n5"]["text"], lines["n5"]["answer"]) == ("ok", "no idea", None)
    assert sorted(lines) == sorted(row["id"] for row in ROWS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "eco"], 'backend must be one of .* did you mean "echo"'),
        (["--backend", "echo", "--template", "clasify"], 'did you mean "classify"'),
        (["--backend", "echo", "--strategy", "zero"], "must be one of zero-shot, few-shot"),
        (["--backend", "echo", "--backend-set", "speed=3"], "--backend-set must be NAME=VALUE with one of max_tokens"),
        (
            ["--backend", "echo", "--backend-set", "max_tokens=many"],
            "--backend-set max_tokens: Input should",
        ),
        (["--backend", "echo", "--mode", "think"], "--mode must be one of auto, decide, generate"),
        (["--backend", "echo", "--task", "nerr"], 'did you mean "ner"'),
        (["--backend", "echo", "--price", "3"], "--price must be IN,OUT per million tokens"),
        (["--backend", "echo", "--parser", "jsn"], 'parser must be one of .* did you mean "json"'),
        (["--check"], "--check asks a backend what it can; name it with --backend"),
    ],
    ids=lambda value: " ".join(value)[-30:] if isinstance(value, list) else "",
)
def test_wrong_settings_are_refused(folder: Path, arguments: list[str], said: str) -> None:
    import re

    data = ("--data", "news.jsonl", "--text-column", "headline", "--labels", "a,b")
    output = " ".join(told(folder, "parrot", *arguments, *data, code=2).split())
    assert re.search(said, output), output
    assert not (folder / "podium-out").exists()


def test_a_check_says_what_the_backend_does(folder: Path) -> None:
    output = told(folder, "parrot", "--backend", "echo", "--check")
    assert "enforces a schema          yes  enforced" in output
    assert output.count(" yes ") == 6


def test_batch_files_are_written_answered_and_read(folder: Path) -> None:
    arguments = ("gpt", "--backend", "openai", *ECHO[3:], "--text-column", "headline", "--rows", "3")
    assert "3 requests: requests.jsonl" in told(folder, *arguments, "--write-batch", "requests.jsonl")
    assert "requests.jsonl exists" in told(folder, *arguments, "--write-batch", "requests.jsonl", code=2)
    assert not (folder / "podium-out").exists()
    rows = ("--data", "requests.jsonl", "--template", "requests", "--format", "openai-batch", "-o", "done.jsonl")
    told(folder, "parrot", "--backend", "echo", *rows)
    output = told(folder, *arguments, "--read-batch", "done.jsonl")
    assert "3 rows: 3 ok" in output
    assert "accuracy 1.00" in output
    output = told(folder, *arguments[:-1], "4", "--read-batch", "done.jsonl", code=1)
    assert "goes on: 3 rows have an answer already" in output
    assert "batch files are those of --backend openai" in told(folder, *ECHO, "--read-batch", "done.jsonl", code=2)

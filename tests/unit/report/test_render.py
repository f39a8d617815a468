from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from podium.config.schema import EntrantConfig
from podium.records import PlanRecord, Reason
from podium.report import Rendered, render
from podium.selection.winner import NO_CANDIDATE
from tests.unit.report.sample_keys import key
from tests.unit.report.samples import failed_entrant, sample

HOSTILE = (
    '<script>alert("x")</script>',
    '"><img src=x onerror=alert(1)>',
    "a | b `c` *d* [e](javascript:f)",
    "tech\n# h",
)


class Page(HTMLParser):
    """Tags, attributes and text of a page, and whether every tag is closed."""

    VOID = ("meta", "link", "br", "img")
    SELF_CLOSED = ("line", "circle", "path")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    return render(sample())


def test_the_answer_comes_first(rendered):
    text = Page(rendered.html).text
    answer = text[text.index("PROMOTE") : text.index("Leaderboard", text.index("PROMOTE"))]
    for said in ("minilm", "0.976", "0.962 to 0.989", "5.68 ms", "measurably better than the incumbent"):
        assert said in answer


def test_page_is_well_formed_and_asks_for_nothing(rendered):
    page = Page(rendered.html)
    assert page.open == []
    assert not [tag for tag, _ in page.tags if tag in ("script", "iframe", "object", "embed", "base", "form")]
    links = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("href", "src")]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"url\(|@import|https?://", rendered.html)


def test_anchors_lead_somewhere(rendered):
    page = Page(rendered.html)
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    anchors = {attributes["href"][1:] for tag, attributes in page.tags if tag == "a"}
    assert anchors <= targets


def test_charts_have_words_and_tables_have_headers(rendered):
    page = Page(rendered.html)
    images = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(images) == 11
    assert all(attributes["aria-label"] for attributes in images)
    assert "minilm 0.977 (0.962 to 0.989)" in images[0]["aria-label"]
    headers = [attributes for tag, attributes in page.tags if tag == "th"]
    assert headers
    assert all("scope" in attributes for attributes in headers)


@pytest.mark.parametrize(
    "said",
    [
        "better-than-incumbent",
        "measurably worse",
        "Confusion matrix",
        "OutOfMemory: 3.2 GB needed",
        "AMD EPYC 7B13",
        "Duplicates dropped",
        "sport/199.txt: not UTF-8",
        "research use",
        "podium run preset=quickstart output=out",
        "version 4",
        "learning_rate",
        "transformers",
        "p99 needs at least 500 samples",
    ],
)
def test_the_evidence_is_there(rendered, said):
    assert said in Page(rendered.html).text


def test_lineage_names_keys_parents_and_runs(rendered):
    text = Page(rendered.html).text
    lineage = text[text.rindex("Lineage") : text.rindex("Reproduce")]
    for name in ("data", "study-minilm", "refit-bert-tiny", "selection", "benchmark", "decision"):
        assert key(name)[:12] in lineage
    assert key("run-refit-minilm")[:32] in lineage
    assert key("data-artifact")[:12] in lineage


def test_hostile_text_stays_text():
    html = render(sample(labels=HOSTILE, command=HOSTILE[0])).html
    page = Page(html)
    assert page.open == []
    assert not [tag for tag, _ in page.tags if tag in ("script", "img")]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    for label in HOSTILE:
        assert label in page.text


def test_hostile_text_stays_text_in_markdown():
    plain = render(sample(labels=HOSTILE, command="podium run\n~~~\n<script>")).markdown
    body, command = plain.split("## Reproduce")
    assert "<script" not in body
    assert "<img" not in body
    rows = [line for line in body.splitlines() if "javascript" in line and line.startswith("|")]
    assert rows
    tables = [part.splitlines() for part in body.split("\n\n") if part.startswith("|")]
    assert all(len({len(re.findall(r"(?<!\\)\|", row)) for row in table}) == 1 for table in tables)
    assert not [line for line in body.splitlines() if line == "# h"]
    assert command.split("### ")[0].count("\n~~~") == 2


def test_credentials_are_left_out():
    inputs = sample(command="podium run dataset.path=postgresql://ada:hunter2@db/news")
    config = inputs.run.config
    dataset = config.dataset.model_copy(update={"path": "mysql+pymysql://ada:hunter2@db/news"})
    run = inputs.run.model_copy(update={"config": config.model_copy(update={"dataset": dataset})})
    found = render(sample(run=run, command=inputs.command))
    assert "hunter2" not in found.html + found.markdown
    assert "***@db/news" in found.html


def test_entities_instead_of_a_matrix():
    text = Page(render(sample("ner", entrants=("bert-tiny",), trials=3)).html).text
    assert "Scores per entity" in text
    assert "Confusion matrix" not in text
    assert "entity F1" in text


def test_many_labels_show_the_most_frequent_confusions():
    html = render(sample(labels=tuple(f"intent-{number}" for number in range(60)))).html
    assert "Most frequent confusions" in html
    assert "Confusion matrix of" not in html
    assert "intent-59" in html
    assert len(html) < 400_000


def test_no_winner_says_why():
    reasons = (
        Reason(code=NO_CANDIDATE, text="No champion is both good enough and within the constraints."),
        Reason(code="no-winner", text="No candidate of this run may be promoted."),
    )
    changes = {"verdict": "REJECT", "winner": None, "winner_variant": None, "reasons": reasons, "incumbent": None}
    inputs = sample()
    found = render(sample(decision=inputs.decision.model_copy(update=changes)))
    text = " ".join(Page(found.html).text.split())
    assert "No model is fit to ship. No champion is both good enough" in text
    assert "★ winner" not in text
    assert "score" not in found.metrics
    assert found.metrics["promoted"] == 0


def test_entrants_that_the_plan_left_out_are_named_with_the_reason():
    plan = PlanRecord(key="0" * 64, entrants=("minilm", "bert-tiny"), left_out={"large": "it does not fit into 5 min"})
    found = render(sample(plan=plan))
    text = " ".join(Page(found.html).text.split())
    assert "2 of 3 entrants competed; large left out by the plan." in text
    assert "large was left out by the plan: it does not fit into 5 min" in text
    assert "| large (left out) |" in found.markdown


def test_what_speaks_against_the_score_stands_beside_it():
    inputs, said = sample(), Reason(code="test-rows-differ", text="It scores 0.4 on the test rows, but 0.9 elsewhere.")
    changes = {
        "decision": inputs.decision.model_copy(update={"reasons": (*inputs.decision.reasons, said)}),
        "data": inputs.data.model_copy(update={"cautions": ("texts that name their own label: 8 of 9",)}),
        "plan": PlanRecord(key="0" * 64, entrants=("minilm", "bert-tiny"), lines={"Caution": "hardly trained"}),
    }
    answer = " ".join(Page(render(sample(**changes)).html).text.split()).partition("held-out rows")[2][:1000]
    for text in (said.text, "Caution: texts that name their own label: 8 of 9.", "Caution: hardly trained."):
        assert text in answer


def test_entrants_that_failed_are_named_with_cause_and_log():
    inputs = sample()
    entrants = {**inputs.run.config.entrants, "deberta-v3-small": EntrantConfig(path="pkg:deberta/model")}
    run = inputs.run.model_copy(update={"config": inputs.run.config.model_copy(update={"entrants": entrants})})
    found = render(sample(run=run, failed=(failed_entrant("deberta-v3-small", step="refit"),)))
    text = " ".join(Page(found.html).text.split())
    assert "2 of 3 entrants competed; deberta-v3-small failed." in text
    assert "deberta-v3-small failed in step refit: a training must fit into memory, but it ran out; lower" in text
    assert "(log: /runs/1/steps/hpo-x/log.txt)" in text
    assert "| deberta-v3-small (failed) |" in found.markdown
    assert found.metrics["failed_entrants"] == 1


def test_nothing_measured_and_nothing_ranked_still_render():
    inputs = sample()
    benchmark = inputs.benchmark.model_copy(update={"measurements": (), "variants": ()})
    selection = inputs.selection.model_copy(
        update={"leaderboard": (), "comparisons": (), "warnings": ("minilm: too few",)}
    )
    found = render(sample(benchmark=benchmark, selection=selection))
    text = Page(found.html).text
    assert "Nothing was measured." in text
    assert "minilm: too few" in text


def test_metrics_are_numbers_for_other_tools(rendered):
    assert all(isinstance(value, (int, float)) for value in rendered.metrics.values())
    assert rendered.metrics["score"] == pytest.approx(0.976, abs=1e-3)
    assert rendered.metrics["latency_p50_ms"] == pytest.approx(5.68, abs=1e-2)
    assert rendered.metrics["bert-tiny.score"] < rendered.metrics["minilm.score"]
    assert rendered.metrics["trials"] == 16


def test_saved_files(rendered, tmp_path):
    rendered.save(tmp_path / "report")
    assert (tmp_path / "report" / "report.html").read_text(encoding="utf-8") == rendered.html
    assert (tmp_path / "report" / "report.md").read_text(encoding="utf-8") == rendered.markdown
    assert json.loads((tmp_path / "report" / "metrics.json").read_text()) == rendered.metrics


def test_equal_inputs_give_equal_pages(rendered):
    assert render(sample()) == rendered


def test_the_answer_in_markdown_keeps_its_spaces(rendered):
    assert "**minilm** as **onnx** reaches macro F1 **0.976** (95% interval" in rendered.markdown


def test_trials_on_a_share_of_the_rows_are_said_to_be(rendered):
    inputs = sample()
    hpo = inputs.run.config.hpo.model_copy(update={"data_fraction": 0.2})
    run = inputs.run.model_copy(update={"config": inputs.run.config.model_copy(update={"hpo": hpo})})
    said = "Each fold trained on 20% of its rows, where the champion trained on all."
    assert said in render(sample(run=run)).markdown and said not in rendered.markdown


def test_markdown_tables_are_whole(rendered):
    lines = rendered.markdown.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("|-"):
            width = line.count("|")
            assert lines[number - 1].count("|") == width
            row = number + 1
            while row < len(lines) and lines[row].startswith("|"):
                assert lines[row].count("|") == width
                row += 1
            assert row > number + 1


def test_a_short_study_says_why_its_importance_is_absent_and_a_long_one_shows_it():
    short = render(sample(trials=8))
    assert "The importance of parameters needs at least 8 succeeded trials, but minilm has 6" in short.html
    assert "| Parameter | Best value | Importance |" not in short.markdown
    long = render(sample(trials=20, entrants=("minilm",)))
    assert "importance of parameters needs" not in long.html
    rows = long.markdown.split("| Parameter | Best value | Importance |")[1].split("\n\n")[0].splitlines()[2:]
    assert {row.split("|")[1].strip() for row in rows} == {"batch size", "learning rate", "warmup ratio"}
    assert sum(int(row.split("|")[3].strip(" %")) for row in rows) in (99, 100, 101)


def test_a_study_of_one_trial_has_no_charts_of_its_parameters():
    page = render(sample(trials=1, entrants=("minilm",))).html
    assert "Charts of the parameters need 2 trials with a score." in page
    search = page.split('id="search"')[1]
    assert 'class="parallel"' not in search and 'class="slices"' not in search


def test_the_best_by_score_is_named_where_another_model_is_shipped(rendered):
    assert "Best by score" not in rendered.html
    given = sample()
    cheaper = given.decision.model_copy(update={"winner": "bert-tiny"})
    page = render(sample(decision=cheaper)).html
    answer = page[: page.index("Leaderboard</h2>")] if "Leaderboard</h2>" in page else page
    assert "Best by score" in answer and "minilm" in answer

"""Named entity recognition: each word of a sentence has a BIO tag.

Metrics: entity-level micro `f1`, `precision` and `recall` as the CoNLL-2000 script `conlleval` counts them, which is
the default mode of seqeval: an entity is right when its type and both its ends are, and an `I-X` that follows no `X`
opens an entity (seqeval's `mode="strict"` would drop it); `token_accuracy`, the share of words with the right tag. A
sentence without a valid answer counts as one predicted entity that is wrong, and all its words as wrong. A ratio whose
denominator is zero counts as 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from podium.errors import InputError
from podium.tasks import ner_columns
from podium.tasks.base import IGNORED, NO_ANSWER, Decoded, Task, Training
from podium.tasks.columns import Choice, Column, encodable, found, shown
from podium.tasks.metrics import (
    COUNTS_WHOLES,
    Additive,
    Answers,
    Metric,
    counts_f1,
    counts_precision,
    counts_recall,
    grouped,
    share_of,
)
from podium.tasks.tags import OUTSIDE
from podium.tasks.text_classification import score_rows

Sentence = Sequence[str]

_NO_ENTITY = "\0no valid answer"
"""Type of the one entity that a sentence without a valid answer is scored with; no data set has it."""


def _tags(answers: Answers) -> tuple[list[list[str]], list[list[str]]]:
    """Tags of truth and answers as seqeval takes them."""
    truth = [list(tags) for tags in answers.truth]
    nothing = (f"B-{_NO_ENTITY}", f"I-{_NO_ENTITY}")
    predicted = [
        [nothing[place > 0] for place in range(len(true))] if tags is None else list(tags)
        for true, tags in zip(truth, answers.predicted, strict=True)
    ]
    return truth, predicted


def _f1(answers: Answers) -> float:
    from seqeval.metrics import f1_score

    return float(f1_score(*_tags(answers), zero_division=0))


def _entity_sums(statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Callable[[Answers], Additive]:
    """A statistic of entities: how many are right, predicted and true, summed over sentences."""

    def compute(answers: Answers) -> Additive:
        from seqeval.metrics.sequence_labeling import get_entities

        counts = []
        for tags, answered in zip(*_tags(answers), strict=True):
            true, predicted = set(get_entities(tags)), set(get_entities(answered))
            counts.append((len(true & predicted), len(predicted), len(true)))
        return Additive(*grouped(np.array(counts, dtype=np.int64)), statistic, COUNTS_WHOLES[statistic])

    return compute


def _token_sums(answers: Answers) -> Additive:
    pairs = list(zip(*_tags(answers), strict=True))
    right = [sum(a == b for a, b in zip(true, predicted, strict=True)) for true, predicted in pairs]
    return share_of(np.array(right, dtype=np.int64), np.array([len(true) for true, _ in pairs], dtype=np.int64))


class Ner(Task):
    """A BIO tag per word."""

    name = "ner"
    title = "named entity recognition"
    content: ClassVar[Literal["text", "tokens"]] = "tokens"
    target = "tags"
    unit = "sentences"
    kinds_word = "entity types"
    several = True
    content_names = ("tokens", "words", "word", "token")
    target_names = ("tags", "ner_tags", "labels", "ner", "bio_tags", "tag")
    rewritten = "tags that began an entity with I- and were rewritten to B- (BIO1 to BIO2)"
    head = "ForTokenClassification"
    problem_type = None
    pipeline = "token-classification"
    # The parser of mlflow 3.17 fails on a sentence without entities, so it is given every word's tag, `O` too.
    pyfunc: ClassVar[Mapping[str, Any]] = {"ignore_labels": []}
    decoding = "tokens"
    features = "words"
    probabilities = False
    # Most words are no entity, so that a tagger answers nothing for long before it answers something.
    search = "ner"
    updates = 1500
    least_updates = 250
    example: ClassVar[str | list[str]] = ["a", "few", "words"]
    shipped = "conll2003"
    metrics = (
        Metric("f1", _entity_sums(counts_f1), _f1, title="entity F1"),
        Metric("precision", _entity_sums(counts_precision)),
        Metric("recall", _entity_sums(counts_recall)),
        Metric("token_accuracy", _token_sums, objective=False),
    )

    def content_problem(self, value: Any) -> str | None:
        if not isinstance(value, list):
            return f"must be a list of tokens, but {found(value)}"
        if not value:
            return "must hold tokens, but is empty"
        for number, token in enumerate(value):
            if not isinstance(token, str):
                return f"must hold text tokens, but token {number} is {shown(token)}"
            if not token:
                return f"must hold text tokens, but token {number} is empty"
        return None

    def read_target(self, value: Any, content: Any, options: Mapping[str, Any]) -> tuple[list[str], int]:
        if not isinstance(value, list):
            raise ValueError(f"must be a list of tags, but {found(value)}")
        if len(value) != len(content):
            raise ValueError(f"must have one tag per token, but {len(value)} tags for {len(content)} tokens")
        if problem := invalid_tag(value):
            raise ValueError(problem)
        return to_bio2(value)

    def as_text(self, content: Sentence) -> str:
        return "\0".join(content)

    def kinds(self, target: Sequence[str]) -> Collection[str]:
        return {tag[2:] for tag in target if tag != OUTSIDE}

    def label_space(self, kinds: Iterable[str]) -> tuple[str, ...]:
        """`O`, then `B-` of each type in order, then `I-` of each."""
        ordered = sorted(kinds)
        return (OUTSIDE, *(f"B-{name}" for name in ordered), *(f"I-{name}" for name in ordered))

    def kinds_of(self, labels: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(label[2:] if label[1:2] == "-" else label for label in labels if label != OUTSIDE))

    def kinds_problem(self, kinds: Sequence[str], rows: int, column: str) -> str | None:
        if kinds:
            return None
        return (
            "a data set for named entity recognition must have entities, but every tag is 'O'; check "
            "dataset.label_column, or the last column of a CoNLL file"
        )

    def recognises(self, columns: Sequence[Column]) -> bool:
        return ner_columns.recognised(columns, self.target_names)

    def choose_columns(self, columns: Sequence[Column], content: str | None, target: str | None) -> Choice:
        return ner_columns.choose_both(columns, content, target, self.content_names, self.target_names)

    def choose_content(self, columns: Sequence[Column], given: str | None, target: str | None) -> tuple[str, str]:
        return ner_columns.choose_words(columns, given, target, self.content_names, self.target_names)

    def encode(
        self, tokenizer: Any, contents: Sequence[Any], targets: Sequence[Any], labels: int, max_length: int
    ) -> dict[str, list[Any]]:
        """The first sub-word of a word carries its tag; its other sub-words and the special tokens carry `IGNORED`.

        A word that is cut off, or of which the tokenizer leaves nothing, is not in `words`.
        """
        encoded = tokenizer(
            [list(words) for words in contents],
            is_split_into_words=True,
            truncation=True,
            max_length=max_length,
            padding=False,
        )
        marks: list[list[int]] = []
        seen: list[list[int]] = []
        for row, tags in enumerate(targets):
            words = encoded.word_ids(row)
            first = [word is not None and word != before for before, word in zip([None, *words], words, strict=False)]
            marks.append([tags[word] if is_first else IGNORED for is_first, word in zip(first, words, strict=True)])
            seen.append([word for is_first, word in zip(first, words, strict=True) if is_first])
        lengths = [len(ids) for ids in encoded["input_ids"]]
        return {**dict(encoded), "labels": marks, "words": seen, "length": lengths}

    def collator(self, tokenizer: Any) -> Any:
        from transformers import DataCollatorForTokenClassification

        return DataCollatorForTokenClassification(tokenizer)

    def linear_targets(self, targets: Sequence[Sequence[int]], labels: int) -> NDArray[np.int64]:
        return np.concatenate([np.asarray(tags, dtype=np.int64) for tags in targets])

    def reduce(self, logits: Any) -> Any:
        """The best label of each word, and `NO_ANSWER` for a word that the model did not see."""
        if not isinstance(logits, np.ndarray):
            return logits.argmax(dim=-1)
        return np.where(np.isnan(logits[:, 0]), NO_ANSWER, logits.argmax(axis=-1))

    def unpad(self, reduced: Any, marks: Any, words: Sequence[Sequence[int]] | None, sizes: Sequence[int]) -> Any:
        rows = []
        for best, labels, seen, size in zip(reduced, marks, words or (), sizes, strict=True):
            row = np.full(size, NO_ANSWER)
            row[seen] = best[labels != IGNORED]
            rows.append(row)
        return rows

    def decode(self, reduced: Any, labels: Sequence[str]) -> Decoded:
        """A tag per word; one that the model did not see is `O`."""
        tags = [*labels, OUTSIDE]  # NO_ANSWER is the last one
        return Decoded([[tags[best] for best in row] for row in reduced])

    def truth(self, targets: Sequence[Any], labels: Sequence[str]) -> list[list[str]]:
        return [[labels[tag] for tag in row] for row in targets]

    def checked(self, values: Any, labels: Sequence[str], ids: Sequence[str], truth: Any = None) -> Any:
        """One tuple of tags per sentence; None where there is no valid answer."""
        rows = tuple(None if tags is None else tuple(str(tag) for tag in tags) for tags in values)
        if truth is None and None in rows:
            raise InputError(f"truth must have tags for every row, but row {ids[rows.index(None)]} has none")
        for row, true, answered in zip(ids, rows if truth is None else truth, rows, strict=True):
            if answered is not None and len(true) != len(answered):
                raise InputError(
                    "truth and predicted must have one tag per token, "
                    f"but row {row} has {len(true)} and {len(answered)}"
                )
        return rows

    def named(self, values: Any, labels: Sequence[str]) -> list[Any]:
        return [None if tags is None else list(tags) for tags in values]

    def numbered(self, names: Sequence[Any], labels: Sequence[str]) -> Any:
        return names

    def check_probabilities(self, values: NDArray[np.float64], answered: NDArray[np.bool_]) -> None:
        raise InputError("probabilities are not kept for ner, but were given")

    def agreement(self, one: Sequence[Any], other: Sequence[Any]) -> float:
        rows = zip(one, other, strict=True)
        # A sentence without a valid answer counts as one word.
        pairs = [pair for a, b in rows for pair in (zip(a, b, strict=True) if a and b else [(a, b)])]
        return float(np.mean([a == b for a, b in pairs]))

    def details(self, answers: Answers) -> dict[str, Any]:
        from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support

        truth, predicted = _tags(answers)
        columns = precision_recall_fscore_support(truth, predicted, zero_division=0)
        types = sorted({kind for rows in (truth, predicted) for kind, *_ in get_entities(rows)})
        scores = score_rows(types, columns)
        return {"scores": {name: row for name, row in scores.items() if name != _NO_ENTITY}, "scores_of": "entity"}

    def baseline(self, rows: Training, contents: Sequence[Sentence], labels: Sequence[str]) -> Decoded:
        """The most frequent tag of each word, and for words never seen the most frequent tag of all."""
        return self.decode(_frequent_tags(rows, contents), labels)


def invalid_tag(tags: Iterable[object]) -> str | None:
    """Say what is wrong with the first tag that is not `O`, `B-TYPE` or `I-TYPE`; None when all are fine."""
    for tag in tags:
        if not isinstance(tag, str):
            return (
                f"must hold tags such as 'O' or 'B-PER' as text, but got {tag!r}; name numbers with "
                "dataset.label_names=[O,B-PER,...], or in a file labels.txt beside the data"
            )
        if tag != OUTSIDE and (tag[:2] not in ("B-", "I-") or len(tag) == 2):
            return f"must hold BIO tags ('O', 'B-TYPE' or 'I-TYPE'), but got {tag!r}; convert other schemes first"
        if not encodable(tag):
            return f"must hold tags that UTF-8 can encode, but got {tag!r}"
    return None


def to_bio2(tags: Sequence[str]) -> tuple[list[str], int]:
    """Return the tags in BIO2 and how many were rewritten.

    BIO2 (Tjong Kim Sang and Veenstra, 1999) begins every entity with `B-`; BIO1 (Ramshaw and Marcus, 1995) only one
    that directly follows another of its type. Writing `B-` for every `I-` that does not continue an entity of its type
    turns BIO1 into BIO2 and leaves BIO2 as it is.
    """
    begins = [tag[0] == "I" and before[2:] != tag[2:] for before, tag in zip([OUTSIDE, *tags], tags, strict=False)]
    return [f"B-{tag[2:]}" if new else tag for tag, new in zip(tags, begins, strict=True)], sum(begins)


def _frequent_tags(rows: Training, asked: Sequence[Sentence]) -> list[list[int]]:
    of_word: dict[str, Counter[int]] = defaultdict(Counter)
    overall: Counter[int] = Counter()
    for sentence, tags in zip(rows.contents, rows.targets, strict=True):
        overall.update(tags)
        for word, tag in zip(sentence, tags, strict=True):
            of_word[word][tag] += 1
    best = {word: _most_frequent(counts) for word, counts in of_word.items()}
    default = _most_frequent(overall)
    return [[best.get(word, default) for word in sentence] for sentence in asked]


def _most_frequent(counts: Counter[int]) -> int:
    return min(counts, key=lambda tag: (-counts[tag], tag))


TASK = Ner()

"""The contract of a task: what a data set is labelled for, and all that follows from it.

A task is one class in one file, and one instance without state in the registry `podium.tasks.TASKS`. No other package
asks which task it has: it asks the task. The base class has what holds for tasks whose rows are texts, one vector of
logits each; a task whose rows are lists of words overrides what differs. Tasks know nothing of configs, stores or
models: they are given plain values, and import torch and scikit-learn only inside the methods that use them, since
every command loads them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from podium.tasks.columns import Choice, Column, ambiguous, by_name, missing, shown, text_column
from podium.tasks.metrics import Answers, Metric

IGNORED = -100
"""Label of a position that is neither learned nor scored."""

NO_ANSWER = -1
"""In an array of label indices: the model gave no valid answer."""

Decoding = Literal["single", "multi", "tokens"]
Features = Literal["terms", "words"]


class Decoded(NamedTuple):
    """What a model answers for some rows: `predicted` as `Task.checked` takes it, and probabilities where known."""

    predicted: Any
    probabilities: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Option:
    """A setting of a task, `dataset.options.NAME`: its default value, and a sentence that describes it."""

    default: bool | int | float | str
    description: str


class Training(NamedTuple):
    """Rows that a model learns from: texts or lists of words, and for each its label index or indices."""

    contents: Sequence[Any]
    targets: Sequence[Any]


class LabelChoice(NamedTuple):
    """One choice that the labels of all rows make, and how likely a model finds each of its outcomes.

    Attributes:
        given: index of the outcome in each row, shape (rows,).
        probabilities: of the outcomes, shape (rows, outcomes).
        names: of the outcomes, for people.
    """

    given: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    names: tuple[str, ...]


class Task(ABC):
    """What a data set can be labelled for.

    Attributes:
        name: as configs and records give it.
        title: as sentences give it, such as "a data set for text classification".
        content: column of a prepared data set that holds the texts, or the lists of words.
        target: column that holds the label index, or the list of them.
        unit: the word for several rows.
        kinds_word: the word for what splits and folds are balanced by, see `kinds`.
        every_kind: whether every split and every fold must have rows of every kind. Otherwise kinds that are too rare
            for that are only warned of.
        content_names: usual names of the content column beside the default of `dataset.text_column`.
        target_names: usual names of the target column beside the default of `dataset.label_column`.
        rewritten: what a warning calls the labels or tags that `read_target` rewrote, before their number.
        head: suffix of the transformers class with the head, such as `ForSequenceClassification`.
        problem_type: `problem_type` of the model's configuration, from which transformers takes the loss.
        pipeline: the pipeline of transformers that serves the model, and the tag of its model card.
        pyfunc: settings of that pipeline where MLflow serves it.
        decoding: how logits become answers outside Podium, see `podium.models.onnx_package`.
        features: what a linear model sees of a row: `terms` of its text, or the `words` of its list and those around
            each, see `podium.models.linear_package`.
        example: an input that exporters and compilers may follow.
        examples: texts that a served model answers as its example.
        search: the option of the group `hpo` whose search space suits the task.
        updates: updates of the weights, each of 16 rows, after which a small pretrained model gains little from more;
            from `least_updates` on its score tells something of its hyperparameters.
        shipped: the shipped data set whose contents are the input of a benchmark where none are given.
        metrics: by importance. The first one is what a study maximises by default.
        probabilities: whether models give a probability for each label, as in `Decoded`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    content: ClassVar[Literal["text", "tokens"]] = "text"
    target: ClassVar[str] = "label"
    unit: ClassVar[str] = "rows"
    kinds_word: ClassVar[str] = "labels"
    every_kind: ClassVar[bool] = False
    several: ClassVar[bool] = False
    content_names: ClassVar[tuple[str, ...]] = ()
    target_names: ClassVar[tuple[str, ...]] = ()
    rewritten: ClassVar[str] = "labels that were rewritten"
    options: ClassVar[Mapping[str, Option]] = {}
    head: ClassVar[str] = "ForSequenceClassification"
    problem_type: ClassVar[str | None]
    pipeline: ClassVar[str] = "text-classification"
    # Without it, the pipeline fails on a text that is longer than what the model reads.
    pyfunc: ClassVar[Mapping[str, Any]] = {"truncation": True}
    decoding: ClassVar[Decoding]
    features: ClassVar[Features] = "terms"
    example: ClassVar[str | list[str]] = "a few words"
    examples: ClassVar[tuple[str, ...]] = ("A match in London", "Shares fell")
    search: ClassVar[str] = "classification"
    updates: ClassVar[int] = 600
    least_updates: ClassVar[int] = 40
    shipped: ClassVar[str] = "bbc-news"
    metrics: ClassVar[tuple[Metric, ...]]
    probabilities: ClassVar[bool] = True

    @property
    def words(self) -> bool:
        """Whether a row is a list of words, each of which the model answers."""
        return self.decoding == "tokens"

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the metrics that a study may maximise; the first one is the default."""
        return tuple(metric.name for metric in self.metrics if metric.objective)

    # Reading rows

    def content_problem(self, value: Any) -> str | None:
        """What is wrong with the content of a row as its file holds it; None when it is fine."""
        if not isinstance(value, str):
            return "is missing" if missing(value) else f"must be text, but got {shown(value)}"
        return "must hold text, but is empty" if not value or value.isspace() else None

    @abstractmethod
    def read_target(self, value: Any, content: Any, options: Mapping[str, Any]) -> tuple[Any, int]:
        """The target of a row, from what its file holds and the row's content, which has no problem.

        Returns:
            The label, or the list of labels or tags, as text; and how many of them were rewritten to another form of
            the same meaning.

        Raises:
            ValueError: the value is no target; the message completes "field 'label': ...".
        """

    def as_text(self, content: Any) -> str:
        """The content as one text, equal for equal contents only."""
        return str(content)

    @abstractmethod
    def kinds(self, target: Any) -> Collection[str]:
        """What splits and folds are balanced by: the label of the row, its labels, or what its tags name."""

    def label_space(self, kinds: Iterable[str]) -> tuple[str, ...]:
        """The labels of a model, in the order of its outputs, for a data set with these kinds."""
        return tuple(sorted(kinds))

    def kinds_of(self, labels: Sequence[str]) -> tuple[str, ...]:
        """What a row may be labelled with where these are the labels of a model: `label_space` the other way round."""
        return tuple(labels)

    def kinds_problem(self, kinds: Sequence[str], rows: int, column: str) -> str | None:
        """Why nothing can be learned from rows with these kinds, of `dataset.label_column`; None when something can."""
        if len(kinds) > 1:
            return None
        only = f"the only one of its {rows} rows is {kinds[0]!r}" if kinds else f"its {rows} rows have none"
        return (
            f"a data set for {self.title} must have at least two labels, but {only}; check dataset.label_column "
            f"({column!r})"
        )

    def label_doubts(self, counts: Mapping[str, int], column: str) -> list[str]:
        """What looks wrong with the labels, for people, from the number of rows of each and their column."""
        return []

    @abstractmethod
    def recognises(self, columns: Sequence[Column]) -> bool:
        """Whether a data set with these columns is clearly one for this task."""

    def choose_columns(self, columns: Sequence[Column], content: str | None, target: str | None) -> Choice:
        """The columns that hold content and target; those that the user names are given.

        Raises:
            InputError: a column is missing, or several may be meant; the message lists them and the flag to use.
        """
        name, reason = text_column(columns, content, target, self.name)
        return Choice(name, reason, *self.choose_target(columns, name, target))

    def choose_content(self, columns: Sequence[Column], given: str | None, target: str | None) -> tuple[str, str]:
        """The column that a model reads, and why, in rows that may have no target; errors as for `choose_columns`."""
        return text_column(columns, given, target, self.name)

    def choose_target(
        self, columns: Sequence[Column], content: str, given: str | None
    ) -> tuple[str, str, Sequence[str]]:
        """Column of the target, why it is this one, and the labels seen; errors as for `choose_columns`.

        By default it is the given one, or one with a usual name, and what it holds is left to `read_target`.
        """
        name = given or by_name([one for one in columns if one.name != content], (self.target, *self.target_names))
        if name is None:
            raise ambiguous("label", "--label-column", columns)
        return name, "given" if given else "by its name", ()

    # Training

    def fits(self, architecture: str, config: Mapping[str, Any]) -> bool:
        """Whether a model of this architecture, with this configuration of transformers, is one for this task."""
        return architecture.endswith(self.head) and config.get("problem_type") in (None, self.problem_type)

    def encode(
        self, tokenizer: Any, contents: Sequence[Any], targets: Sequence[Any], labels: int, max_length: int
    ) -> dict[str, list[Any]]:
        """Model inputs of some rows, cut to `max_length` tokens and unpadded.

        Columns: those of the tokenizer; `labels` as the loss takes them; `length` in tokens; and, where a row is a list
        of words, `words`: the word behind each labelled position, in order.

        Args:
            targets: label index or indices of each row.
        """
        encoded = dict(tokenizer(list(contents), truncation=True, max_length=max_length, padding=False))
        return {
            **encoded,
            "labels": self.encode_targets(targets, labels),
            "length": [len(ids) for ids in encoded["input_ids"]],
        }

    def encode_targets(self, targets: Sequence[Any], labels: int) -> list[Any]:
        """The targets of rows as the loss takes them."""
        return list(targets)

    def collator(self, tokenizer: Any) -> Any:
        """What pads encoded rows to a batch."""
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(tokenizer)

    def classes(self, targets: Sequence[Any]) -> NDArray[np.int64] | None:
        """A class for each row, of which a share of the training rows takes equal shares; None to take any rows."""
        return None

    def linear_targets(self, targets: Sequence[Any], labels: int) -> NDArray[np.int64]:
        """What a linear model learns for each of its inputs, which are texts, or the words of all rows in order.

        Args:
            targets: label index or indices of each row.

        Returns:
            Label indices of shape (inputs,), or of shape (inputs, labels) a 1 for each label that an input has.
        """
        return np.asarray(targets, dtype=np.int64)

    def balanced_weights(self, labels: Sequence[Any], count: int) -> NDArray[np.float64]:
        """Weight of each of `count` labels in the loss, from the labels of all rows as `encode` gives them.

        These are the balanced weights of scikit-learn: rows / (classes * rows of the class), and 1 for a class that
        never occurs.
        """
        values = np.concatenate([np.atleast_1d(row) for row in labels])
        counts = np.bincount(values[values != IGNORED], minlength=count)
        present = counts > 0
        weights = np.ones(count)
        weights[present] = counts.sum() / (present.sum() * counts[present])
        return weights

    def loss(self, logits: Any, labels: Any, weights: Any, smoothing: float) -> Any:
        """Sum of the losses of all labelled positions of a batch, as a scalar tensor.

        Args:
            logits: float32 tensor of shape (rows, labels) or (rows, tokens, labels).
            labels: as `encode` gives them, padded.
            weights: tensor of `balanced_weights`; None weighs all labels alike.
            smoothing: label smoothing of Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7.
        """
        from torch.nn import functional

        return functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]),
            labels.reshape(-1),
            weight=weights,
            label_smoothing=smoothing,
            ignore_index=IGNORED,
            reduction="sum",
        )

    # Decoding

    @abstractmethod
    def reduce(self, logits: Any) -> Any:
        """What is kept of logits, float64 probabilities or label indices, from which `decode` makes answers.

        Args:
            logits: a torch tensor of a batch, or a numpy array of one row. In a row of words, one that the model did
                not see has NaN for logits.
        """

    @abstractmethod
    def decode(self, reduced: Any, labels: Sequence[str]) -> Decoded:
        """The answers of rows, from what `reduce` keeps of each."""

    def unpad(self, reduced: Any, marks: Any, words: Sequence[Sequence[int]] | None, sizes: Sequence[int]) -> Any:
        """Row by row what `decode` takes, from padded batches that the trainer put together.

        Args:
            reduced: what `reduce` kept of the logits.
            marks: the labels that the trainer saw, padded with `IGNORED`.
            words: the column `words` of `encode`, where there is one.
            sizes: number of words of each row; of no meaning where rows are texts.
        """
        return reduced

    # Predictions

    def truth(self, targets: Sequence[Any], labels: Sequence[str]) -> Any:
        """The truth of rows as `checked` takes it, from their label index or indices."""
        return np.asarray(targets)

    @abstractmethod
    def checked(self, values: Any, labels: Sequence[str], ids: Sequence[str], truth: Any = None) -> Any:
        """The truth of the rows `ids`, or the answers for them, in the one form in which `Predictions` holds them.

        Args:
            truth: None to check the truth. The checked truth, to check answers, which a row may be without.

        Raises:
            InputError: the values are no such answers, or do not fit the truth; the message says what they must be.
        """

    @abstractmethod
    def named(self, values: Any, labels: Sequence[str]) -> list[Any]:
        """Checked truth or answers by name: a text or a list of texts per row, None where there is no valid answer."""

    @abstractmethod
    def numbered(self, names: Sequence[Any], labels: Sequence[str]) -> Any:
        """What `named` gives, turned back into what `checked` takes.

        Raises:
            KeyError: a name is no label.
        """

    @abstractmethod
    def check_probabilities(self, values: NDArray[np.float64], answered: NDArray[np.bool_]) -> None:
        """Check probabilities of the right shape, (rows, labels).

        Raises:
            InputError: they are none that this task gives; the message says what they must be.
        """

    def agreement(self, one: Sequence[Any], other: Sequence[Any]) -> float:
        """Share of rows, or of words where rows are lists of them, that are answered alike; both as `named` gives."""
        return float(np.mean([a == b for a, b in zip(one, other, strict=True)]))

    def label_choices(self, answers: Answers) -> Sequence[LabelChoice]:
        """The choices that may have been made wrongly when the rows were labelled; none where nothing is known.

        Answers have probabilities.
        """
        return ()

    # Scores

    def further_metrics(self, positive: int | None) -> tuple[Metric, ...]:
        """What an evaluation shows beside `metrics`.

        Args:
            positive: index of the label that is looked for; only tasks with one label per row are given one.
        """
        return ()

    @abstractmethod
    def details(self, answers: Answers) -> dict[str, Any]:
        """What lies behind the metrics, as JSON-like values that the report shows.

        `scores` maps a name to its precision, recall, f1 and support, and `scores_of` is the word for these names.
        Where one of several labels is the answer, `labels` names them and `confusion` has counts by true label (rows)
        and predicted label (columns) in their order.
        """

    @abstractmethod
    def baseline(self, rows: Training, contents: Sequence[Any], labels: Sequence[str]) -> Decoded:
        """What is most frequent in `rows`, as the answer for `contents`; equal arguments give equal answers."""

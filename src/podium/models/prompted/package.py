"""A prompted model: a prompt with its examples, a language model, and how its answers are read.

This code is checked, measured and served. A package is a directory with the files of a causal language model as
transformers saves them, and `prompt.json`, which has

- `task`; `decoding`, `single`, `multi` or `tokens`; `labels`, and where words are tagged `types`, those of entities;
  and `mode`, `decide` or `generate`;
- `descriptions`, what labels mean, by label;
- `system`, `user` and `example`, Jinja templates that see the text as `text` and in `row`, `labels`, `descriptions`,
  and `asked`, the label in question where each is asked for alone;
- `answer`, the JSON schema of a generated answer or null;
- `examples` that every prompt shows, or `pool`, of which every prompt shows the `shown` most similar ones, each with
  `text` and `answer`, which for words is the list of entities;
- `max_length`, tokens after which a text is cut; `max_new_tokens`; `prior`, what is subtracted from the logits, or
  null; and `precision`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from . import ABOUT
from .causal_lm import CausalModel
from .chat import template_environment
from .generating import Generated
from .replies import read_json, read_label, read_tags, schema_start, split_reasoning

YES_NO = ("yes", "no")
"""The options where every label is asked for alone."""

_WORD = re.compile(r"\w+")


class PromptPackage:
    """A prompted model, loaded and ready.

    Attributes:
        task: name of the task in Podium.
        decoding: `single` where one label is the answer, `multi` where each label is asked for alone, and `tokens`
            where a row is a list of words, whose tags follow from the entities that the model names.
        labels: in the order of the logits.
        generates: whether it writes its answers, which have no logits then.
        about: what `prompt.json` says.
    """

    def __init__(self, folder: Path, device: str = "cpu", about: Any = None, model: Any = None) -> None:
        """Load a package.

        Args:
            about: in place of what the folder says, where no package was made of the model yet.
            model: in place of the model in the folder, where it is loaded already.

        Raises:
            OSError, ValueError: a file of the package is missing or damaged.
        """
        self.about: dict[str, Any] = about or read_about(folder)
        try:
            self.task, self.decoding = str(self.about["task"]), str(self.about["decoding"])
            self.labels = tuple(map(str, self.about["labels"]))
            self.generates = self.about["mode"] == "generate"
            self._named = tuple(self.about["types"]) if self.decoding == "tokens" else self.labels
            environment = template_environment()
            self._texts = {part: environment.from_string(self.about[part]) for part in ("system", "user", "example")}
            self.model: CausalModel = model or CausalModel(folder, self.about["precision"], device)
            self._chat, self._is_shared = self.model.chat, False
        except (KeyError, TypeError, jinja2.TemplateError) as error:
            raise ValueError(f"{folder} must be a prompted model of Podium, but: {error!r}; write it again") from error

    def __call__(self, rows: Sequence[Any]) -> list[Any]:
        """The answer for each row: a label, a list of labels, or the tags of its words; None where it is not valid."""
        if not len(rows):
            return []
        encoded = self.encode(rows)
        return self.answers(rows, encoded, self.forward(encoded))

    def encode(self, rows: Sequence[Any]) -> list[list[int]]:
        """The prompts of rows; what all of them begin with is computed once before."""
        self._share()
        return self.prompts(rows)

    def forward(self, encoded: Sequence[Sequence[int]]) -> Any:
        """The replies to prompts, or log-likelihoods of shape (prompts, options)."""
        return self._replies(encoded) if self.generates else self._decided(encoded)

    def answers(self, rows: Sequence[Any], encoded: Any, outputs: Any) -> list[Any]:
        """The answers for rows, from what `forward` gives of their prompts."""
        if self.generates:
            return self._read_replies(rows, outputs)
        found = (self._of_labels(outputs) - self._prior).astype(np.float32)
        if self.decoding == "multi":
            return [[one for one, logit in zip(self.labels, row, strict=True) if logit > 0] for row in found]
        return [self.labels[int(row.argmax())] for row in found]

    def logits(self, rows: Sequence[Any]) -> list[NDArray[np.float32]]:
        """Logits of each text, shape (labels,), without the prior."""
        return list((self.likelihoods(rows) - self._prior).astype(np.float32))

    @property
    def _prior(self) -> NDArray[np.float64]:
        return np.array(self.about["prior"] or [0.0] * len(self.labels))

    def likelihoods(self, rows: Sequence[Any], labels: Sequence[str] | None = None) -> NDArray[np.float64]:
        """Log-likelihood of every label as the answer, shape (rows, labels); for `multi`, that of yes minus that of no.

        Args:
            labels: the order in which the prompt lists the labels; the columns keep the order of `self.labels`.
        """
        if not len(rows):
            return np.zeros((0, len(self.labels)))
        self._share()
        return self._of_labels(self._decided(self.prompts(rows, labels)))

    def _decided(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        options = [self._chat.option(prompts[0], option) for option in self.options]
        found = np.zeros((len(prompts), len(options)))
        for places, scores, _ in self.model.decide(prompts, options):
            found[places] = scores
        return found

    def _of_labels(self, found: NDArray[np.float64]) -> NDArray[np.float64]:
        return found if self.decoding == "single" else (found[:, 0] - found[:, 1]).reshape(-1, len(self.labels))

    def _replies(self, prompts: Sequence[Sequence[int]]) -> list[Generated]:
        replies: dict[int, Generated] = {}
        limit, seeds, start = self.about["max_new_tokens"], [0] * len(prompts), schema_start(self.about["answer"])
        for places, texts in self.model.generate(prompts, limit, 0.0, seeds, start):
            replies |= dict(zip(places, texts, strict=True))
        return [replies[place] for place in range(len(prompts))]

    def _read_replies(self, rows: Sequence[Any], replies: Sequence[Generated]) -> list[Any]:
        each = len(replies) // max(len(rows), 1)
        found = [self.read(reply, rows[place // each]) for place, reply in enumerate(replies)]
        if self.decoding != "multi":
            return found
        of_row = [found[at : at + len(self.labels)] for at in range(0, len(found), len(self.labels))]
        return [
            None if None in own else [one for one, said in zip(self.labels, own, strict=True) if said == "yes"]
            for own in of_row
        ]

    def read(self, reply: Generated, row: Any) -> Any:
        """The option that a reply means, or the tags of the words of its row; None where that is not clear.

        A reply that was cut off means nothing, even if a label stands in it.
        """
        if reply.cut:
            return None
        text = self._chat.without_special(split_reasoning(reply.text)[0])
        if self.decoding == "tokens":
            return read_tags(text, self._named, row)
        if self.about["answer"] is None:
            return read_label(text, self.options)
        parsed = read_json(text, self.options)
        return parsed.answer if parsed is not None and isinstance(parsed.answer, str) else None

    def tokens(self, rows: Sequence[Any]) -> list[int]:
        """Tokens that the model is given for each row, those of its prompts and of all options."""
        prompts = self.prompts(rows)
        more = 0 if self.generates else sum(len(self._chat.option(prompts[0], one)) for one in self.options)
        each = len(prompts) // len(rows)
        return [sum(len(one) + more for one in prompts[at : at + each]) for at in range(0, len(prompts), each)]

    @property
    def options(self) -> tuple[str, ...]:
        """What may be answered to a prompt; for words it is what an entity may be."""
        return YES_NO if self.decoding == "multi" else self._named

    def prompts(self, rows: Sequence[Any], labels: Sequence[str] | None = None) -> list[list[int]]:
        """Token numbers of the prompt of each row, or of its prompts, one per label.

        Raises:
            ValueError: a prompt and an answer do not fit the model.
        """
        asked: Sequence[str | None] = self.labels if self.decoding == "multi" else (None,)
        more = self.about["max_new_tokens"] if self.generates else 16
        found = []
        for row in rows:
            text = row if isinstance(row, str) else " ".join(row)
            short = self._chat.cut(text, self.about["max_length"])
            for label in asked:
                messages = self.messages(short, label, labels or self._named)
                prompt = self._chat.prompt(messages, decide=not self.generates)
                if self.model.longest is not None and len(prompt) + more > self.model.longest:
                    raise ValueError(
                        f"prompt and answer must fit the model's {self.model.longest} tokens, but need {len(prompt)} + "
                        f"{more}; lower llm.max_length or llm.examples"
                    )
                found.append(prompt)
        return found

    def _share(self) -> None:
        """Have what all prompts begin with computed once, also where texts come one by one."""
        if not self._is_shared:
            rows: list[Any] = [["a"], ["1"]] if self.decoding == "tokens" else ["a", "1"]
            self.model.shared(self.prompts(rows)[:: len(self.labels) if self.decoding == "multi" else 1])
            self._is_shared = True

    def messages(self, text: str, asked: str | None, labels: Sequence[str]) -> list[dict[str, str]]:
        """The conversation that asks for one text."""
        common = {"labels": list(labels), "descriptions": self.about["descriptions"], "asked": asked}

        def rendered(part: str, content: str, **more: Any) -> str:
            return self._texts[part].render({"text": content, "row": {"text": content}, **common, **more}).strip()

        found = []
        if self.about["system"]:
            found.append({"role": "system", "content": rendered("system", text)})
        for example in self._shown(text):
            answer = example["answer"]
            if asked is not None:
                answer = YES_NO[0 if asked in answer else 1]
            found.append({"role": "user", "content": rendered("user", example["text"])})
            found.append({"role": "assistant", "content": rendered("example", example["text"], answer=answer)})
        return [*found, {"role": "user", "content": rendered("user", text)}]

    def _shown(self, text: str) -> list[dict[str, Any]]:
        if not self.about["pool"]:
            return list(self.about["examples"])
        pool, shown = self.about["pool"], self.about["shown"]
        return [pool[place] for place in self._similar.nearest(text, shown)[::-1]]

    @cached_property
    def _similar(self) -> Similar:
        return Similar([one["text"] for one in self.about["pool"]])


def read_about(folder: Path) -> dict[str, Any]:
    """What the `prompt.json` of a package says; a ValueError if it cannot be read."""
    path = folder / ABOUT
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must be whole, but cannot be read: {error}; write the model again") from error
    return found


class Similar:
    """Finds the texts with the most words in common, weighed by their rarity: the cosine of TF-IDF vectors."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(_words(text)) for text in texts]
        found = Counter(word for count in counts for word in count)
        self._idf = {word: math.log(len(texts) / number) + 1 for word, number in found.items()}
        self._rows: dict[str, list[tuple[int, float]]] = {}
        self._size = len(texts)
        for row, count in enumerate(counts):
            for word, weight in self._vector(count).items():
                self._rows.setdefault(word, []).append((row, weight))

    def nearest(self, text: str, count: int) -> list[int]:
        """Numbers of the texts, the most similar one first; of equally similar ones the earlier one."""
        scores = np.zeros(self._size)
        for word, weight in self._vector(Counter(_words(text))).items():
            for row, own in self._rows.get(word, ()):
                scores[row] += weight * own
        found: list[int] = np.argsort(-scores, kind="stable")[:count].tolist()
        return found

    def _vector(self, counts: Mapping[str, int]) -> dict[str, float]:
        raw = {word: (1 + math.log(n)) * self._idf[word] for word, n in counts.items() if word in self._idf}
        length = math.sqrt(sum(weight * weight for weight in raw.values())) or 1.0
        return {word: weight / length for word, weight in raw.items()}


def _words(text: str) -> Iterator[str]:
    return (match.group() for match in _WORD.finditer(text.lower()))

"""From messages to the tokens of a model, by its own chat template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MARK = "\u2042"


def template_environment() -> jinja2.Environment:
    """What the templates of prompts run in; their filter `json` writes a value as a model is to write it."""
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment


class Chat:
    """A tokenizer with its chat template. Without one, messages are joined by empty lines.

    Attributes:
        end: tokens that end an answer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
        self._special = sorted({*tokenizer.all_special_tokens, *added})
        self._system = not tokenizer.chat_template or self._takes_system()
        self.end = self._end_of_turn()

    def prompt(self, messages: Sequence[Mapping[str, str]], decide: bool = False) -> list[int]:
        """Token numbers of a conversation up to where the answer begins.

        Special tokens that stand in the messages are broken up by a blank, so that no row can end its own turn.

        Args:
            decide: the answer follows at once, and not after a reasoning channel.
        """
        return self._ids(self._text([{**one, "content": self._plain(one["content"])} for one in messages], decide))

    def option(self, prompt: Sequence[int], option: str) -> list[int]:
        """Token numbers of an answer behind a prompt, with those that end it."""
        tail = self.tokenizer.decode(prompt[-4:])
        before, both = self._ids(tail), self._ids(tail + self._plain(option))
        own = both[len(before) :] if both[: len(before)] == before else self._ids(self._plain(option))
        return [*own, *self.end]

    def _text(self, messages: Sequence[Mapping[str, str]], decide: bool) -> str:
        if not self.tokenizer.chat_template:
            return "\n\n".join([*(one["content"] for one in messages), ""])
        if not self._system and messages[0]["role"] == "system":
            first = {"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
            messages = [first, *messages[2:]]
        text: str = self.tokenizer.apply_chat_template(
            [dict(one) for one in messages], tokenize=False, add_generation_prompt=True, enable_thinking=not decide
        )
        # The format of gpt-oss names the channel of every text of the assistant.
        return text + (
            "<|channel|>final<|message|>" if decide and "<|channel|>" in self.tokenizer.chat_template else ""
        )

    def _takes_system(self) -> bool:
        try:
            messages = [{"role": "system", "content": _MARK}, {"role": "user", "content": "?"}]
            return _MARK in self.tokenizer.apply_chat_template(messages, tokenize=False)
        except Exception:  # templates raise errors of Jinja's and of their own
            return False

    def _end_of_turn(self) -> list[int]:
        """What ends an answer: the token of the chat template that does, or an empty line."""
        if not self.tokenizer.chat_template:
            return self._ids("\n\n") or [self.tokenizer.eos_token_id]
        messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _MARK}]
        after = self.tokenizer.apply_chat_template(messages, tokenize=False).rpartition(_MARK)[2]
        return self._ids(after)[:1] or [self.tokenizer.eos_token_id]

    def _ids(self, text: str) -> list[int]:
        # A chat template writes the token that begins a text itself.
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _plain(self, text: str) -> str:
        for token in self._special:
            if len(token) > 1 and token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def cut(self, text: str, tokens: int) -> str:
        """The beginning of a text that has at most so many tokens."""
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=self.tokenizer.is_fast)
        if len(found["input_ids"]) <= tokens:
            return text
        if self.tokenizer.is_fast:
            return text[: found["offset_mapping"][tokens - 1][1]]
        short: str = self.tokenizer.decode(found["input_ids"][:tokens])
        return short

    def without_special(self, text: str) -> str:
        """A text that was generated, without the special tokens that are left in it."""
        for token in self._special:
            text = text.replace(token, "")
        return text.strip()

"""Rows -> tokens: the prompt, the response, and which tokens are learned."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaqual.job import JobError, Text
from alpaqual.trainers._alpaca import WITH_INPUT, WITHOUT_INPUT

_AT_ONCE = 1_000


@dataclass(frozen=True)
class Example:
    """A row as tokens. Tokens before `learned` (at least 1: nothing comes before the first) carry no loss."""

    id: str
    tokens: tuple[int, ...]
    learned: int

    @property
    def loss_tokens(self) -> int:
        """How many tokens carry loss."""
        return len(self.tokens) - self.learned


@dataclass(frozen=True)
class Examples:
    """What a dataset comes to; `truncated` lost their end, `dropped` are not trained on."""

    all: tuple[Example, ...]
    truncated: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def tokens(self) -> int:
        """Tokens of all examples."""
        return sum(len(example.tokens) for example in self.all)

    @property
    def loss_tokens(self) -> int:
        """Tokens of all examples that carry loss."""
        return sum(example.loss_tokens for example in self.all)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a dataset: id, instruction, input, output."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def alpaca_prompt(row: Mapping[str, str]) -> str:
    """What the model reads before its response."""
    # Not str.format: a row may hold braces.
    template = WITH_INPUT if row["input"] else WITHOUT_INPUT
    before, rest = template.split("{instruction}")
    middle, _, after = rest.partition("{input}")
    return before + row["instruction"] + (middle + row["input"] + after if row["input"] else middle)


def chat_texts(row: Mapping[str, str], tokenizer: Any) -> tuple[str, str]:
    """Prompt and response of a row in the tokenizer's chat template.

    Raises JobError where the template does not put the response behind what it asks with.
    """
    asked = row["instruction"] + (f"\n\n{row['input']}" if row["input"] else "")
    turns = [{"role": "user", "content": asked}]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(
        [*turns, {"role": "assistant", "content": row["output"]}], tokenize=False, add_generation_prompt=False
    )
    if not whole.startswith(prompt):
        raise JobError(
            f"row {row['id']}: the chat template writes another prompt when a response follows it; train with prompt: alpaca"
        )
    return prompt, whole[len(prompt) :]


def encode(rows: Sequence[Mapping[str, str]], tokenizer: Any, text: Text) -> Examples:
    """Every row as tokens.

    Raises JobError where the tokenizer cannot do what is asked.
    """
    if text.prompt == "chat" and not tokenizer.chat_template:
        raise JobError("the tokenizer has no chat template: train with prompt: alpaca")
    if text.prompt == "alpaca" and tokenizer.eos_token_id is None:
        raise JobError("the tokenizer has no end-of-text token, so that a model would never learn to stop")
    kept, truncated, dropped = [], [], []
    for row, (prompt, response) in zip(rows, _token_pairs(rows, tokenizer, text.prompt), strict=True):
        tokens = (*prompt, *response)
        if len(tokens) > text.max_length:
            # A row whose prompt alone is too long has nothing left to learn.
            if text.too_long == "drop" or len(prompt) >= text.max_length:
                dropped.append(row["id"])
                continue
            truncated.append(row["id"])
            tokens = tokens[: text.max_length]
        kept.append(Example(row["id"], tokens, 1 if text.loss_on == "all" else max(len(prompt), 1)))
    return Examples(tuple(kept), tuple(truncated), tuple(dropped))


def _token_pairs(
    rows: Sequence[Mapping[str, str]], tokenizer: Any, prompt: str
) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """(prompt, response) of each row as tokens; the prompt's are those that it has by itself, as when the model is asked."""
    chat = prompt == "chat"

    def trimmed(ids: list[int]) -> list[int]:
        # Some tokenizers put the end-of-text token behind every text; a template writes its own first and last tokens.
        return ids[:-1] if ids and not chat and ids[-1] == tokenizer.eos_token_id else ids

    end = [] if chat else [tokenizer.eos_token_id]
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        texts = [chat_texts(row, tokenizer) if chat else (alpaca_prompt(row), row["output"]) for row in part]
        prompts = _ids(tokenizer, [asked for asked, _ in texts], not chat)
        wholes = _ids(tokenizer, [asked + answer for asked, answer in texts], not chat)
        alone = _ids(tokenizer, [answer for _, answer in texts], False)
        for before, whole, answer in zip(map(trimmed, prompts), wholes, alone, strict=True):
            # A token may span both texts; a model that is asked sees the prompt's own tokens, so it learns from those.
            response = whole[len(before) :] if whole[: len(before)] == before else answer
            yield before, [*trimmed(response), *end]


def _ids(tokenizer: Any, texts: list[str], special: bool) -> list[list[int]]:
    found: list[list[int]] = tokenizer(texts, add_special_tokens=special, truncation=False)["input_ids"]
    return found

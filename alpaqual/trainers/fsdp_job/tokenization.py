"""Rows to token ids: the prompt, the response, and which tokens have loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from alpaqual.job import JobError, Text
from alpaqual.trainers._chat import Row, RowError, Tokens, name_of, notes_on, tokenize_chat
from alpaqual.trainers._rows import as_triple
from alpaqual.training_prompts import alpaca_prompt

_ROWS_PER_CALL = 1_000
"""Rows handed to the tokenizer at once."""


@dataclass(frozen=True)
class Example:
    """A row as token ids. `loss` has the (start, end) of tokens with loss, from 1 on, as nothing predicts the first token."""

    id: str
    tokens: tuple[int, ...]
    loss: tuple[tuple[int, int], ...]

    @property
    def loss_tokens(self) -> int:
        """Tokens with loss."""
        return sum(end - start for start, end in self.loss)


@dataclass(frozen=True)
class Examples:
    """The rows of a dataset as token ids. `truncated` and `dropped` are ids of rows that were too long, or had no loss.

    `notes` say what the chat template cannot render, and what is done instead.
    """

    all: tuple[Example, ...]
    truncated: tuple[str, ...]
    dropped: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(len(example.tokens) for example in self.all)

    @property
    def loss_tokens(self) -> int:
        """Tokens with loss of all rows."""
        return sum(example.loss_tokens for example in self.all)


def tokenize(rows: Sequence[Row], tokenizer: Any, text: Text) -> Examples:
    """Tokenize rows, and truncate or drop those longer than `text.max_length`.

    Raises JobError where the tokenizer has no chat template or no end-of-text token, or where a row cannot be rendered.
    """
    if text.prompt == "chat" and not tokenizer.chat_template:
        raise JobError("the tokenizer has no chat template: train with prompt: alpaca")
    if text.prompt == "alpaca" and tokenizer.eos_token_id is None:
        raise JobError("the tokenizer has no end-of-text token, so a model could not learn to stop")
    kept, truncated, dropped = [], [], []
    chat = text.prompt == "chat"
    try:
        found = list(tokenize_chat(rows, tokenizer, text.loss_on) if chat else _tokenize_alpaca(rows, tokenizer, text))
    except RowError as error:
        raise JobError(str(error)) from None
    for row, whole in zip(rows, found, strict=True):
        tokens = whole.kept(text.max_length, text.too_long)
        if tokens is None:
            dropped.append(name_of(row))
            continue
        if tokens is not whole:
            truncated.append(name_of(row))
        kept.append(Example(name_of(row), tokens.ids, tokens.loss))
    notes = notes_on(rows, tokenizer) if chat else []
    return Examples(tuple(kept), tuple(truncated), tuple(dropped), tuple(notes))


def _tokenize_alpaca(rows: Sequence[Row], tokenizer: Any, text: Text) -> Iterator[Tokens]:
    """Yield each row as tokens; the prompt is tokenized by itself, as at inference.

    Raises RowError for a conversation that is more than a question and its answer.
    """

    def without_end(ids: list[int]) -> list[int]:
        # Some tokenizers append the end-of-text token to every text.
        return ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids

    for start in range(0, len(rows), _ROWS_PER_CALL):
        part = [as_triple(row) for row in rows[start : start + _ROWS_PER_CALL]]
        texts = [(alpaca_prompt(row), row["output"]) for row in part]
        prompts = _token_ids(tokenizer, [prompt for prompt, _ in texts], True)
        wholes = _token_ids(tokenizer, [prompt + response for prompt, response in texts], True)
        responses = _token_ids(tokenizer, [response for _, response in texts], False)
        for before, whole, alone in zip(map(without_end, prompts), wholes, responses, strict=True):
            # A token may span prompt and response; at inference the prompt has its own tokens, so those are trained on.
            response = whole[len(before) :] if whole[: len(before)] == before else alone
            tokens = (*before, *without_end(response), tokenizer.eos_token_id)
            first = 1 if text.loss_on == "all" else max(len(before), 1)
            yield Tokens(tokens, ((first, len(tokens)),), len(before))


def _token_ids(tokenizer: Any, texts: list[str], special: bool) -> list[list[int]]:
    found: list[list[int]] = tokenizer(texts, add_special_tokens=special, truncation=False)["input_ids"]
    return found

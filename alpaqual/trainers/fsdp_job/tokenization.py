"""Rows to token ids: the prompt, the response, and which tokens have loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alpaqual.job import JobError, Text
from alpaqual.trainers._alpaca import WITH_INPUT, WITHOUT_INPUT

_ROWS_PER_CALL = 1_000
"""Rows handed to the tokenizer at once."""


@dataclass(frozen=True)
class Example:
    """A row as token ids. Tokens before `loss_start` have no loss; it is at least 1, as nothing predicts the first token."""

    id: str
    tokens: tuple[int, ...]
    loss_start: int

    @property
    def loss_tokens(self) -> int:
        """Tokens with loss."""
        return len(self.tokens) - self.loss_start


@dataclass(frozen=True)
class Examples:
    """The rows of a dataset as token ids. `truncated` and `dropped` are ids of rows that were too long."""

    all: tuple[Example, ...]
    truncated: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(len(example.tokens) for example in self.all)

    @property
    def loss_tokens(self) -> int:
        """Tokens with loss of all rows."""
        return sum(example.loss_tokens for example in self.all)


def alpaca_prompt(row: Mapping[str, str]) -> str:
    """The text before the response, in Stanford Alpaca's prompt."""
    # Not str.format: a row may contain braces.
    template = WITH_INPUT if row["input"] else WITHOUT_INPUT
    before, rest = template.split("{instruction}")
    middle, _, after = rest.partition("{input}")
    return before + row["instruction"] + (middle + row["input"] + after if row["input"] else middle)


def chat_prompt_and_response(row: Mapping[str, str], tokenizer: Any) -> tuple[str, str]:
    """Prompt and response of a row in the tokenizer's chat template.

    Raises JobError where the template renders another prompt once a response follows.
    """
    question = row["instruction"] + (f"\n\n{row['input']}" if row["input"] else "")
    turns = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(
        [*turns, {"role": "assistant", "content": row["output"]}], tokenize=False, add_generation_prompt=False
    )
    if not whole.startswith(prompt):
        raise JobError(
            f"row {row['id']}: the chat template renders another prompt once a response follows; train with prompt: alpaca"
        )
    return prompt, whole[len(prompt) :]


def tokenize(rows: Sequence[Mapping[str, str]], tokenizer: Any, text: Text) -> Examples:
    """Tokenize rows, and truncate or drop those longer than `text.max_length`.

    Raises JobError where the tokenizer has no chat template or no end-of-text token.
    """
    if text.prompt == "chat" and not tokenizer.chat_template:
        raise JobError("the tokenizer has no chat template: train with prompt: alpaca")
    if text.prompt == "alpaca" and tokenizer.eos_token_id is None:
        raise JobError("the tokenizer has no end-of-text token, so a model could not learn to stop")
    kept, truncated, dropped = [], [], []
    for row, (prompt, response) in zip(rows, _tokenize_pairs(rows, tokenizer, text.prompt), strict=True):
        tokens = (*prompt, *response)
        if len(tokens) > text.max_length:
            # Where the prompt alone fills max_length, truncation leaves no token of the response.
            if text.too_long == "drop" or len(prompt) >= text.max_length:
                dropped.append(row["id"])
                continue
            truncated.append(row["id"])
            tokens = tokens[: text.max_length]
        kept.append(Example(row["id"], tokens, 1 if text.loss_on == "all" else max(len(prompt), 1)))
    return Examples(tuple(kept), tuple(truncated), tuple(dropped))


def _tokenize_pairs(
    rows: Sequence[Mapping[str, str]], tokenizer: Any, prompt: str
) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Yield (prompt, response) of each row as token ids; the prompt is tokenized by itself, as at inference."""
    chat = prompt == "chat"

    def without_end(ids: list[int]) -> list[int]:
        # Some tokenizers append the end-of-text token to every text; a chat template writes its own special tokens.
        return ids[:-1] if ids and not chat and ids[-1] == tokenizer.eos_token_id else ids

    end = [] if chat else [tokenizer.eos_token_id]
    for start in range(0, len(rows), _ROWS_PER_CALL):
        part = rows[start : start + _ROWS_PER_CALL]
        texts = [
            chat_prompt_and_response(row, tokenizer) if chat else (alpaca_prompt(row), row["output"]) for row in part
        ]
        prompts = _token_ids(tokenizer, [prompt for prompt, _ in texts], not chat)
        wholes = _token_ids(tokenizer, [prompt + response for prompt, response in texts], not chat)
        responses = _token_ids(tokenizer, [response for _, response in texts], False)
        for before, whole, alone in zip(map(without_end, prompts), wholes, responses, strict=True):
            # A token may span prompt and response; at inference the prompt has its own tokens, so those are trained on.
            response = whole[len(before) :] if whole[: len(before)] == before else alone
            yield before, [*without_end(response), *end]


def _token_ids(tokenizer: Any, texts: list[str], special: bool) -> list[list[int]]:
    found: list[list[int]] = tokenizer(texts, add_special_tokens=special, truncation=False)["input_ids"]
    return found

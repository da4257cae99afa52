"""The prompts that models are trained with, and asked with later.

The Alpaca prompts are those of Stanford Alpaca's train.py (PROMPT_DICT, verbatim), which the paper trains with (section 3.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)


def alpaca_prompt(row: Mapping[str, Any]) -> str:
    """The text before the response of a row with instruction and input, in Stanford Alpaca's prompt."""
    # Not str.format: a row may contain braces.
    template = WITH_INPUT if row["input"] else WITHOUT_INPUT
    before, rest = template.split("{instruction}")
    middle, _, after = rest.partition("{input}")
    given: tuple[str, str] = row["instruction"], row["input"]
    return before + given[0] + (middle + given[1] + after if given[1] else middle)


def user_turn(instruction: str, input: str) -> str:
    """An instruction and its input as one turn of a chat, as training renders them."""
    return f"{instruction}\n\n{input}" if input else instruction

"""The request that asks a model to answer a question of a test set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from alpaqual.registry import find
from alpaqual.training_prompts import alpaca_prompt, user_turn
from alpaqual.values import Question, Request


def answer_request(
    model: str,
    question: Question,
    prompt: Literal["alpaca", "chat"],
    parameters: Mapping[str, Any],
    *,
    trained: bool = False,
) -> Request:
    """The request for an answer, with the prompt that training renders; `model` is the model id of requests.

    Models that take plain text get the Alpaca prompt as it is, providers get it as a user turn. With `trained`, a chat template
    is applied as training applies it; otherwise thinking is switched off. A conversation in the Alpaca prompt is its transcript.
    """
    plugin = find("llm", model.partition("/")[0])
    if prompt == "alpaca":
        text = alpaca_prompt({"instruction": question.instruction, "input": question.input})
        how = {"prompt": "plain"} if getattr(plugin, "PLAIN", False) else {}
        return Request(model, (("user", text),), {**parameters, **how})
    turns = question.messages or (("user", user_turn(question.instruction, question.input)),)
    how = {"prompt": "trained" if trained else "chat"} if plugin.LOCAL else {}
    return Request(model, turns, {**parameters, **how})

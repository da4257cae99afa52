"""The request for an answer: training's prompt, as plain text where the model takes it."""

from __future__ import annotations

import pytest

from alpaqual.plan.answer_requests import answer_request
from alpaqual.training_prompts import alpaca_prompt, user_turn
from alpaqual.values import Question, Request

QUESTION = Question("1", "Add {input}.", "1 {instruction}")
PROMPT = alpaca_prompt({"instruction": QUESTION.instruction, "input": QUESTION.input})
TALK = Question(
    "2",
    "User: Hi.\n\nAssistant: Hello.\n\nUser: Why?",
    messages=(("user", "Hi."), ("assistant", "Hello."), ("user", "Why?")),
)
SETTINGS = {"temperature": 0, "max_tokens": 1024}


def test_the_alpaca_prompt_is_plain_text_for_local_models_and_a_turn_for_providers() -> None:
    local = answer_request("local/abc", QUESTION, "alpaca", SETTINGS)
    assert local == Request("local/abc", (("user", PROMPT),), {**SETTINGS, "prompt": "plain"})
    assert PROMPT.endswith("### Instruction:\nAdd {input}.\n\n### Input:\n1 {instruction}\n\n### Response:")
    provider = answer_request("openai/gpt-4o-mini", QUESTION, "alpaca", SETTINGS)
    assert provider == Request("openai/gpt-4o-mini", (("user", PROMPT),), SETTINGS)
    assert "### Instruction:\nUser: Hi." in answer_request("local/abc", TALK, "alpaca", SETTINGS).messages[0][1]


@pytest.mark.parametrize("question", [QUESTION, TALK])
def test_a_chat_has_the_turns_of_the_question(question: Question) -> None:
    turns = question.messages or (("user", "Add {input}.\n\n1 {instruction}"),)
    assert answer_request("openai/gpt-4o-mini", question, "chat", SETTINGS) == Request(
        "openai/gpt-4o-mini", turns, SETTINGS
    )
    for trained, how in ((False, "chat"), (True, "trained")):
        request = answer_request("local/abc", question, "chat", SETTINGS, trained=trained)
        assert request == Request("local/abc", turns, {**SETTINGS, "prompt": how})


def test_a_question_without_an_input_has_no_place_for_one() -> None:
    assert user_turn("Why?", "") == "Why?"
    assert "Input" not in answer_request("local/a", Question("1", "Why?"), "alpaca", {}).messages[0][1]

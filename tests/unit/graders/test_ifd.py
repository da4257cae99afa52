"""The grader of instruction-following difficulty: what it asks, and how it reads the ratio."""

import json

import pytest

from alpaqual.graders._prompt_spec import PromptSpec
from alpaqual.graders.ifd import Plugin
from alpaqual.values import Grade, Reply, Row

GRADER = Plugin(PromptSpec("difficulty", 0, 10, {"temperature": 0.7, "max_tokens": 16}), "local/abc")
ROW = Row("1", "Name the capital.", "France", "Paris.\nIt is on the Seine.")


def test_the_response_is_asked_about_and_sampling_has_no_say() -> None:
    request = GRADER.request(ROW)

    assert request.model == "local/abc"
    assert request.messages == (("user", "Name the capital.\n\nFrance"), ("assistant", "Paris.\nIt is on the Seine."))
    assert request.parameters == {"measure": "ifd"}


def test_a_row_without_an_input_is_its_instruction() -> None:
    assert GRADER.request(Row("1", "Name it.", "", "Paris.")).messages[0] == ("user", "Name it.")


@pytest.mark.parametrize("score", [0, 0.25, 1, 10])
def test_the_ratio_is_the_score(score: float) -> None:
    text = json.dumps({"score": score, "with": 3.0, "without": 4.0, "tokens": 7})

    assert GRADER.read(Reply(text, "local/m")) == Grade(score, None, text)


@pytest.mark.parametrize("score", [-0.1, 10.000001, 1e9])
def test_a_ratio_off_the_scale_is_no_score(score: float) -> None:
    text = json.dumps({"score": score})

    assert GRADER.read(Reply(text, "local/m")) == Grade(None, "out of scale", text)


@pytest.mark.parametrize(
    "text",
    ["", "0.5", "[0.5]", "{}", '{"score": null}', '{"score": true}', '{"score": NaN}', '{"score": "0.5"}', "{oops"],
)
def test_what_holds_no_ratio_is_no_score(text: str) -> None:
    assert GRADER.read(Reply(text, "local/m")) == Grade(None, "no number", text)


def test_it_is_never_asked_again() -> None:
    assert GRADER.follow_up(GRADER.request(ROW), Grade(None, "out of scale"), 1) is None

"""Prompts of today keep their ledger keys; `cache: true` puts what is the same for every row first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaqual.graders._prompt_spec import Example, PromptSpec
from alpaqual.graders._scores import ScoreSpec
from alpaqual.graders.model import PAPER_USER, Plugin
from alpaqual.store.ledger import request_key
from alpaqual.values import Request, Row

ROW = Row("", "Name a <fruit>.", "", "An apple.")
PARAMETERS = {"max_tokens": 16, "temperature": 0.0}
EXAMPLE = Example(Row("", "Add 1 and 1.", "", "2"), 5.0, "Right.")


def request(template: str | None = None, *, cache: bool = False, row: Row = ROW, **more: object) -> Request:
    spec = PromptSpec("accuracy", 0.0, 5.0, PARAMETERS, template, 0.5, cache=cache, **more)  # type: ignore[arg-type]
    return Plugin(spec, "openai/gpt-4o-mini").request(row)


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({}, "d4dab975e37a0695676478f21fa51524920c15b678ed1c4d96c3ab505a48526f"),
        ({"structured": True}, "bce46301814d9f4038198ee62fd9c6c5a7c0fd929c1f79a67f76f7713494d05a"),
        (
            {"template": "Rate [instruction] [input] [response] from [min] to [max]."},
            "a61fd9494feb1a8feed787b3c94058cb5fb3560d4878678ec22b0aa9b70068c8",
        ),
    ],
)
def test_the_keys_of_replies_that_are_paid_for_stay(spec: dict[str, object], key: str) -> None:
    assert request_key(request(**spec)) == key  # type: ignore[arg-type]


def test_the_key_of_a_prompt_with_examples_stays() -> None:
    spec = PromptSpec("helpfulness", 0.0, 5.0, PARAMETERS, None, 0.5, [EXAMPLE])
    key = "fdaaee055c1f350417ee20fa1bdaf54b58eeea77f4314ad214e1d9bff49a65c0"
    assert request_key(Plugin(spec, "openai/gpt-4o-mini").request(ROW)) == key


def test_the_paper_s_prompt_has_its_instructions_first() -> None:
    (system, constant), (user, text) = request(cache=True).messages
    assert (system, user) == ("system", "user")
    rating = PAPER_USER.replace("[dimension]", "accuracy").replace("[min]", "0").replace("[max]", "5")
    assert constant.startswith("We would like") and constant.endswith(rating)
    assert text == "Instruction: Name a <fruit>.\n\nInput: None\n\nResponse: An apple."


def test_examples_come_before_the_row_and_repeat_no_instructions() -> None:
    messages = request(cache=True, examples=[EXAMPLE]).messages
    assert [role for role, _ in messages] == ["system", "user", "assistant", "user"]
    assert messages[1][1] == "Instruction: Add 1 and 1.\n\nInput: None\n\nResponse: 2"
    assert messages[2][1] == "5\nRight."


@pytest.mark.parametrize(
    ("template", "constant", "rest"),
    [
        (
            "Rate the [dimension].\n\nInstruction:\n\n[instruction]\n\n[input]\n\nResponse:\n\n[response]\n\nBe strict.\n\nScore:",
            "Rate the accuracy.\n\nBe strict.",
            "Instruction:\n\nName a <fruit>.\n\nNone\n\nResponse:\n\nAn apple.\n\nScore:",
        ),
        (
            "You grade.\n---\n<row>\n\n[instruction] [input] [response]\n\n</row>\n\nReply with [min] to [max].",
            "You grade.\n\nReply with 0 to 5.",
            "<row>\n\nName a <fruit>. None An apple.\n\n</row>",
        ),
        (
            "Rate [instruction] [input] [response], please.",
            "",
            "Rate Name a <fruit>. None An apple., please.",
        ),
    ],
)
def test_labels_and_marks_stay_beside_the_row(template: str, constant: str, rest: str) -> None:
    messages = request(template, cache=True).messages
    assert messages == ((("system", constant),) if constant else ()) + (("user", rest),)


WORDS = st.sampled_from(
    ["Rate it.", "Label:", "[instruction]", "[input]", "[response]", "From [min].", "# Head", "End"]
)


@given(st.lists(WORDS, max_size=8), st.text("ab[]é\n", max_size=9), st.text("xy\n", max_size=9))
def test_every_row_has_the_same_beginning_and_no_paragraph_is_lost(parts: list[str], one: str, two: str) -> None:
    template = "\n\n".join([*parts, "[instruction] [input] [response]"])
    first, second = (request(template, cache=True, row=Row("", text, text, text)) for text in (one, two))
    assert first.messages[:-1] == second.messages[:-1]
    spec = PromptSpec("accuracy", 0.0, 5.0, {}, template, cache=True)
    kept = "\n\n".join(part for part in Plugin(spec, "m").template if part).split("\n\n")
    assert sorted(kept) == sorted([*parts, "[instruction] [input] [response]"])
    assert request_key(first) != request_key(request(template, row=Row("", one, one, one)))


LEVELS = [(0.0, "It is wrong."), (5.0, "It is right")]


@pytest.mark.parametrize(
    "more",
    [
        {"levels": LEVELS},
        {"fence": True},
        {"scores": [ScoreSpec("style", 0, 5, None, LEVELS), ScoreSpec("truth", 0, 5, None, [])]},
        {"levels": LEVELS, "fence": True, "template": "Rate [instruction] [input] [response] by [column:reference]."},
    ],
    ids=["levels", "fence", "scores", "column"],
)
def test_levels_scores_and_the_meaning_of_marks_are_the_same_for_every_row(more: dict[str, object]) -> None:
    rows = [Row("", text, text, text, values={"column:reference": text}) for text in ("one", "two")]
    first, second = (request(cache=True, row=row, **more).messages for row in rows)  # type: ignore[arg-type]
    assert first[:-1] == second[:-1] != ()
    assert all("one" in text for _, text in first[-1:])
    assert ("It is wrong." in first[0][1]) == ("fence" not in more or "levels" in more)

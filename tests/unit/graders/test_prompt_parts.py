"""What a prompt says of levels and several scores, its slots for columns and earlier scores, and the marks around texts."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaqual.graders._prompt_spec import PromptSpec
from alpaqual.graders._scores import fenced
from alpaqual.graders.model import PAPER_SYSTEM, Plugin
from alpaqual.plan.prompts import grader_plugin
from alpaqual.recipe.graders import Grader
from alpaqual.values import Row

ROW = Row("a", "Name a prime.", "", "7", values={"column:reference": "2, 3, 5, 7", "score:cheap": "4.5"})


def asked(settings: dict[str, Any], template: str | None = None, row: Row = ROW) -> list[str]:
    """The texts of a grader's request."""
    grader = msgspec.convert({"model": "openai/m", **settings}, Grader)
    return [text for _, text in grader_plugin(grader, template, "openai/m").request(row).messages]


def test_levels_follow_the_papers_prompt_highest_first() -> None:
    levels = {"0": "Every claim is wrong.", "2.5": "Half of it is right.", "5": "Every claim is right."}
    system, user = asked({"levels": levels})
    assert (system, user.partition("\n\n")[0]) == tuple(asked({}))
    assert user.endswith(
        "\n\nWhat the scores mean:\n5: Every claim is right.\n2.5: Half of it is right.\n0: Every claim is wrong."
    )


def test_levels_have_a_slot_of_their_own() -> None:
    template = "[levels]\n\n[instruction] [input] [response]"
    assert asked({"levels": {"1": "good"}}, template) == ["1: good\n\nName a prime. None 7"]
    assert asked({}, template) == ["[levels]\n\nName a prime. None 7"]


SCORES = {
    "accuracy": {"scale": {"min": 0, "max": 5, "step": 0.5}, "levels": {"5": "right", "0": "wrong"}},
    "helpfulness": {"scale": {"min": 1, "max": 10}},
}


def test_several_scores_are_described_and_asked_for_as_json() -> None:
    system, user = asked({"scores": SCORES})
    assert system == PAPER_SYSTEM.replace("[Instruction]", "Name a prime.").replace("[Input]", "None").replace(
        "[Response]", "7"
    )
    assert user == (
        "Please rate the response to the instruction and the input on each of these dimensions, independently of the others. A "
        "higher score indicates a higher level of the dimension.\n\n"
        "- accuracy: from 0 to 5 in steps of 0.5\n  5: right\n  0: wrong\n- helpfulness: from 1 to 10\n\n"
        'Please reply with one JSON object and nothing else, in this form: {"accuracy": <number>, "helpfulness": <number>}.'
    )
    (text,) = asked({"scores": SCORES}, "[scores]\n[dimension]\n[instruction] [input] [response]")
    assert text.startswith("- accuracy: from 0 to 5")
    assert "accuracy, helpfulness\nName a prime. None 7\n\nPlease reply with one JSON object" in text


def test_the_schema_has_each_score_and_is_left_out_where_the_recipe_says_so() -> None:
    def schema(**settings: Any) -> Any:
        grader = msgspec.convert({"model": "openai/m", "scores": SCORES, **settings}, Grader)
        return grader_plugin(grader, None, "m").request(ROW).parameters.get("schema")

    found = schema(keep_rationale=True)
    assert list(found["properties"]) == ["accuracy", "helpfulness", "rationale"] == found["required"]
    assert found["properties"]["accuracy"]["enum"] == [half / 2 for half in range(11)]
    assert found["properties"]["helpfulness"] == {"type": "number"}
    assert schema(structured=False) is None
    assert schema(model="local/model.gguf") is None


def test_examples_show_every_score() -> None:
    example = {"instruction": "i", "response": "r", "scores": {"helpfulness": 3, "accuracy": 4.5}}
    grader = msgspec.convert({"model": "openai/m", "scores": SCORES, "examples": [example]}, Grader)
    messages = grader_plugin(grader, None, "m").request(ROW).messages
    assert messages[1] == ("assistant", json.dumps({"accuracy": 4.5, "helpfulness": 3.0}))


def test_a_prompt_names_columns_and_earlier_scores() -> None:
    template = "[column:reference] [Score: cheap] [column:absent]|[instruction] [input] [response]"
    assert asked({}, template) == ["2, 3, 5, 7 4.5 None|Name a prime. None 7"]
    row = Row("a", "[column:reference]", "[score:cheap]", "[response]", values=ROW.values)
    assert asked({}, template, row) == ["2, 3, 5, 7 4.5 None|[column:reference] [score:cheap] [response]"]


TEXTS = st.dictionaries(
    st.sampled_from(["instruction", "input", "response", "conversation", "column:a b"]),
    st.text() | st.text("0123456789abcdef<> \n", max_size=200),
    min_size=1,
)


@settings(deadline=None)
@given(TEXTS)
def test_no_mark_occurs_in_a_text(texts: dict[str, str]) -> None:
    found = fenced(texts)
    assert fenced(dict(texts)) == found
    marks = set()
    for slot, text in texts.items():
        if not text:
            assert found[slot] == ""
            continue
        first, last = found[slot].split("\n", 1)[0], found[slot].rsplit("\n", 1)[1]
        assert found[slot] == f"{first}\n{text}\n{last}"
        mark = re.fullmatch(r"<<<\w+ ([0-9a-f]{16})", first)
        assert mark is not None
        assert last.endswith(f"{mark[1]}>>>")
        marks.add(mark[1])
    assert len(marks) <= 1
    assert not any(mark in text.casefold() for mark in marks for text in texts.values())


def test_a_row_that_knows_its_mark_gets_another_one() -> None:
    first = fenced({"response": "x"})["response"].split()[1]
    again = fenced({"response": f"x {first}"})["response"]
    assert again.count(first) == 1


def test_fenced_prompts_say_what_marks_mean_and_differ_in_nothing_else() -> None:
    plain, with_marks = asked({}), asked({"fence": True})
    assert with_marks[1].startswith(plain[1])
    assert "16 hexadecimal digits" in with_marks[1]
    unmarked = re.sub(r"<<<\w+ [0-9a-f]{16}\n|\n\w+ [0-9a-f]{16}>>>", "", with_marks[0])
    assert unmarked == plain[0]


def test_a_plugin_of_a_row_alone_still_works() -> None:
    assert Plugin(PromptSpec("accuracy", 0, 5, {}), "m").request(Row("a", "i", "", "r")).messages[0][1].endswith("r")

"""Two ways to read a conversation: the fast one gives what the thorough one gives, or leaves the row to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.execution.conversations import PlainReader, turned_row
from alpaqual.plan.conversations import ConversationReading
from alpaqual.plan.tables import turned

ROLES = ["user", "assistant", "human", "gpt", "User", "GPT", "bing", "system", "tool", "function_call", "", "x"]
TEXTS = st.sampled_from(["", " ", "a", "\u2028", "é", '"', "\\", "[]", "\x00", "\ud800", "12345678"]) | st.text(
    max_size=5
)
VALUES = TEXTS | st.none() | st.sampled_from([1, True, [], {}, ["a"], [{"type": "text", "text": "a"}]])
KEYS = st.sampled_from(["role", "content", "from", "value", "weight", "name", "tool_calls", "x"])
TURNS = (
    st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": TEXTS})
    | st.fixed_dictionaries({"from": st.sampled_from(ROLES), "value": TEXTS})
    | st.fixed_dictionaries(
        {"role": st.sampled_from(ROLES), "content": VALUES}, optional={"value": VALUES, "name": VALUES}
    )
    | st.dictionaries(KEYS, VALUES | st.sampled_from(ROLES), max_size=4)
)
PAIRS = st.tuples(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "human"]), "content": TEXTS}),
    st.fixed_dictionaries({"from": st.sampled_from(["gpt", "bing"]), "value": TEXTS}),
).map(list)
CONVERSATIONS = PAIRS | st.lists(TURNS, max_size=3) | VALUES
PLAIN = '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]'


def reading(json_cells: bool, typed: bool, fields: tuple[str, ...] = ("messages",)) -> ConversationReading:
    return ConversationReading(
        table=turned("s"),
        query="",
        fields=fields,
        json=frozenset(fields) if json_cells else frozenset(),
        typed=typed,
        roles={"bing": "assistant", "x": "user"},
        placeholder=False,
        most=12,
    )


@settings(max_examples=examples(400), deadline=None)
@given(CONVERSATIONS, st.booleans(), st.booleans(), st.booleans(), st.none() | VALUES)
def test_the_fast_way_reads_what_the_thorough_one_reads(
    conversation: Any, ascii_only: bool, json_cells: bool, typed: bool, beside: Any
) -> None:
    cell = json.dumps(conversation, ensure_ascii=ascii_only)
    system = None if beside is None else json.dumps(beside)
    for given_fields, cells in (
        (("messages",), (cell,)),
        (("messages", "system"), (cell, system)),
        (("messages", "completion"), (cell, system)),
        (("tools", "messages"), (system, cell)),
    ):
        how = reading(json_cells, typed, given_fields)
        fast = PlainReader(how).row(7, *cells)
        assert fast is None or fast == turned_row(how, 7, *cells)


@settings(max_examples=examples(300), deadline=None)
@given(
    st.integers(0, len(PLAIN)),
    st.integers(0, 3),
    st.text(max_size=3) | st.sampled_from(["\\ud800", "\t", "\\x", "NaN"]),
)
@example(len(PLAIN), 0, " ")
def test_a_text_that_is_no_json_is_left_to_the_thorough_way(place: int, taken: int, put: str) -> None:
    cell = PLAIN[:place] + put + PLAIN[place + taken :]
    how = reading(json_cells=False, typed=False)
    fast = PlainReader(how).row(7, cell)
    assert fast is None or fast == turned_row(how, 7, cell)


@pytest.mark.parametrize(
    "turns",
    [
        '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]',
        '[{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]',
        '[{"content": "a", "role": "X"}, {"value": "b", "from": "bing"}]',
    ],
)
def test_plain_turns_are_read_the_fast_way(turns: str) -> None:
    assert PlainReader(reading(json_cells=True, typed=False)).row(7, turns) == (
        7,
        None,
        "a",
        "b",
        None,
        None,
        2,
        "",
        None,
    )

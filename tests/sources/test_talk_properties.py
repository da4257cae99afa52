"""Conversations in every layout, written by Hypothesis: each is read in its normal form, faulty records alone are in quarantine.

The normal form is made first; a writer of each layout, which shares no code with the reader, writes it down.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from conftest import Project
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reading_properties import TEXTS
from tiers import examples
from written import WRITTEN

from alpaqual.conversation.layouts import conversation_of

Turn = dict[str, Any]
Record = dict[str, Any]

ARGUMENTS = st.dictionaries(
    st.sampled_from(["km", "é", "a b"]), st.integers() | TEXTS | st.lists(st.integers(), max_size=2), max_size=2
)
TOOL = {"type": "function", "function": {"name": "convert", "parameters": {"type": "object", "properties": {}}}}


@st.composite
def talks(draw: st.DrawFn, *, plain: bool = False, calls: bool = True) -> list[Turn]:
    """Turns in the normal form. `plain` ones are questions and answers of text, after a system turn perhaps."""
    found: list[Turn] = []
    if system := draw(st.none() | TEXTS):
        found.append({"role": "system", "content": system})
    for _ in range(draw(st.integers(1, 3))):
        found.append({"role": "user", "content": draw(TEXTS)})
        if not plain and calls and draw(st.booleans()):
            number = sum("tool_calls" in turn for turn in found) + 1
            text = json.dumps(draw(ARGUMENTS), ensure_ascii=False)
            call = {"id": f"call_{number}", "type": "function", "function": {"name": "convert", "arguments": text}}
            found.append({"role": "assistant", "content": None, "tool_calls": [call]})
            found.append({"role": "tool", "content": draw(TEXTS), "tool_call_id": f"call_{number}"})
        weight = None if plain else draw(st.none() | st.sampled_from([0, 1, 0.5]))
        answer = {"role": "assistant", "content": draw(TEXTS)}
        found.append(answer if weight is None else {**answer, "weight": weight})
    return found


def openai(turns: list[Turn], draw: st.DrawFn) -> Record:
    """As they are, in any order of keys, with nulls for absent keys, texts as parts or as they are."""
    written = []
    for turn in turns:
        one = {**dict.fromkeys(draw(st.sets(st.sampled_from(["name", "tool_calls", "weight"])))), **turn}
        if isinstance(content := one["content"], str) and draw(st.booleans()):
            cut = draw(st.integers(0, len(content)))
            one["content"] = [{"type": "text", "text": text} for text in (content[:cut], content[cut:])]
        written.append(dict(draw(st.permutations(list(one.items())))))
    return {"messages": json.dumps(written) if draw(st.booleans()) else written}


SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def sharegpt(turns: list[Turn], draw: st.DrawFn) -> Record:
    """Calls are JSON texts without ids; their arguments are a text or an object."""
    written = []
    for turn in turns:
        one = {"from": SHAREGPT[turn["role"]], "value": turn["content"]}
        if "weight" in turn:
            one["weight"] = turn["weight"]
        for call in turn.get("tool_calls", ()):
            function = dict(call["function"])
            if draw(st.booleans()):
                function["arguments"] = json.loads(function["arguments"])
            one = {"from": "function_call", "value": json.dumps(function, ensure_ascii=draw(st.booleans()))}
        written.append(one)
    return {"conversations": written}


def older(turns: list[Turn], draw: st.DrawFn) -> Record:
    """OpenAI's function_call and the role function."""
    written = []
    for turn in turns:
        one = {key: value for key, value in turn.items() if key not in ("tool_calls", "tool_call_id")}
        if calls := turn.get("tool_calls"):
            one["function_call"] = calls[0]["function"]
        if turn["role"] == "tool":
            one["role"] = "function"
        written.append(one)
    return {"messages": written}


def history(turns: list[Turn], draw: st.DrawFn) -> Record:
    """The last question and answer as texts, those before as pairs."""
    system = [turn["content"] for turn in turns if turn["role"] == "system"]
    texts = [turn["content"] for turn in turns if turn["role"] != "system"]
    pairs = [texts[place : place + 2] for place in range(0, len(texts), 2)]
    record = {"history": pairs[:-1], "prompt": pairs[-1][0], "response": pairs[-1][1], "query": ""}
    return {**record, "system": system[0] if system else draw(st.sampled_from([None, ""]))}


def completion(turns: list[Turn], draw: st.DrawFn) -> Record:
    """A prompt of turns, and a completion of turns."""
    cut = draw(st.integers(1, len(turns) - 1))
    return {"prompt": turns[:cut], "completion": turns[cut:]}


WRITERS: dict[str, tuple[Callable[[list[Turn], st.DrawFn], Record], st.SearchStrategy[list[Turn]]]] = {
    "messages": (openai, talks()),
    "sharegpt": (sharegpt, talks()),
    "older calls": (older, talks()),
    "history": (history, talks(plain=True)),
    "prompt and completion": (completion, talks()),
}
FAULTY_TURNS: list[Any] = [
    {"role": "hummany", "content": "a"},
    {"role": "user", "content": 7},
    {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
    {"role": "user", "content": None},
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
    "text",
]
COLUMNS = {"messages": "messages", "sharegpt": "conversations", "older calls": "messages"}


@pytest.mark.parametrize("layout", WRITERS)
def test_each_layout_has_its_normal_form(layout: str) -> None:
    writer, turns = WRITERS[layout]
    fields = {"conversations": "messages", "query": "input"}
    fields |= {"prompt": "messages"} if layout == "prompt and completion" else {"prompt": "instruction"}

    @given(right=turns, data=st.data())
    @settings(max_examples=examples(100), deadline=None)
    def holds(right: list[Turn], data: st.DataObject) -> None:
        record = writer(right, data.draw)
        assert conversation_of({fields.get(key, key): value for key, value in record.items()}).messages == right

    holds()


@given(data=st.data(), layout=st.sampled_from(list(WRITERS)))
@settings(max_examples=examples(6), deadline=None)
def test_a_run_has_each_conversation_or_its_reason(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, layout: str
) -> None:
    """Whole files of a layout: rows and quarantine are all records, each in its place."""
    writer, turns = WRITERS[layout]
    right: list[list[Turn] | None] = [*data.draw(st.lists(turns, min_size=1, max_size=6))]
    records = [writer(each, data.draw) for each in right if each is not None]
    if layout in COLUMNS:
        for fault in data.draw(st.lists(st.sampled_from(FAULTY_TURNS), max_size=3)):
            place = data.draw(st.integers(0, len(right)))
            right.insert(place, None)
            records.insert(place, {COLUMNS[layout]: [fault, {"role": "assistant", "content": "b"}]})
    tools = [[TOOL] if data.draw(st.booleans()) else None for _ in records]
    if any(tools):
        records = [{**record, "tools": given} for record, given in zip(records, tools, strict=True)]
    project = Project(tmp_path_factory.mktemp("run"))
    project.jsonl("d.jsonl", records)
    project.ask("d.jsonl", source="max_quarantined: 100%")
    run = project.run()
    rows = pl.read_parquet(run.folder / "tables" / "rows.parquet").sort("n").to_dicts()
    good = [place for place, each in enumerate(right) if each is not None]
    assert [json.loads(row["messages"]) for row in rows] == [right[place] for place in good]
    assert [json.loads(row["tools"] or "null") for row in rows] == [tools[place] for place in good]
    refused = pl.read_parquet(run.folder / "tables" / "quarantine.parquet")["reason"].to_list()
    lines = [int(reason.partition(" line ")[2].partition(":")[0]) for reason in refused]
    assert sorted(lines) == [place + 1 for place, each in enumerate(right) if each is None]
    WRITTEN.add(f"{layout}, a whole run", right)

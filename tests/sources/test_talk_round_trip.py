"""The JSON Schema of conversations, as the command prints it, and what datasets hold: the same conversations again when read."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import polars as pl
import pytest
from conftest import Project
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_reading_properties import TEXTS
from test_talk_properties import TOOL, WRITERS
from tiers import examples


def test_the_schema_is_printed(project: Project) -> None:
    printed = json.loads(project.command("schema", "conversation").stdout)
    jsonschema.Draft202012Validator.check_schema(printed)
    ask, answer = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}
    jsonschema.validate({"messages": [ask, answer], "tools": [TOOL]}, printed)
    for wrong in (
        [ask],
        [{"role": "user"}, answer],
        [{"from": "human", "value": "a"}, answer],
        [{**ask, "content": None}],
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"messages": wrong}, printed)


@given(data=st.data())
@settings(max_examples=examples(6), deadline=None)
def test_a_dataset_read_again_has_the_same_conversations(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    layout = data.draw(st.sampled_from(list(WRITERS)))
    writer, turns = WRITERS[layout]
    records = [writer(each, data.draw) for each in data.draw(st.lists(turns, min_size=1, max_size=5))]
    if data.draw(st.booleans()):
        records = [{**record, "tools": [TOOL]} for record in records]
    project = Project(tmp_path_factory.mktemp("first"))
    project.jsonl("d.jsonl", records)
    project.ask("d.jsonl")
    first = project.run()
    written = [
        json.loads(line) for line in (first.folder / "datasets" / "full.jsonl").read_text("utf-8").split("\n")[:-1]
    ]
    schema = json.loads(project.command("schema", "conversation").stdout)
    for row in written:
        jsonschema.validate({key: row[key] for key in ("messages", "tools") if key in row}, schema)
    project = Project(tmp_path_factory.mktemp("second"))
    project.write("d.jsonl", (first.folder / "datasets" / "full.jsonl").read_bytes())
    project.ask("d.jsonl")
    second = project.run()
    assert _conversations(second) == _conversations(first)
    again = (second.folder / "datasets" / "full.jsonl").read_text("utf-8")
    assert [_own(json.loads(line)) for line in again.split("\n")[:-1]] == [_own(row) for row in written]


def _conversations(run: Any) -> list[tuple[Any, ...]]:
    """Turns byte for byte."""
    frame = pl.read_parquet(run.folder / "tables" / "rows.parquet")
    return sorted(frame.select("messages", "tools", "instruction", "response").rows(), key=repr)


def _own(row: dict[str, Any]) -> dict[str, Any]:
    """The row without `row_id`, which a dataset has beside an id of the data."""
    return {key: value for key, value in row.items() if key != "row_id"}


ODD = {"Bing": "assistant", "person": "user", "context": "system"}
PART = st.sampled_from(
    [({"type": "text", "text": "a"}, "a"), ("b", "b"), ({"type": "image_url", "image_url": {}}, "[image_url]")]
)
ODD_TURNS = st.tuples(st.sampled_from([*ODD, "bing", "User", "GPT", "unknown"]), TEXTS | st.lists(PART, max_size=3))
MEANT = {**ODD, "bing": "assistant", "User": "user", "GPT": "assistant"}


@given(talks=st.lists(st.lists(ODD_TURNS, max_size=4), min_size=1, max_size=6), sharegpt=st.booleans())
@settings(max_examples=examples(12), deadline=None)
def test_odd_roles_and_parts_mean_what_the_recipe_says(
    tmp_path_factory: pytest.TempPathFactory, talks: list[list[Any]], sharegpt: bool
) -> None:
    role_key, text_key = ("from", "value") if sharegpt else ("role", "content")
    records, wanted = [], []
    for turns in talks:
        written, meant = [], []
        for role, content in turns:
            parts = isinstance(content, list)
            written.append({role_key: role, text_key: [part for part, _ in content] if parts else content})
            text = "".join(shown for _, shown in content) if parts else content
            meant.append({"role": MEANT.get(role), "content": text})
        records.append({"conversations" if sharegpt else "messages": written})
        roles = [turn["role"] for turn in meant]
        wanted.append(meant if None not in roles and "assistant" in roles else None)
    assume(any(wanted))
    project = Project(tmp_path_factory.mktemp("odd"))
    project.jsonl("d.jsonl", records)
    roles = json.dumps({**ODD, "bing": "assistant"})
    project.ask("d.jsonl", source=f"max_quarantined: 100%\nroles: {roles}\nother_parts: placeholder")
    run = project.run()
    rows = pl.read_parquet(run.folder / "tables" / "rows.parquet").sort("n")["messages"].to_list()
    assert [json.loads(turns) for turns in rows] == [turns for turns in wanted if turns is not None]
    assert run.results.source.quarantined == wanted.count(None)

"""Files of every layout of conversations: what becomes of their rows, and what their datasets hold."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from conftest import Project

import alpaqual
from alpaqual.api import Run
from alpaqual.errors import RecipeError

pytestmark = pytest.mark.slow

PLAIN = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
CALL = {"id": "t", "type": "function", "function": {"name": "convert", "arguments": "{}"}}
TOOL_TURNS = [
    {"role": "user", "content": "2 km in miles?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "1.24", "tool_call_id": "t"},
    {"role": "assistant", "content": "1.24 miles."},
]


def loaded(project: Project, rows: list[Any], source: str = "") -> Run:
    project.write("d.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    given = f", {source}" if source else ""
    recipe = (
        f"version: 1\nname: r\nsources: [{{path: d.jsonl, max_quarantined: 100%{given}}}]\ndatasets: {{full: {{}}}}\n"
    )
    return alpaqual.run(project.write("recipe.yaml", recipe))


def dataset(run: Run) -> list[dict[str, Any]]:
    (path,) = run.folder.rglob("full.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(run: Run, name: str) -> list[dict[str, Any]]:
    return pl.read_parquet(run.folder / "tables" / f"{name}.parquet").to_dicts()


def turns(*texts: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in texts]


LAYOUTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "content as parts": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, PLAIN[1]]},
        {"messages": PLAIN},
    ),
    "a tool call and its result": ({"messages": TOOL_TURNS}, {"messages": TOOL_TURNS}),
    "tools and a system text beside the turns": (
        {"messages": PLAIN, "tools": '[{"name": "f"}]', "system": "s"},
        {"messages": [{"role": "system", "content": "s"}, *PLAIN], "tools": [{"name": "f"}]},
    ),
    "weights": (
        {"messages": [PLAIN[0], {**PLAIN[1], "weight": 0}, PLAIN[0], {**PLAIN[1], "weight": 1}]},
        {"messages": [PLAIN[0], {**PLAIN[1], "weight": 0}, PLAIN[0], {**PLAIN[1], "weight": 1}]},
    ),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        {"messages": PLAIN},
    ),
    "a system text beside texts with a history": (
        {"system": "Be brief.", "prompt": "p", "query": "q", "response": "r", "history": [["h1", "a1"]]},
        {
            "messages": turns(
                ("system", "Be brief."), ("user", "h1"), ("assistant", "a1"), ("user", "p\nq"), ("assistant", "r")
            )
        },
    ),
    "three texts with a history": (
        {"instruction": "p", "input": "", "output": "r", "history": [["h1", "a1"]]},
        {"messages": turns(("user", "h1"), ("assistant", "a1"), ("user", "p"), ("assistant", "r"))},
    ),
    "prompt and completion of turns": ({"prompt": PLAIN[:1], "completion": PLAIN[1:]}, {"messages": PLAIN}),
    "prompt and completion of text": (
        {"prompt": "a", "completion": "b"},
        {"instruction": "a", "input": "", "output": "b"},
    ),
    "keys that are not ours": (
        {"messages": [PLAIN[0], {**PLAIN[1], "reasoning_content": "hm", "big": 2**70, "small": 0.1}]},
        {"messages": [PLAIN[0], {**PLAIN[1], "reasoning_content": "hm", "big": 2**70, "small": 0.1}]},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_known_and_nothing_of_it_is_lost(project: Project, layout: str) -> None:
    row, right = LAYOUTS[layout]
    run = loaded(project, [row])
    assert [{key: value for key, value in found.items() if key != "id"} for found in dataset(run)] == [right]
    assert run.verdict == "pass"


def test_columns_of_other_names_are_named(project: Project) -> None:
    row = {"c": PLAIN, "t": [{"name": "f"}], "s": "sys"}
    run = loaded(project, [row], "fields: {messages: c, tools: t, system: s}")
    (found,) = dataset(run)
    assert found["messages"] == [{"role": "system", "content": "sys"}, *PLAIN]
    assert found["tools"] == [{"name": "f"}]


def test_a_conversation_of_two_plain_turns_has_the_id_of_the_same_texts(project: Project) -> None:
    (talk,) = dataset(loaded(project, [{"messages": PLAIN}]))
    (named,) = dataset(loaded(project, [{"messages": [{**PLAIN[0], "name": "x"}, PLAIN[1]]}]))
    (texts,) = dataset(loaded(project, [{"instruction": "a", "output": "b"}]))
    assert talk["id"] == texts["id"] != named["id"]


def test_odd_roles_and_parts_are_for_the_recipe(project: Project) -> None:
    rows = [
        {"conversations": [{"from": "human", "value": "a"}, {"from": "bing", "value": "b"}]},
        {"conversations": [{"from": "human", "value": [{"type": "audio"}]}, {"from": "gpt", "value": "b"}]},
    ]
    reasons = [row["reason"] for row in table(loaded(project, rows), "quarantine")]
    assert reasons == [
        "d.jsonl line 1: turn 2: unknown role 'bing'; if it means assistant, write 'roles: {bing: assistant}' in the source",
        "d.jsonl line 2: turn 1, part 1 is of type 'audio', which is no text; "
        "'other_parts: placeholder' puts [type] in its place",
    ]
    run = loaded(project, rows, "roles: {bing: assistant}, other_parts: placeholder")
    assert sorted(row["messages"][0]["content"] for row in dataset(run)) == ["[audio]", "a"]


def test_preferences_are_refused(project: Project) -> None:
    row = {"prompt": "a", "chosen": PLAIN, "rejected": PLAIN}
    with pytest.raises(RecipeError, match=r"'chosen' and 'rejected' are two answers of a preference"):
        loaded(project, [row])
    assert dataset(loaded(project, [row], "fields: {messages: chosen}"))[0]["messages"] == PLAIN


def test_findings_and_turns_are_columns_of_rows(project: Project) -> None:
    run = loaded(project, [{"messages": [*PLAIN, PLAIN[0]]}, {"messages": PLAIN}])
    assert [(row["turns"], row["findings"]) for row in table(run, "rows")] == [(3, ["other_end"]), (2, [])]


FLAWED = {
    "one_system_turn": [{"role": "system", "content": "s"}, {"role": "system", "content": "t"}, *PLAIN],
    "system_turn_first": [PLAIN[0], {"role": "system", "content": "s"}, PLAIN[1]],
    "result_has_call": [PLAIN[0], {"role": "tool", "content": "x"}, PLAIN[1]],
    "call_has_result": [*TOOL_TURNS[:2], PLAIN[1]],
    "response_has_text": [PLAIN[0], {"role": "assistant", "content": ""}],
    "turns_have_text": [{"role": "user", "content": " "}, PLAIN[1]],
    "assistant_last": [*PLAIN, PLAIN[0]],
    "turns_alternate": [PLAIN[0], *PLAIN],
    "user_asks": [PLAIN[1]],
    "something_learned": [PLAIN[0], {**PLAIN[1], "weight": 0}],
    "known_tool": TOOL_TURNS,
}


def test_each_rule_of_the_pack_fails_its_row_alone(project: Project) -> None:
    rows: list[Any] = [{"messages": turns, "tools": [{"name": "other"}]} for turns in FLAWED.values()]
    good = [{"messages": PLAIN}, {"messages": TOOL_TURNS, "tools": [{"name": "convert"}]}, {"messages": TOOL_TURNS}]
    for row in rows[:-1]:
        row["tools"] = [{"name": "convert"}]
    project.jsonl("d.jsonl", [*rows, *good])
    recipe = "version: 1\nname: r\nsources: [{path: d.jsonl}]\nrules: [conversations]\ndatasets: {full: {}}\n"
    run = alpaqual.run(project.write("recipe.yaml", recipe))
    found = {row["rule"]: row["n"] for row in table(run, "failures")}
    assert found == {rule: n for n, rule in enumerate(FLAWED, 1)}
    assert len(dataset(run)) == len(rows) + len(good) - 2


def test_the_pack_needs_conversations(project: Project) -> None:
    project.jsonl("d.jsonl", [{"instruction": "a", "output": "b"}])
    recipe = "version: 1\nname: r\nsources: [{path: d.jsonl}]\nrules: [conversations]\ndatasets: {full: {}}\n"
    with pytest.raises(RecipeError, match="rule 'one_system_turn' is about conversations, and no source has any"):
        alpaqual.run(project.write("recipe.yaml", recipe))


def test_structs_of_parquet_have_no_keys_of_other_rows(project: Project) -> None:
    frame = pl.DataFrame({"messages": [TOOL_TURNS, [*PLAIN, {**PLAIN[0], "x": 1}, PLAIN[1]]]}, strict=False)
    frame.write_parquet(project.folder / "d.parquet")
    recipe = "version: 1\nname: r\nsources: [{path: d.parquet}]\ndatasets: {full: {}}\n"
    run = alpaqual.run(project.write("recipe.yaml", recipe))
    found = [row["messages"] for row in dataset(run)]
    assert TOOL_TURNS in found
    assert [*PLAIN, {**PLAIN[0], "x": 1}, PLAIN[1]] in found


@pytest.mark.parametrize(
    ("column", "texts"),
    [(column, {"instruction": "a", "output": "b"}) for column in ("turns", "findings", "tools", "messages")]
    + [(column, {"messages": PLAIN}) for column in ("turns", "findings")],
)
def test_the_datas_column_of_a_name_that_conversations_have(
    project: Project, column: str, texts: dict[str, Any]
) -> None:
    """A rule, a category and the rows to grade have the data's value, not alpaqual's."""
    project.write("d.jsonl", "".join(json.dumps({**texts, column: value}) + "\n" for value in (3, 9)))
    recipe = project.write(
        "recipe.yaml",
        "version: 1\nname: r\nsources: [{path: d.jsonl}]\n"
        f"rules: [{{id: few, column: {column}, check: {{less_than: 5}}, drop: true, fail: 100%}}]\n"
        f"categories: [{{category: three, where: {column} = 3}}]\n"
        "graders: {g: {model: openai/gpt-4o-mini, scale: {min: 0, max: 5, step: 1}}}\ndatasets: {good: {threshold: {g: 3}}}\n",
    )
    run = alpaqual.run(recipe, until="categorising")
    assert run.results.categories["three"].rows == 1
    assert [rule.failing_rows for rule in run.results.rules] == [1]
    (estimate,) = alpaqual.api.estimate(alpaqual.plan_recipe(recipe))
    assert estimate.rows == 1

"""Rules on turns, in a run, held to a plain reading of the same rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from conftest import Project
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.errors import RecipeError

Turn = dict[str, Any]
TEXTS = st.sampled_from(["", "a", "ab", "b\n", "long text", "é\x00", "null"])
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TURNS = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"]), "content": TEXTS}
    ),
    st.just({"role": "assistant", "content": None, "tool_calls": [CALL]}),
)
TALKS = (
    st.lists(TURNS, max_size=5)
    .map(lambda turns: [*turns, {"role": "assistant", "content": "end"}])
    .flatmap(st.permutations)
)
TRIPLES = st.fixed_dictionaries({"instruction": TEXTS, "input": TEXTS, "output": TEXTS})
PICKS: list[tuple[str, Callable[[list[tuple[int, Turn]]], list[tuple[int, Turn] | None]]]] = [
    ("all", list),
    *(
        (role, lambda turns, role=role: [each for each in turns if each[1]["role"] == role])
        for role in ("system", "developer", "user", "assistant", "tool")
    ),
    ("{at: first}", lambda turns: turns[:1]),
    ("{at: last}", lambda turns: turns[-1:]),
    ("{at: 3}", lambda turns: turns[2:3] or [None]),
    *(
        (
            f"{{role: {role}, at: {at}}}",
            lambda turns, role=role, part=part: [each for each in turns if each[1]["role"] == role][part] or [None],
        )
        for role in ("system", "user", "assistant", "tool")
        for at, part in (("first", slice(1)), ("last", slice(-1, None)), (2, slice(1, 2)))
    ),
]
CHECKS: dict[str, Callable[[str], bool]] = {
    "str_length: {min: 1, max: 3}": lambda text: 1 <= len(text) <= 3,
    "str_contains: a": lambda text: "a" in text,
    "isin: [a, end]": lambda text: text in ("a", "end"),
    "not_equal_to: ab": lambda text: text != "ab",
    "not_nullable: true": lambda text: True,
}


WHERES: dict[str, Callable[[int, Turn], bool | None]] = {
    "turn.number <= 2 or turn.role = 'assistant'": lambda number, turn: number <= 2 or turn["role"] == "assistant",
    "length(turn.text) < 3": lambda number, turn: None if turn["content"] is None else len(turn["content"]) < 3,
}


def turns_of(row: Any) -> list[tuple[int, Turn]]:
    if isinstance(row, list):
        return list(enumerate(row, 1))
    question = "\n\n".join(text for text in (row["instruction"], row["input"]) if text)
    return [(1, {"role": "user", "content": question}), (2, {"role": "assistant", "content": row["output"]})]


def failing(row: Any, pick: Callable[..., Any], check: str) -> str | None:
    """What the report shows of the first failing turn; None where the row passes."""
    for each in pick(turns_of(row)):
        if check in WHERES:
            if each is not None and WHERES[check](*each) is False:
                return f"turn {each[0]}: {each[1]['content'] or ''}"
        elif each is None or each[1]["content"] is None:
            if check.startswith("not_nullable"):
                return "none" if each is None else f"turn {each[0]}: "
        elif not CHECKS[check](each[1]["content"]):
            return f"turn {each[0]}: {each[1]['content']}"
    return None


def _rule(check: str) -> str:
    return f"where: {json.dumps(check)}" if check in WHERES else f"check: {{{check}}}"


@given(
    talks=st.lists(TALKS, min_size=1, max_size=4),
    triples=st.lists(TRIPLES, max_size=3),
    rules=st.lists(st.tuples(st.sampled_from(PICKS), st.sampled_from([*CHECKS, *WHERES])), min_size=1, max_size=12),
)
@settings(max_examples=examples(20), deadline=None)
def test_a_rule_on_turns_finds_what_plain_python_finds(
    tmp_path_factory: pytest.TempPathFactory, talks: list[list[Turn]], triples: list[Any], rules: list[Any]
) -> None:
    project = Project(tmp_path_factory.mktemp("run"))
    project.jsonl("talks.jsonl", [{"messages": turns} for turns in talks])
    project.jsonl("triples.jsonl", triples)
    listed = "".join(
        f"  - {{id: r{number}, turns: {turns}, {_rule(check)}, warn: 0}}\n"
        for number, ((turns, _), check) in enumerate(rules)
    )
    sources = "[{path: talks.jsonl, name: talks}" + (", {path: triples.jsonl, name: triples}]" if triples else "]")
    project.write("recipe.yaml", f"version: 1\nname: r\nsources: {sources}\nrules:\n{listed}datasets: {{full: {{}}}}\n")
    run = project.run()
    found = pl.read_parquet(run.folder / "tables" / "failures.parquet").select("rule", "n", "value").rows()
    numbers = pl.read_parquet(run.folder / "tables" / "rows.parquet").sort("n")["n"].to_list()
    wanted = {
        (f"r{number}", n): value
        for number, ((_, pick), check) in enumerate(rules)
        for n, row in zip(numbers, [*talks, *triples], strict=True)
        if (value := failing(row, pick, check)) is not None
    }
    shown = {(rule, n): "none" if value.startswith("no ") else value for rule, n, value in found}
    assert shown == wanted


def test_the_report_names_the_turns(project: Project) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "no"}]
    project.jsonl(
        "d.jsonl",
        [{"messages": [*turns, *turns]}, {"messages": [turns[0], {"role": "assistant", "content": "fine"}]}],
    )
    rules = (
        "rules: [{id: short, turns: assistant, check: {str_length: {min: 3}}, warn: 0}, "
        "{id: opened, turns: {role: system, at: first}, check: not_nullable, warn: 0}]"
    )
    project.ask("d.jsonl", rules)
    run = project.run()
    assert sorted(run.failures.polars().select("rule", "column", "value").rows()) == [
        ("opened", "first system turn", "no first system turn"),
        ("opened", "first system turn", "no first system turn"),
        ("short", "assistant turns", "turn 2: no"),
    ]
    assert [(rule.id, rule.column, rule.failing_rows) for rule in run.results.rules] == [
        ("short", "assistant turns", 1),
        ("opened", "first system turn", 2),
    ]
    assert json.loads((run.folder / "results.json").read_text())["rules"][0]["column"] == "assistant turns"


def test_triples_alone_have_two_turns(project: Project) -> None:
    project.jsonl(
        "d.jsonl", [{"instruction": "q", "input": "given", "output": "a"}, {"instruction": "q", "output": "bb"}]
    )
    rules = (
        "rules: [{id: a, turns: assistant, check: {str_length: {min: 2}}, drop: true, fail: 90%}, "
        '{id: q, turns: {at: first}, check: {equal_to: "q\\n\\ngiven"}, warn: 0}]'
    )
    project.ask("d.jsonl", rules)
    run = project.run()
    assert sorted(run.failures.polars().select("rule", "value").rows()) == [("a", "turn 2: a"), ("q", "turn 1: q")]
    assert [row["output"] for row in run.datasets["full"].polars().to_dicts()] == ["bb"]


WRONG = {
    "turns: assistant, column: response, check: {str_length: {min: 1}}": "leave one of both out",
    "turns: assistant, column: response, where: turn.text <> 'a'": "leave one of both out",
    "turns: assistant, where: length(response) > 1": "'response' is a column, and a rule on turns reads turn.text, turn.role, turn.number",
    "where: turn.number > 1": "'turn.number' is for rules that name their 'turns'",
    "turns: all, where: turn.content > 'a'": "the values of a turn are turn.text, turn.role, turn.number",
    "turns: user, check: {greater_than: 3}": "'greater_than' compares numbers, and turns are texts",
    "turns: user, check: {in_range: {min: 3}}": "'in_range' compares numbers, and turns are texts",
    "turns: user, check: unique": "'unique' compares rows",
    "turns: user, check: {no_finding: no_user}": "'no_finding' compares rows",
    "turns: bot, check: not_nullable": "'turns' is 'bot': it must be one of all, assistant, developer, system, tool, user or a mapping",
    "turns: {at: 0}, check: not_nullable": "'at' is 0: it must be 1 or more",
    "check: {str_length: {min: 1}}": "name its 'column', or 'turns'",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_cannot_be_asked_of_turns_is_refused(project: Project, words: str) -> None:
    project.jsonl("d.jsonl", [{"instruction": "q", "output": "a"}])
    project.ask("d.jsonl", f"rules: [{{id: r, {words}}}]")
    with pytest.raises(RecipeError) as error:
        project.run()
    assert any(WRONG[words] in problem.message for problem in error.value.problems), error.value.problems
